"""Look up what each platform promises to every wheel: CPU features (platforms.toml), libraries, symbol versions.

The table covers platforms beyond those in targets.toml, since wheels of any platform are audited.
"""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FORMATS = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}
_ANDROID_CPUS = {
    "arm64_v8a": ("aarch64", "aarch64-linux-android"),
    "x86_64": ("x86_64", "x86_64-linux-android"),
    "armeabi_v7a": ("arm", "arm-linux-androideabi"),
    "x86": ("x86", "i686-linux-android"),
}
_IOS_CPUS = {"arm64": "aarch64", "x86_64": "x86_64"}
_ANDROID = re.compile(r"android_\d+_(\w+)")
_IOS = re.compile(r"ios_\d+_\d+_(arm64|x86_64)_(iphoneos|iphonesimulator)")
_WASM = re.compile(r"(?:pyodide|pyemscripten|emscripten)_\d+_\d+(?:_\d+)?_wasm32")


@dataclass(frozen=True)
class OtherPlatform:
    """A platform whose wheels are checked for the kind of their binaries only: no table says what it promises.

    ``system`` is the one that a Mach-O file names, ``infix`` the end of a module's version-specific file name.
    """

    tag: str
    name: str
    format: str
    machine: str
    infix: str
    system: str = ""


def parse_other_platform(tag: str) -> OtherPlatform | None:
    """Parse a platform tag of Android (PEP 738), iOS (PEP 730) or Pyodide (PEP 776, PEP 783); None for another."""
    if (found := _ANDROID.fullmatch(tag)) and found[1] in _ANDROID_CPUS:
        machine, triplet = _ANDROID_CPUS[found[1]]
        return OtherPlatform(tag, "Android", "ELF", machine, triplet)
    if found := _IOS.fullmatch(tag):
        system = "IOS" if found[2] == "iphoneos" else "IOS_SIMULATOR"
        return OtherPlatform(tag, "iOS", "Mach-O", _IOS_CPUS[found[1]], found[2], system)
    return OtherPlatform(tag, "Pyodide", "WebAssembly", "wasm32", "wasm32-emscripten") if _WASM.fullmatch(tag) else None


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
