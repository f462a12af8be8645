"""What platform tags mean (PEP 425, PEP 600, PEP 656), for any tag, and what each platform promises.

``targets.toml`` has the platforms that we build for; wheels of others are audited as well.
"""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("platforms.toml")
FORMATS = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}

_LEGACY = {"manylinux1": "2_5", "manylinux2010": "2_12", "manylinux2014": "2_17"}
_CPUS = {
    "amd64": "x86_64", "arm64": "aarch64", "i686": "x86", "i386": "x86", "armv7l": "arm", "armv6l": "arm",
    "ppc64le": "powerpc64le",
}  # fmt: skip
_MAC_HALVES = {"universal2": ("aarch64", "x86_64"), "intel": ("x86", "x86_64"), "fat64": ("x86_64",)}
_LINUX = re.compile(r"(?:(manylinux|musllinux)_(\d+)_(\d+)|linux)_(\w+)")
_MAC = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")


@dataclass(frozen=True)
class Platform:
    """What a platform tag says: the CPUs that it must serve, and the libc's or system's lowest version."""

    tag: str
    os: str
    cpus: tuple[str, ...]
    arch: str
    libc: str = ""
    version: tuple[int, int] = (0, 0)


def parse(tag: str) -> Platform | None:
    """Take a platform tag apart; None for one that isn't known here, and for ``any``."""
    head, _, rest = tag.partition("_")
    plain = f"manylinux_{_LEGACY[head]}_{rest}" if head in _LEGACY else tag
    if found := _LINUX.fullmatch(plain):
        libc = {"manylinux": "glibc", "musllinux": "musl", None: ""}[found[1]]
        version = (int(found[2]), int(found[3])) if found[2] else (0, 0)
        return Platform(tag, "linux", (_CPUS.get(found[4], found[4]),), found[4], libc, version)
    if found := _MAC.fullmatch(tag):
        halves = _MAC_HALVES.get(found[3], (_CPUS.get(found[3], found[3]),))
        return Platform(tag, "macos", halves, found[3], version=(int(found[1]), int(found[2])))
    if tag == "win32":
        return Platform(tag, "windows", ("x86",), "win32")
    if head == "win" and rest in ("amd64", "arm64"):
        return Platform(tag, "windows", (_CPUS[rest],), rest)
    return None


def parse_all(tags: Iterable[str]) -> tuple[Platform, ...]:
    """The platforms among ``tags`` that are known, oldest promise first."""
    found = [platform for tag in sorted(tags) if (platform := parse(tag))]
    return tuple(sorted(found, key=lambda one: one.version))


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
