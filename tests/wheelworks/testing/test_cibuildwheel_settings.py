"""The settings for tests in [tool.cibuildwheel]: their types, platforms, overrides and selectors."""

from __future__ import annotations

import fnmatch
import importlib.util
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing.cibuildwheel_settings import (
    TestSettings,
    expand_braces,
    format_identifiers,
    is_selected,
    parse_environment,
    read_test_settings,
)

TALLIES = tomllib.loads((Path(__file__).parents[2] / "projects/tallies/pyproject.toml").read_text())


def read(text: str, identifier: str = "cp313-win_arm64", system: Any = "windows") -> TestSettings:
    return read_test_settings(tomllib.loads(text), identifier, system)


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
    assert [one for one, _ in format_identifiers(parse_wheel_name(f"x-1.0-{tag}.whl"))] == identifiers


def test_a_project_without_settings() -> None:
    assert read("") == TestSettings()


def test_options_are_strings_lists_or_tables() -> None:
    settings = read(
        """[tool.cibuildwheel]
        test-command = ["pytest a", "pytest b"]
        test-requires = ["pytest>=8", "x; python_version < '3.12'"]
        test-sources = "tests 'more tests'"
        test-extras = "one,two"
        test-groups = ["g", "h"]
        test-environment = 'A=1 B="two words" C=$A'"""
    )
    assert settings.command == "pytest a && pytest b"
    assert settings.requires == ("pytest>=8", "x; python_version < '3.12'")
    assert (settings.sources, settings.extras, settings.groups) == (("tests", "more tests"), ("one", "two"), ("g", "h"))
    assert settings.environment == {"A": "1", "B": "two words", "C": "$A"}


def test_a_platforms_table_wins_and_the_last_override_that_matches() -> None:
    linux = read_test_settings(TALLIES, "cp313-manylinux_aarch64", "linux")
    assert (linux.command, linux.groups) == ("pytest {project}/tests", ("tests",))
    windows = read_test_settings(TALLIES, "cp313-win_arm64", "windows")
    assert windows.command.startswith("python -m unittest") and windows.environment == {"TALLIES_LIMIT": "64"}
    macos = read_test_settings(TALLIES, "cp311-macosx_arm64", "macos")
    assert (macos.command, macos.sources) == ("pytest tests", ("tests", "pyproject.toml"))
    assert macos.environment == {"TALLIES_LIMIT": "64", "TALLIES_CHECK": "1"}
    assert read_test_settings(TALLIES, "cp313-macosx_arm64", "macos").sources == ()


def test_inherit_adds_before_or_after() -> None:
    text = """[tool.cibuildwheel]
    test-command = "a"
    [[tool.cibuildwheel.overrides]]
    select = ["cp313-*", "x"]
    inherit.test-command = "prepend"
    test-command = "b"
    [[tool.cibuildwheel.overrides]]
    select = "*-win_arm64"
    inherit.test-command = "append"
    test-command = "c"
    [[tool.cibuildwheel.overrides]]
    select = "*-win32"
    test-command = "d"
    """
    assert read(text).command == "b && a && c"


@pytest.mark.parametrize(
    "text",
    [
        "tool = 1",
        "[tool]\ncibuildwheel = 'x'",
        "[tool.cibuildwheel]\ntest-command = 1",
        "[tool.cibuildwheel]\ntest-requires = [1]",
        '[tool.cibuildwheel]\ntest-requires = "\'"',
        "[tool.cibuildwheel]\nwindows = []",
        "[tool.cibuildwheel]\noverrides = {}",
        "[tool.cibuildwheel]\noverrides = [{select = 1}]",
        "[tool.cibuildwheel]\ntest-environment = 'A'",
        "[tool.cibuildwheel]\ntest-environment = '1A=2'",
        "[tool.cibuildwheel]\ninherit.test-command = 'mix'\ntest-command = 'x'",
    ],
)
def test_other_types_are_refused(text: str) -> None:
    with pytest.raises(WheelworksError, match=r"pyproject\.toml"):
        read(text)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a", ["a"]),
        ("cp3{11,12}-*", ["cp311-*", "cp312-*"]),
        ("cp3{9..11}", ["cp39", "cp310", "cp311"]),
        ("{a,b}{c,d}", ["ac", "ad", "bc", "bd"]),
        ("{a,{b,c}}x", ["ax", "bx", "cx"]),
        ("{a}", ["{a}"]),
        ("{}", ["{}"]),
        ("{a,b", ["{a,b"]),
    ],
)
def test_braces(pattern: str, words: list[str]) -> None:
    assert expand_braces(pattern) == set(words)


def test_too_many_patterns_are_refused() -> None:
    for pattern in ("{a,b}" * 20, "{1..9999}{1..9999}", "{a," * 500 + "b" + "}" * 500 + "{c,d}" * 9):
        with pytest.raises(WheelworksError, match="too many"):
            expand_braces(pattern)


def test_selectors() -> None:
    assert is_selected("cp313-* *-win32", "cp39-win32") and not is_selected("cp313-*", "cp39-win32")
    assert not is_selected("", "cp39-win32")


@given(st.text("{},.ab1*"))
def test_any_pattern_ends(pattern: str) -> None:
    with suppress(WheelworksError):
        assert expand_braces(pattern)


@pytest.mark.skipif(not importlib.util.find_spec("bracex"), reason="needs cibuildwheel's own expansion")
@given(st.text("{},ab1*", max_size=12))
def test_braces_are_expanded_as_by_cibuildwheel(pattern: str) -> None:
    import bracex

    identifiers = ["a", "b", "ab", "1", "{}", "a1b", "{a}", ",", "ba", "aa1"]
    for identifier in identifiers:
        theirs = any(fnmatch.fnmatch(identifier, one) for one in bracex.expand(pattern))
        assert is_selected(pattern, identifier) == theirs, identifier


def test_variables() -> None:
    assert parse_environment("A= B='x y'") == {"A": "", "B": "x y"}
