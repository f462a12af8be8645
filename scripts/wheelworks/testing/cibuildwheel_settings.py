"""Read how a project tests its wheels from ``[tool.cibuildwheel]`` in pyproject.toml.

cibuildwheel's documentation, "Options" and "Configuration methods", is the source: an option of a platform's table wins
over the general one, and each of the ``[[overrides]]`` whose ``select`` matches the wheel's identifier
(``cp313-win_arm64``) wins over those before it; ``inherit`` makes it add to them instead. Options may be strings, lists
or tables. ``CIBW_*`` variables are not read: they are set in workflow files, which an sdist doesn't have.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import parse_platform
from wheelworks.core.wheel import WheelName

System = Literal["linux", "windows", "macos"]
Value = str | list[str] | dict[str, str]

OPTIONS = ("test-command", "test-requires", "test-sources", "test-extras", "test-groups", "test-environment")
_SEPARATORS = {"test-command": " && ", "test-extras": ","}
_RULES = ("none", "append", "prepend")
_BRACES = re.compile(r"\{([^{}]*)\}")
MAX_PATTERNS = 1000  # after the expansion of braces


@dataclass(frozen=True)
class TestSettings:
    """What a project says about the tests of a wheel; each is empty where it says nothing."""

    __test__ = False  # it isn't a class of tests for pytest

    command: str = ""
    requires: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def format_identifiers(name: WheelName) -> list[tuple[str, System]]:
    """Return cibuildwheel's identifiers of the builds that make a wheel, each with its system, sorted."""
    found = set()
    for tag in name.tags:
        platform = parse_platform(tag.platform)
        python = f"{tag.interpreter}t" if re.fullmatch(r"cp\d+t", tag.abi) else tag.interpreter
        if platform and platform.os in ("linux", "windows", "macos"):
            libc = {"glibc": "manylinux", "musl": "musllinux"}.get(platform.libc, "manylinux")
            heads = {"linux": f"{libc}_{platform.arch}", "macos": f"macosx_{platform.arch}"}
            found.add((f"{python}-{heads.get(platform.os, tag.platform)}", platform.os))
    return sorted(found)  # type: ignore[arg-type]


def read_test_settings(pyproject: Mapping[str, Any], identifier: str, system: System) -> TestSettings:
    """Return the settings for the wheel with cibuildwheel's ``identifier``. Raises WheelworksError for other types."""
    general = _read_table(_read_table(pyproject, "tool"), "cibuildwheel")
    layers = [general, _read_table(general, system), *_select_overrides(general, identifier)]
    merged = {option: _merge(option, layers) for option in OPTIONS}
    return TestSettings(
        command=merged["test-command"],
        requires=tuple(_split(merged["test-requires"])),
        sources=tuple(_split(merged["test-sources"])),
        extras=tuple(filter(None, re.split(r"[,\s]+", merged["test-extras"]))),
        groups=tuple(merged["test-groups"].split()),
        environment=parse_environment(merged["test-environment"]),
    )


def _read_table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise WheelworksError(f"pyproject.toml: {name} must be a table")
    return found


def _select_overrides(general: Mapping[str, Any], identifier: str) -> Iterator[Mapping[str, Any]]:
    overrides = general.get("overrides", [])
    if not isinstance(overrides, list) or not all(isinstance(one, dict) for one in overrides):
        raise WheelworksError("pyproject.toml: [[tool.cibuildwheel.overrides]] must be a list of tables")
    for override in overrides:
        if is_selected(_join(override.get("select", ""), " ", "select"), identifier):
            yield override


def is_selected(patterns: str, identifier: str) -> bool:
    """Return whether one of the ``patterns``, separated by spaces, matches: shell's wildcards and braces."""
    return any(fnmatchcase(identifier, one) for pattern in patterns.split() for one in expand_braces(pattern))


def expand_braces(pattern: str) -> set[str]:
    """Return the words that a shell makes of ``cp3{11,12}-*`` or ``cp3{11..13}-*``. Raises WheelworksError for many."""
    waiting, known = [pattern], {pattern}
    found = set()
    while waiting:
        word = waiting.pop()
        groups = ((group, _list_alternatives(group[0])) for group in _BRACES.finditer(word))
        group, alternatives = next((pair for pair in groups if len(pair[1]) > 1), (None, []))
        if group is None:
            found.add(word)
        new = {f"{word[: group.start()]}{one}{word[group.end() :]}" for one in alternatives} if group else set()
        waiting += new - known
        known |= new
        if len(known) > MAX_PATTERNS:
            raise WheelworksError(f"pyproject.toml: the selector {pattern[:80]!r} stands for too many patterns")
    return found


def _list_alternatives(part: str) -> list[str]:
    if not (braces := _BRACES.fullmatch(part)):
        return [part]
    if numbers := re.fullmatch(r"(\d{1,4})\.\.(\d{1,4})", braces[1]):
        return [str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    return braces[1].split(",") if "," in braces[1] else [part]


def _merge(option: str, layers: list[Mapping[str, Any]]) -> str:
    """Return an option's value after all layers, as text."""
    separator, value = _SEPARATORS.get(option, " "), ""
    for layer in layers:
        if option not in layer:
            continue
        rule = _read_table(layer, "inherit").get(option, "none")
        if rule not in _RULES:
            raise WheelworksError(f"pyproject.toml: inherit of {option} must be one of {', '.join(_RULES)}")
        new = _join(layer[option], separator, option)
        parts = {"none": [new], "append": [value, new], "prepend": [new, value]}[rule]
        value = separator.join(filter(None, parts))
    return value


def _join(value: object, separator: str, option: str) -> str:
    """Return an option that may be a string, a list of strings or (an environment) a table as one string."""
    quote = option in ("test-requires", "test-sources")
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return separator.join(shlex.quote(word) if quote else word for word in value)
    if option == "test-environment" and isinstance(value, dict):
        return " ".join(f"{name}={shlex.quote(str(text))}" for name, text in value.items())
    raise WheelworksError(f"pyproject.toml: {option} of [tool.cibuildwheel] must be a string or a list of strings")


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise WheelworksError(f"pyproject.toml: {text[:80]!r} can't be split into words: {error}") from error


def parse_environment(text: str) -> dict[str, str]:
    """Return the variables of ``A=1 B="two words"``. ``$NAME`` is left in the values. Raises WheelworksError."""
    found = {}
    for word in _split(text):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise WheelworksError(f"pyproject.toml: {word[:80]!r} in test-environment is no NAME=value")
        found[name] = value
    return found
