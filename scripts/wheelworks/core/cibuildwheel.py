"""Read a project's ``[tool.cibuildwheel]``: which wheels it has, and how each is built and tested.

The rules are those of cibuildwheel 4 (https://cibuildwheel.pypa.io/en/stable/options/): an option of the whole table is
replaced by that of the platform's table, and that by each override whose ``select`` matches the wheel's identifier, in
order; with ``inherit`` it is joined to the former value instead. As in cibuildwheel, each value becomes a text first.
The ``CIBW_*`` variables aren't read, because a build doesn't depend on the user's environment.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import bracex

from wheelworks.core.errors import WheelworksError
from wheelworks.core.shell_words import Assignment, evaluate_assignments, parse_assignments
from wheelworks.core.source_tree import read_pyproject
from wheelworks.core.targets import Abi, Target

PLATFORMS = ("linux", "macos", "windows")
_OTHER_PLATFORMS = ("android", "ios", "pyodide")
_MAX_PATTERNS = 10_000

# How each option's lists and tables become texts: the separator, and whether the parts are quoted for a shell.
_COMMANDS = {"before-all", "before-build", "before-test", "test-command", "repair-wheel-command", "audit-command"}
_WORDS = {"build", "skip", "test-skip", "enable", "archs", "environment-pass", "test-groups"}
_QUOTED = {"xbuild-tools", "test-sources", "test-requires", "audit-requires"}
_VARIABLES = {"environment", "test-environment"}
_TABLES = {"build-frontend", "container-engine", "dependency-versions", "xbuild-files", "test-runtime"}
_MACHINES = ("x86_64", "i686", "aarch64", "ppc64le", "s390x", "armv7l", "riscv64", "pypy_x86_64", "pypy_i686")
IMAGES = {f"{libc}-{cpu}-image" for libc in ("manylinux", "musllinux") for cpu in (*_MACHINES, "pypy_aarch64")}
_FORMER = {"free-threaded-support"}  # an option of version 2 without an effect today
KNOWN = frozenset(
    {"build-verbosity", "pyodide-version", "config-settings", "test-extras"}
    | _COMMANDS | _WORDS | _QUOTED | _VARIABLES | _TABLES | IMAGES | _FORMER
)  # fmt: skip
# Groups of wheels that an older or this version builds only when they are enabled; none is of a released CPython.
GROUPS = (
    *("all", "cpython-prerelease", "cpython-freethreading", "cpython-experimental-riscv64", "graalpy", "pypy"),
    *("pypy-eol", "pyodide-eol", "pyodide-prerelease"),
)

# Words of the option ``archs`` that name no CPU: the machines of a project's CI decide. Then the names of CPUs.
_ANY_ARCHS = {"auto", "native", "all"}
_ARCHS = {"x86_64", "i686", "aarch64", "ppc64le", "s390x", "armv7l", "riscv64", "loongarch64", "arm64", "universal2"}
_WINDOWS_ARCHS = {"win_amd64": "AMD64", "win_arm64": "ARM64", "win32": "x86"}
_ARCHS_OF_32_BITS = {"i686", "armv7l", "x86"}

Rule = Literal["none", "append", "prepend"]


def platform_suffix(target: Target) -> str:
    """Return the second half of a target's identifiers: its tag without the version of the libc or system."""
    return re.sub(r"^(manylinux|musllinux|macosx)_\d+_\d+_", r"\1_", target.id)


def format_identifier(target: Target, abi: Abi) -> str:
    """Return cibuildwheel's identifier of a wheel, ``cp311-manylinux_x86_64``: of the oldest Python that it serves."""
    return f"cp{abi.nodot}-{platform_suffix(target)}"


def name_arch(target: Target) -> str:
    """Return the name of a target's CPU for the option ``archs``."""
    name = platform_suffix(target)
    return _WINDOWS_ARCHS.get(name) or name.partition("_")[2]


def find_platform(identifier: str) -> str:
    """Return the platform of an identifier: "linux", "macos" or "windows"."""
    suffix = identifier.partition("-")[2]
    return "windows" if suffix.startswith("win") else "macos" if suffix.startswith("macosx") else "linux"


def matches(patterns: str, identifier: str) -> bool:
    """Return whether one of several patterns (with ``*``, ``?``, ``[...]`` and braces) matches an identifier."""
    return any(fnmatchcase(identifier, one) for pattern in patterns.split() for one in expand_braces(pattern))


def expand_braces(pattern: str) -> list[str]:
    """Return what a shell's brace expansion makes of a pattern: ``cp3{9,10}-*``, ``cp3{11..13}-*``.

    Raises WheelworksError for more than 10,000 results.
    """
    try:
        return list(bracex.iexpand(pattern, limit=_MAX_PATTERNS))
    except bracex.ExpansionLimitException:
        message = f"[tool.cibuildwheel]: the pattern {pattern[:60]!r} stands for too many identifiers"
        raise WheelworksError(message) from None


@dataclass(frozen=True)
class Layer:
    """The options of one table, and the rules by which they are joined to those of the tables before it."""

    options: Mapping[str, Any]
    rules: Mapping[str, Rule]
    select: str = "*"


@dataclass(frozen=True)
class Options:
    """The options for one identifier, as texts; an option that the project doesn't set is empty."""

    identifier: str
    texts: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return an option's text; a list of commands is joined by " && ". Raises KeyError for an unknown option."""
        if name not in KNOWN:
            raise KeyError(name)
        return self.texts.get(name, "")

    def words(self, name: str) -> tuple[str, ...]:
        """Return an option's words. Raises WheelworksError for an unclosed quote."""
        if name == "test-extras":
            return tuple(word.strip() for word in self.text(name).split(",") if word.strip())
        return tuple(_split(name, self.text(name)) if name in _QUOTED else self.text(name).split())

    def assignments(self, name: str) -> tuple[Assignment, ...]:
        """Return the variables that an option sets. Raises WheelworksError for text that isn't assignments."""
        return parse_assignments(self.text(name), f"[tool.cibuildwheel] {name}")

    def variables(self, name: str, outer: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that an option sets, with ``$NAME`` replaced by those set before it and in ``outer``.

        Raises WheelworksError for what needs a shell, such as ``$(command)``.
        """
        return evaluate_assignments(self.assignments(name), outer, f"[tool.cibuildwheel] {name}")

    def table(self, name: str) -> dict[str, str | list[str]]:
        """Return an option that is a table of texts or lists of texts, such as ``config-settings``."""
        found: dict[str, str | list[str]] = {}
        for word in _split(name, self.text(name)):
            key, equals, value = word.partition("=")
            if not equals:
                raise WheelworksError(f"[tool.cibuildwheel] {name}: {word!r} is not of the form KEY=VALUE")
            known = found.get(key)
            found[key] = value if known is None else [*([known] if isinstance(known, str) else known), value]
        return found


def _split(name: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise WheelworksError(f"[tool.cibuildwheel] {name}: {error}: {text[:80]!r}") from None


@dataclass(frozen=True)
class Settings:
    """A project's ``[tool.cibuildwheel]``: the whole table, those of the platforms, and the overrides."""

    common: Layer
    platforms: Mapping[str, Layer]
    overrides: tuple[Layer, ...]

    def select(self, identifier: str) -> Options:
        """Return the options for an identifier. Raises WheelworksError for an option that can't be inherited."""
        matching = (layer for layer in self.overrides if matches(layer.select, identifier))
        texts: dict[str, str] = {}
        for layer in (self.common, self.platforms[find_platform(identifier)], *matching):
            for name, value in layer.options.items():
                texts[name] = _join(name, texts.get(name, ""), _format(name, value), layer.rules.get(name, "none"))
        return Options(identifier, texts)

    def is_selected(self, identifier: str) -> bool:
        """Return whether ``build`` and ``skip`` select an identifier."""
        build = _format("build", self.common.options.get("build", "")) or "*"
        return matches(build, identifier) and not self.is_skipped(identifier)

    def has_arch(self, target: Target) -> bool:
        """Return whether ``archs`` names a target's CPU, or leaves the CPUs to the machines that build.

        A wheel for both CPUs of macOS (universal2) isn't built here, but one for each. Raises WheelworksError for an
        unknown name.
        """
        platform, own = self.platforms[target.os].options, self.common.options
        text = _format("archs", platform.get("archs", own.get("archs", "")))
        names = set(text.replace(",", " ").split()) or _ANY_ARCHS
        known = _ANY_ARCHS | _ARCHS | {"auto64", "auto32", *_WINDOWS_ARCHS.values()}
        if unknown := names - known:
            message = f"[tool.cibuildwheel] archs: {min(unknown)!r} is unknown"
            raise WheelworksError(message, f"known: {', '.join(sorted(known))}")
        arch = name_arch(target)
        accepted = {*_ANY_ARCHS, arch, "auto32" if arch in _ARCHS_OF_32_BITS else "auto64"}
        return not names.isdisjoint(accepted | ({"universal2"} if target.os == "macos" else set()))

    def is_skipped(self, identifier: str) -> bool:
        """Return whether ``skip`` names an identifier."""
        return matches(_format("skip", self.common.options.get("skip", "")), identifier)


def read_settings(tree: Path) -> Settings | None:
    """Return a project's settings for cibuildwheel; None if its pyproject.toml has none.

    Raises WheelworksError that names an unknown option, or one of a wrong type.
    """
    tool = read_pyproject(tree).get("tool", {})
    table = tool.get("cibuildwheel") if isinstance(tool, dict) else None
    return None if table is None else parse_settings(table)


def parse_settings(table: object) -> Settings:
    """Check and split the table ``[tool.cibuildwheel]``. Raises WheelworksError as `read_settings` does."""
    common = _check_table(table, "[tool.cibuildwheel]")
    nested = {name: _check_table(common.get(name, {}), f"[tool.cibuildwheel.{name}]") for name in PLATFORMS}
    overrides = common.get("overrides", [])
    if not isinstance(overrides, list):
        raise WheelworksError("[tool.cibuildwheel] overrides must be a list of tables")
    own = {name: value for name, value in common.items() if name not in (*PLATFORMS, *_OTHER_PLATFORMS, "overrides")}
    found = Settings(
        _make_layer(own, "[tool.cibuildwheel]"),
        {name: _make_layer(one, f"[tool.cibuildwheel.{name}]") for name, one in nested.items()},
        tuple(_make_override(one) for one in overrides),
    )
    if unknown := set(_format("enable", found.common.options.get("enable", "")).split()) - set(GROUPS):
        raise WheelworksError(f"[tool.cibuildwheel] enable: {min(unknown)!r} is unknown", f"known: {', '.join(GROUPS)}")
    return found


def _check_table(table: object, where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise WheelworksError(f"pyproject.toml: {where} must be a table, not {table!r}")
    return table


def _make_override(table: object) -> Layer:
    where = "[[tool.cibuildwheel.overrides]]"
    options = _check_table(table, where)
    select = options.get("select")
    patterns = [select] if isinstance(select, str) else select
    if not patterns or not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise WheelworksError(f"pyproject.toml: {where}: select must be a pattern or a list of patterns")
    return _make_layer({name: value for name, value in options.items() if name != "select"}, where, " ".join(patterns))


def _make_layer(table: Mapping[str, Any], where: str, select: str = "*") -> Layer:
    options = {name: value for name, value in table.items() if name != "inherit"}
    rules = _parse_inherit(table.get("inherit", {}), where)
    for name in (*options, *rules):
        if name not in KNOWN:
            near = difflib.get_close_matches(name, sorted(KNOWN), n=1, cutoff=0.7)
            guess = f": did you mean {near[0]}?" if near else ""
            raise WheelworksError(f"pyproject.toml: {where} has the unknown option {name!r}{guess}")
    for name, value in options.items():
        _format(name, value)
    return Layer(options, rules, select)


def _parse_inherit(given: object, where: str) -> dict[str, Rule]:
    if isinstance(given, str):  # "name: append; other: prepend", and a name alone means append
        pairs = [part.partition(":") for part in given.split(";") if part.strip()]
        given = {name.strip(): rule.strip() or "append" for name, _, rule in pairs}
    if not isinstance(given, dict) or not set(given.values()) <= {"none", "append", "prepend"}:
        raise WheelworksError(f"pyproject.toml: {where}: inherit is a table of none, append and prepend, not {given!r}")
    return given


def _format(name: str, value: object) -> str:
    """Return an option's value as text. Raises WheelworksError for a type that the option doesn't take."""
    if isinstance(value, str | bool | int):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str | bool | int) for one in value):
        return _format_list(name, [str(one) for one in value])
    if isinstance(value, dict) and name in {"config-settings", *_VARIABLES, *_TABLES}:
        return _format_table(name, value)
    raise WheelworksError(f"pyproject.toml: [tool.cibuildwheel] {name} can't be {value!r}")


def _format_list(name: str, parts: Sequence[str]) -> str:
    if name in _COMMANDS:
        return " && ".join(parts)
    if name in _QUOTED:
        return shlex.join(parts)
    if name in _WORDS or name == "test-extras":
        return ("," if name == "test-extras" else " ").join(parts)
    raise WheelworksError(f"pyproject.toml: [tool.cibuildwheel] {name} can't be a list")


def _format_table(name: str, table: Mapping[str, object]) -> str:
    if name in _VARIABLES:
        return " ".join(f'{key}="{value}"' for key, value in table.items())
    between, equals = (" ", "=") if name == "config-settings" else ("; ", ":")
    return between.join(f"{key}{equals}{shlex.quote(value)}" for key, value in _iter_pairs(table))


def _iter_pairs(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        for one in value if isinstance(value, list) else [value]:
            yield key, str(one)


def _join(name: str, before: str, after: str, rule: Rule) -> str:
    if rule == "none" or not before or not after:
        return after if rule == "none" else before or after
    first, second = (before, after) if rule == "append" else (after, before)
    if name in _COMMANDS:
        return f"{first} && {second}"
    if name == "config-settings":  # the later value of a key replaces the earlier one
        tables = [Options("", {name: text}).table(name) for text in (first, second)]
        return _format_table(name, {**tables[0], **tables[1]})
    if name in _WORDS | _QUOTED | _VARIABLES or name == "test-extras":
        return f"{first}{',' if name == 'test-extras' else ' '}{second}"
    raise WheelworksError(f"[tool.cibuildwheel] {name} can't be inherited")
