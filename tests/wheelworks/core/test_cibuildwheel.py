"""Test the reader of ``[tool.cibuildwheel]`` against cibuildwheel's documentation and its own brace expansion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wheelworks.core import cibuildwheel
from wheelworks.core.errors import WheelworksError

LINUX, MUSL, MACOS, WINDOWS = (
    f"cp312-{name}" for name in ("manylinux_x86_64", "musllinux_x86_64", "macosx_arm64", "win_amd64")
)


def parse(**table: Any) -> cibuildwheel.Settings:
    return cibuildwheel.parse_settings({name.replace("_", "-"): value for name, value in table.items()})


@pytest.mark.parametrize(
    ("pattern", "identifier", "expected"),
    [
        ("cp312-*", LINUX, True),
        ("cp311-* cp312-*", LINUX, True),
        ("cp3{11,12}-*", LINUX, True),
        ("cp31[0-2]-*", LINUX, True),
        ("cp313-* *-win32", LINUX, False),
        ("*-musllinux_*", LINUX, False),
        ("CP312-*", LINUX, False),
        ("", LINUX, False),
    ],
)
def test_a_pattern_selects(pattern: str, identifier: str, expected: bool) -> None:
    assert cibuildwheel.matches(pattern, identifier) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("cp3{9..11}-*", ["cp39-*", "cp310-*", "cp311-*"]), ("a{1,2}{c,d}", ["a1c", "a1d", "a2c", "a2d"]), ("{", ["{"])],
)
def test_braces_are_expanded(pattern: str, expected: list[str]) -> None:
    assert cibuildwheel.expand_braces(pattern) == expected


def test_a_hostile_pattern_is_refused() -> None:
    with pytest.raises(WheelworksError, match="too many identifiers"):
        cibuildwheel.expand_braces("{a,b}" * 40)


@pytest.mark.parametrize(
    ("table", "selected"),
    [
        ({}, [LINUX, MUSL, MACOS, WINDOWS]),
        ({"build": "*-manylinux_* *-win_*"}, [LINUX, WINDOWS]),
        ({"build": ["cp312-*"], "skip": ["*-musllinux_*", "*-win*"]}, [LINUX, MACOS]),
        ({"build": "cp311-*"}, []),
        ({"skip": "cp3*"}, []),
    ],
)
def test_build_and_skip_select_wheels(table: dict[str, Any], selected: list[str]) -> None:
    settings = parse(**table)
    assert [one for one in (LINUX, MUSL, MACOS, WINDOWS) if settings.is_selected(one)] == selected


def test_a_platforms_table_replaces_the_whole_tables_options() -> None:
    settings = parse(environment={"A": "1"}, macos={"environment": {"B": "2"}})
    assert settings.select(LINUX).variables("environment", {}) == {"A": "1"}
    assert settings.select(MACOS).variables("environment", {}) == {"B": "2"}


def test_overrides_apply_in_order_where_they_match() -> None:
    overrides = [
        {"select": "*-musllinux_*", "environment": "A=musl"},
        {"select": ["cp312-*", "cp313-*"], "inherit": {"environment": "append"}, "environment": "B=312"},
    ]
    settings = parse(environment="A=1", overrides=overrides)
    assert settings.select(MUSL).variables("environment", {}) == {"A": "musl", "B": "312"}
    assert settings.select(LINUX).variables("environment", {}) == {"A": "1", "B": "312"}
    assert settings.select("cp311-win32").variables("environment", {}) == {"A": "1"}


@pytest.mark.parametrize(
    ("name", "first", "second", "rule", "joined"),
    [
        ("test-command", "a", ["b", "c"], "append", "a && b && c"),
        ("test-command", ["a"], "b", "prepend", "b && a"),
        ("test-requires", ["pytest", "a b"], ["c"], "append", "pytest 'a b' c"),
        ("test-extras", ["x"], ["y"], "append", "x,y"),
        ("test-skip", "a", "b", "none", "b"),
        ("config-settings", {"k": "1", "l": ["2", "3"]}, "k=4", "append", "k=4 l=2 l=3"),
    ],
)
def test_inherited_options_are_joined(name: str, first: object, second: object, rule: str, joined: str) -> None:
    settings = cibuildwheel.parse_settings({name: first, "linux": {name: second, "inherit": {name: rule}}})
    assert settings.select(LINUX).text(name) == joined


def test_a_configuration_of_the_backend_is_a_table() -> None:
    options = parse(config_settings={"--build-option": ["-a", "-b"], "x": "y z"}).select(LINUX)
    assert options.table("config-settings") == {"--build-option": ["-a", "-b"], "x": "y z"}


def test_words_keep_their_quotes() -> None:
    options = parse(test_requires=["pytest", "x; python_version < '3.12'"], test_extras="a, b").select(LINUX)
    assert options.words("test-requires") == ("pytest", "x; python_version < '3.12'")
    assert options.words("test-extras") == ("a", "b") and options.words("build") == ()


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        ([], r"\[tool.cibuildwheel\] must be a table"),
        ({"biuld": "*"}, "unknown option 'biuld': did you mean build?"),
        ({"linux": {"select": "*"}}, r"\[tool.cibuildwheel.linux\] has the unknown option 'select'"),
        ({"linux": 1}, r"\[tool.cibuildwheel.linux\] must be a table"),
        ({"build": {"a": "b"}}, "build can't be"),
        ({"build-verbosity": ["1"]}, "build-verbosity can't be a list"),
        ({"environment": ["A=1"]}, "environment can't be a list"),
        ({"overrides": {}}, "overrides must be a list"),
        ({"overrides": [{"build": "*"}]}, "select must be a pattern"),
        ({"inherit": {"build": "before"}}, "inherit is a table of none, append and prepend"),
        ({"enable": "jython"}, "enable: 'jython' is unknown"),
    ],
)
def test_a_wrong_table_is_refused(table: object, finding: str) -> None:
    with pytest.raises(WheelworksError, match=finding):
        cibuildwheel.parse_settings(table)


def test_an_option_that_cannot_be_joined_is_refused() -> None:
    settings = parse(build_frontend="pip", linux={"build-frontend": "build", "inherit": "build-frontend"})
    with pytest.raises(WheelworksError, match="build-frontend can't be inherited"):
        settings.select(LINUX)


@pytest.mark.parametrize("text", ["config-settings=x", '"unclosed'])
def test_a_configuration_without_values_is_refused(text: str) -> None:
    with pytest.raises(WheelworksError, match="config-settings"):
        parse(config_settings=text.partition("=")[2] or text).select(LINUX).table("config-settings")


def test_a_project_without_the_table_has_no_settings(tmp_path: Path) -> None:
    assert cibuildwheel.read_settings(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool.cibuildwheel]\nskip = 'pp*'\n", encoding="utf-8")
    found = cibuildwheel.read_settings(tmp_path)
    assert found is not None and found.select(LINUX).text("skip") == "pp*"
