"""Look up what each platform promises to every wheel: CPU features (platforms.toml), libraries, symbol versions.

The table covers platforms beyond those in targets.toml, since wheels of any platform are audited.
"""

from __future__ import annotations

import importlib.resources
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FORMATS = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}


@cache
def load_table() -> dict[str, Any]:
    """Return the contents of platforms.toml."""
    return tomllib.loads(Path(__file__).with_name("platforms.toml").read_text(encoding="utf-8"))


def find_baseline(os: str, cpu: str, version: tuple[int, int] = (0, 0)) -> frozenset[str] | None:
    """Return the instruction sets above the first generation that every CPU of a platform has; None if unknown."""
    rows = [row for row in load_table()["baseline"] if (row["os"], row["cpu"]) == (os, cpu)]
    rows = [row for row in rows if tuple(row.get("since", (0, 0))) <= version]
    return frozenset(rows[-1]["features"]) if rows else None


@cache
def find_policy(libc: str, version: tuple[int, int]) -> dict[str, Any] | None:
    """Return auditwheel's policy: the libraries and symbol versions that a manylinux or musllinux tag promises.

    A version between two policies promises what the older of them does. None below the oldest, or without libc.
    """
    name = {"glibc": "manylinux", "musl": "musllinux"}.get(libc)
    if name is None:
        return None
    text = importlib.resources.files("auditwheel.policy").joinpath(f"{name}-policy.json").read_text(encoding="utf-8")
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for row in json.loads(text):
        kind, *numbers = row["name"].split("_")
        if kind == name and tuple(map(int, numbers)) <= version:
            found[tuple(map(int, numbers))] = row
    return found[max(found)] if found else None
