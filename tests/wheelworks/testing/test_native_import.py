"""Test the import of wheels under this machine's CPythons: a good wheel passes, one that can't be imported fails."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest
from wheelworks.core import interpreters
from wheelworks.core.interpreters import Python
from wheelworks.testing import native_import

ABI = f"cp{sys.version_info[0]}{sys.version_info[1]}"
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")


def python(*tags: str) -> Python:
    return Python(Path(sys.executable), "3.x", free_threaded=False, tags=tags)


def test_a_wheel_goes_to_the_cpython_of_its_tags() -> None:
    old, new = python("cp311-cp311-linux_x86_64", "cp311-abi3-linux_x86_64"), python("cp312-cp312-linux_x86_64")
    wheel = Path("a-1-cp312-cp312-linux_x86_64.whl")
    assert native_import.choose_python(wheel, [old, new]) is new
    assert native_import.choose_python(wheel, [old]) is None


@pytest.mark.parametrize(
    ("name", "versioned"),
    [
        ("a-1-cp312-cp312-win32.whl", True),
        ("a-1-cp314-cp314t-win32.whl", True),
        ("a-1-cp312-abi3-win32.whl", False),
        ("a-1-py3-none-any.whl", False),
    ],
)
def test_only_wheels_of_one_version_are_imported(name: str, versioned: bool) -> None:
    assert native_import.is_versioned(Path(name)) is versioned


def test_installed_cpythons_are_those_of_the_table() -> None:
    found = interpreters.list_installed()
    versions = [tuple(map(int, one.version.split("."))) for one in found]
    assert versions == sorted(versions) and all((3, 10) <= version < (3, 16) for version in versions)
    assert any(one.version.startswith("3.11.") for one in found)
