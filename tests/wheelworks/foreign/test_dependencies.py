"""Test what is downloaded for a wheel that needs other distributions to be imported."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.errors import Unsupported
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign import dependencies
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.dependencies import download_dependencies, list_platforms, read_requirements
from wheelworks.foreign.pythons import Runtime
from wheelworks.testing.requirements import NoWheel

from tests.fixtures import wheels as made

METADATA = """Metadata-Version: 2.4
Name: sample
Version: {version}
Requires-Dist: numpy>=1.25
Requires-Dist: colorama; sys_platform == "win32"
Requires-Dist: uvloop; sys_platform == "linux"
Requires-Dist: tomli; python_version < "3.11"
Requires-Dist: pytest; extra == "test"
"""
WINDOWS = Runtime("windows", find_cpu("aarch64"), "3.13")


def test_requirements_are_those_of_a_python_on_linux(tmp_path: Path) -> None:
    """The Python code of the wheel sees Linux. Extras are left out."""
    wheel = open_wheel(made.wheel(tmp_path, "cp313-cp313-win_arm64", metadata=METADATA))
    assert sorted(read_requirements(wheel, WINDOWS)) == ["numpy>=1.25", "uvloop"]


def test_a_wheel_without_metadata_requires_nothing(tmp_path: Path) -> None:
    assert read_requirements(open_wheel(made.wheel(tmp_path, metadata="Name: sample\n")), WINDOWS) == []


@pytest.mark.parametrize(
    ("system", "cpu", "platform"),
    [
        ("windows", "aarch64", "win_arm64"),
        ("macos", "aarch64", "macosx_13_0_arm64"),
        ("macos", "x86_64", "macosx_13_0_x86_64"),
    ],
)
def test_binaries_are_those_of_the_wheels_platform(system: str, cpu: str, platform: str) -> None:
    assert list_platforms(Runtime(system, find_cpu(cpu), "3.13")) == [platform]  # type: ignore[arg-type]


def test_a_linux_wheel_gets_linux_ones() -> None:
    assert "manylinux2014_s390x" in list_platforms(Runtime("linux", find_cpu("s390x"), "3.13"))


def test_a_requirement_without_a_wheel_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[Path]:
        raise NoWheel("numpy: not all have wheels for CPython 3.13 and win_arm64", "")

    monkeypatch.setattr(dependencies, "download_requirements", refuse)
    with pytest.raises(Unsupported, match="it needs other distributions: numpy"):
        download_dependencies(["numpy"], WINDOWS, tmp_path)
