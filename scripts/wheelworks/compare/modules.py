"""The extension modules of a wheel, whatever their files are called: a Python loads one module from several names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wheelworks.compare.pairs import Pair, Wheel
from wheelworks.core.tags import CompatibilityTarget

BINARIES = (".so", ".pyd", ".dylib")
_EXACT = re.compile(r"(?:cpython-|cp)3(\d+)(t?)-(.+)\.(?:so|pyd)")
_LIBC = {"glibc": "-linux-gnu", "musl": "-linux-musl"}


def modules(wheel: Wheel, slots: Iterable[CompatibilityTarget]) -> dict[str, str]:
    """The file of each module that every Python of ``slots`` finds, by the module's path without a suffix."""
    wanted = tuple(slots)
    found = {}
    for name in wheel.members:
        folder, _, file = name.rpartition("/")
        stem, _, suffix = file.partition(".")
        if name.endswith(BINARIES) and all(loads(suffix, slot) for slot in wanted):
            found[f"{folder}/{stem}".removeprefix("/")] = name
    return found


def shared(one: Pair) -> list[tuple[str, str, str]]:
    """The modules that both wheels of a pair have, each with its file in the first and in the second."""
    first, second = modules(one.a, one.slots), modules(one.b, one.slots)
    return [(module, first[module], second[module]) for module in sorted(first.keys() & second.keys())]


def loads(suffix: str, slot: CompatibilityTarget) -> bool:
    """Whether ``import`` on a slot's Python looks for files of this suffix (CPython: importlib.machinery, PEP 803)."""
    minor, free_threaded = python_of(slot)
    if suffix == ("pyd" if slot.system == "windows" else "so"):
        return True
    if suffix == "abi3.so":
        return not free_threaded and slot.system != "windows"
    if suffix == "abi3t.so":
        return minor >= 15 and slot.system != "windows"
    exact = _EXACT.fullmatch(suffix)
    return exact is not None and (int(exact[1]), bool(exact[2])) == (minor, free_threaded) and _of(exact[3], slot)


def _of(platform: str, slot: CompatibilityTarget) -> bool:
    if slot.system == "windows":
        return platform.startswith("win")
    if slot.system == "macos":
        return platform == "darwin"
    return _LIBC.get(slot.system, "-linux-") in f"-{platform}"


def python_of(slot: CompatibilityTarget) -> tuple[int, bool]:
    """The second number of the oldest CPython 3 that a slot is for, and whether it has no GIL."""
    interpreter, _, abi = slot.abi.partition("-")
    digits = interpreter.removeprefix("cp3")
    return int(digits) if digits.isdigit() else 0, abi.endswith("t")
