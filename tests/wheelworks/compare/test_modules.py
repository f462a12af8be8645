"""Which names of a file each Python loads."""

from __future__ import annotations

import importlib.machinery
import sys

import pytest
from wheelworks.compare.modules import loads
from wheelworks.core.tags import Slot


@pytest.mark.parametrize(
    ("suffix", "slot", "expected"),
    [
        ("so", Slot("cp311-abi3", "glibc", "x86_64"), True),
        ("so", Slot("cp314-cp314t", "musl", "x86_64"), True),
        ("so", Slot("cp311-abi3", "windows", "x86_64"), False),
        ("pyd", Slot("cp311-abi3", "windows", "x86_64"), True),
        ("pyd", Slot("cp311-abi3", "macos", "x86_64"), False),
        ("abi3.so", Slot("cp311-abi3", "macos", "aarch64"), True),
        ("abi3.so", Slot("cp311-abi3", "windows", "aarch64"), False),
        ("abi3.so", Slot("cp314-cp314t", "glibc", "aarch64"), False),
        ("abi3t.so", Slot("cp315-abi3t", "glibc", "aarch64"), True),
        ("abi3t.so", Slot("cp315-abi3", "musl", "aarch64"), True),
        ("abi3t.so", Slot("cp314-cp314t", "glibc", "aarch64"), False),
        ("cpython-314t-x86_64-linux-gnu.so", Slot("cp314-cp314t", "glibc", "x86_64"), True),
        ("cpython-314t-x86_64-linux-gnu.so", Slot("cp314-cp314t", "musl", "x86_64"), False),
        ("cpython-314-x86_64-linux-gnu.so", Slot("cp314-cp314t", "glibc", "x86_64"), False),
        ("cpython-313-x86_64-linux-gnu.so", Slot("cp314-cp314", "glibc", "x86_64"), False),
        ("cpython-314t-darwin.so", Slot("cp314-cp314t", "macos", "x86_64"), True),
        ("cp314t-win_arm64.pyd", Slot("cp314-cp314t", "windows", "aarch64"), True),
        ("cp314-win_arm64.pyd", Slot("cp314-cp314t", "windows", "aarch64"), False),
    ],
)
def test_suffixes(suffix: str, slot: Slot, expected: bool) -> None:
    assert loads(suffix, slot) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="this Python's own suffixes, as Linux has them")
def test_this_pythons_own_suffixes() -> None:
    """Whatever this Python says that it loads, ``loads`` says, too."""
    minor = sys.version_info.minor
    slot = Slot(f"cp3{minor}-cp3{minor}", "glibc", "x86_64")
    assert all(loads(suffix.removeprefix("."), slot) for suffix in importlib.machinery.EXTENSION_SUFFIXES)
