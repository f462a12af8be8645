"""The settings for the tests of one wheel in [tool.cibuildwheel]."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing.cibuildwheel_settings import TestSettings, list_identifiers, read_test_settings

TALLIES = Path(__file__).parents[2] / "projects" / "tallies"


def read(tree: Path, tag: str) -> TestSettings:
    return read_test_settings(tree, parse_wheel_name(f"x-1.0-{tag}.whl"))


@pytest.mark.parametrize(
    ("tag", "identifiers"),
    [
        ("cp311-abi3-win_arm64", ["cp311-win_arm64"]),
        ("cp314-cp314t-win_amd64", ["cp314t-win_amd64"]),
        ("cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64", ["cp313-manylinux_aarch64"]),
        ("cp313-cp313-musllinux_1_2_x86_64", ["cp313-musllinux_x86_64"]),
        ("cp313-cp313-macosx_10_13_universal2", ["cp313-macosx_universal2"]),
        ("cp311.cp312-abi3-macosx_11_0_arm64", ["cp311-macosx_arm64", "cp312-macosx_arm64"]),
        ("py3-none-any", []),
    ],
)
def test_identifiers(tag: str, identifiers: list[str]) -> None:
    assert list_identifiers(parse_wheel_name(f"x-1.0-{tag}.whl")) == identifiers


def test_a_project_without_settings(tmp_path: Path) -> None:
    assert read(tmp_path, "cp311-abi3-win_arm64") == TestSettings()


def test_each_platform_has_its_own() -> None:
    linux = read(TALLIES, "cp313-cp313-manylinux_2_17_aarch64")
    assert (linux.command, linux.groups) == ("pytest {project}/tests", ("tests",))
    windows = read(TALLIES, "cp313-cp313-win_arm64")
    assert windows.command.startswith("python -m unittest") and windows.environment == {"TALLIES_LIMIT": "64"}
    macos = read(TALLIES, "cp311-abi3-macosx_11_0_arm64")
    assert (macos.command, macos.sources) == ("pytest tests", ("tests", "pyproject.toml"))
    assert macos.environment == {"TALLIES_LIMIT": "64", "TALLIES_CHECK": "1"}
    assert read(TALLIES, "cp313-cp313-macosx_11_0_arm64").sources == ()


def test_all_options(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        """[tool.cibuildwheel]
        test-command = ['pytest a\\b', "pytest c"]
        test-requires = ["pytest>=8", "x; python_version < '3.12'"]
        test-sources = "tests 'more tests'"
        test-extras = "one,two"
        test-environment = 'A=1 B="two $A" C=${D}'"""
    )
    settings = read(tmp_path, "cp313-cp313-win_arm64")
    assert settings.command == "pytest a/b && pytest c"
    assert settings.requires == ("pytest>=8", "x; python_version < '3.12'")
    assert (settings.sources, settings.extras) == (("tests", "more tests"), ("one", "two"))
    assert settings.environment == {"A": "1", "B": "two ${A}", "C": "${D}"}
    assert read(tmp_path, "cp313-cp313-macosx_11_0_arm64").command == "pytest a\\b && pytest c"


def test_what_needs_a_shell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.cibuildwheel]\ntest-environment = 'A=$(ls)'\n")
    with pytest.raises(WheelworksError, match="needs a shell"):
        read(tmp_path, "cp313-cp313-win_arm64")
