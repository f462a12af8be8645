"""Test which file names each Python imports."""

from __future__ import annotations

import importlib.machinery
import sys

import pytest
from wheelworks.core.tags import CompatibilityTarget


@pytest.mark.parametrize(
    ("suffix", "target", "expected"),
    [
        ("so", CompatibilityTarget("cp311-abi3", "glibc", "x86_64"), True),
        ("so", CompatibilityTarget("cp314-cp314t", "musl", "x86_64"), True),
        ("so", CompatibilityTarget("cp311-abi3", "windows", "x86_64"), False),
        ("pyd", CompatibilityTarget("cp311-abi3", "windows", "x86_64"), True),
        ("pyd", CompatibilityTarget("cp311-abi3", "macos", "x86_64"), False),
        ("abi3.so", CompatibilityTarget("cp311-abi3", "macos", "aarch64"), True),
        ("abi3.so", CompatibilityTarget("cp311-abi3", "windows", "aarch64"), False),
        ("abi3.so", CompatibilityTarget("cp314-cp314t", "glibc", "aarch64"), False),
        ("abi3t.so", CompatibilityTarget("cp315-abi3t", "glibc", "aarch64"), True),
        ("abi3t.so", CompatibilityTarget("cp315-abi3", "musl", "aarch64"), True),
        ("abi3t.so", CompatibilityTarget("cp314-cp314t", "glibc", "aarch64"), False),
        ("cpython-314t-x86_64-linux-gnu.so", CompatibilityTarget("cp314-cp314t", "glibc", "x86_64"), True),
        ("cpython-314t-x86_64-linux-gnu.so", CompatibilityTarget("cp314-cp314t", "musl", "x86_64"), False),
        ("cpython-314-x86_64-linux-gnu.so", CompatibilityTarget("cp314-cp314t", "glibc", "x86_64"), False),
        ("cpython-313-x86_64-linux-gnu.so", CompatibilityTarget("cp314-cp314", "glibc", "x86_64"), False),
        ("cpython-314t-darwin.so", CompatibilityTarget("cp314-cp314t", "macos", "x86_64"), True),
        ("cp314t-win_arm64.pyd", CompatibilityTarget("cp314-cp314t", "windows", "aarch64"), True),
        ("cp314-win_arm64.pyd", CompatibilityTarget("cp314-cp314t", "windows", "aarch64"), False),
    ],
)
def test_suffixes(suffix: str, target: CompatibilityTarget, expected: bool) -> None:
    assert target.imports(suffix) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="this Python's own suffixes, as Linux has them")
def test_this_pythons_own_suffixes() -> None:
    """``imports`` accepts every suffix that this Python lists."""
    minor = sys.version_info.minor
    target = CompatibilityTarget(f"cp3{minor}-cp3{minor}", "glibc", "x86_64")
    assert all(target.imports(suffix.removeprefix(".")) for suffix in importlib.machinery.EXTENSION_SUFFIXES)
