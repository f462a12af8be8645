"""What platform tags mean (PEP 425, PEP 600, PEP 656), for any tag, and what each platform promises.

``targets.toml`` has the platforms that we build for; wheels of others are audited as well.
"""

from __future__ import annotations

import importlib.resources
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("platforms.toml")
FORMATS = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}


@cache
def load_table() -> dict[str, Any]:
    """``platforms.toml``."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def find_baseline(os: str, cpu: str, version: tuple[int, int] = (0, 0)) -> frozenset[str] | None:
    """The instruction sets that every CPU of a platform has beyond the first; None where we have no table."""
    rows = [row for row in load_table()["baseline"] if (row["os"], row["cpu"]) == (os, cpu)]
    rows = [row for row in rows if tuple(row.get("since", (0, 0))) <= version]
    return frozenset(rows[-1]["features"]) if rows else None


@cache
def find_policy(libc: str, version: tuple[int, int]) -> dict[str, Any] | None:
    """auditwheel's policy: the libraries and symbol versions that a manylinux or musllinux tag promises.

    A version between two policies promises what the older of them does; None below the oldest, or without libc.
    """
    name = {"glibc": "manylinux", "musl": "musllinux"}.get(libc)
    if name is None:
        return None
    text = importlib.resources.files("auditwheel.policy").joinpath(f"{name}-policy.json").read_text(encoding="utf-8")
    known = {_version(row["name"]): row for row in json.loads(text) if row["name"].startswith(name)}
    fitting = [one for one in known if one <= version]
    return dict(known[max(fitting)]) if fitting else None


def _version(name: str) -> tuple[int, int]:
    major, minor = name.split("_")[1:]
    return int(major), int(minor)
