"""Plan the builds of a project: an ABI for targets that can share a binary, with the project's own settings.

The settings are those of its ``[tool.cibuildwheel]``. What they say about building is done or refused, never ignored:
options that run commands on the building machine would build for that machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.tags import cpython_tags

from wheelworks.build.prefixes import Prefix
from wheelworks.core import cibuildwheel
from wheelworks.core.cibuildwheel import Options, format_identifier
from wheelworks.core.errors import WheelworksError
from wheelworks.core.project import Project, read_project
from wheelworks.core.shell_words import Assignment, Part, evaluate_assignments
from wheelworks.core.source_tree import read_settings
from wheelworks.core.targets import PURE, Abi, Target, find_family, list_families, raise_macos_minimum
from wheelworks.core.wheel import parse_wheel_name

# Options that other tools carry out, on the machine and in the environment of cibuildwheel.
_COMMANDS = ("before-all", "before-build", "xbuild-tools", "xbuild-files")
_OF_OTHER_TOOLS = ("repair-wheel-command", "build-frontend", "audit-command", "dependency-versions", "environment-pass")
# Versions of cibuildwheel's own tools, which aren't used here. A file of constraints is for the build, too.
_TOOL_VERSIONS = re.compile(r"pinned|latest")
# These copy the libraries that a wheel is linked with into it. Ours are linked with none.
_REPAIR = re.compile(r"(python -m )?(auditwheel|delocate-wheel|delocate|delvewheel)(\.exe)?(\s+[^;&|`$<>]*)?")
# In an isolated build (PEP 517), packages that are installed outside of it have no effect.
_OUTSIDE = re.compile(r"((python3? -m |uv )?pip|pip3?) install\s[^;&|`$<>]*")
_STANDARD_IMAGE = re.compile(r"(many|musl)linux(1|20\d\d|_\d+_\d+)")
# The compiler is the driver's, and so is the platform.
_TOOL_VARIABLES = ("CC", "CXX", "LDSHARED", "AR", "RANLIB", "_PYTHON_HOST_PLATFORM", "_PYTHON_SYSCONFIGDATA_NAME")
MACOS_MINIMUM = "MACOSX_DEPLOYMENT_TARGET"
# cibuildwheel sets it, and setup scripts read it: many accept a failing extension only without it.
IN_CIBUILDWHEEL = Assignment("CIBUILDWHEEL", (Part("1"),))
_WHERE = "[tool.cibuildwheel] environment"


@dataclass(frozen=True)
class WheelSettings:
    """What a project sets for the build of a wheel: variables, and the backend's configuration (PEP 517)."""

    variables: tuple[Assignment, ...] = ()
    config: tuple[tuple[str, str | tuple[str, ...]], ...] = ()

    def evaluate(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Return the variables' values, where ``outer`` are those of the build. Raises WheelworksError."""
        return evaluate_assignments(self.variables, outer, _WHERE)

    def config_settings(self) -> dict[str, str | list[str]]:
        """Return the configuration as the backend gets it."""
        return {name: value if isinstance(value, str) else list(value) for name, value in self.config}


NO_SETTINGS = WheelSettings()


@dataclass(frozen=True)
class BuildTask:
    """One ABI for targets of one family: usually one wheel. Without targets and ABI it is the pure wheel.

    ``sharing`` are the targets that a binary without libc serves, requested or not: by default the whole family.
    ``prefixes`` are the libraries that the user brings for all of them.
    """

    targets: tuple[Target, ...]
    abi: Abi | None
    sharing: tuple[Target, ...] = ()
    settings: WheelSettings = NO_SETTINGS
    prefixes: tuple[Prefix, ...] = ()

    @property
    def family(self) -> tuple[Target, ...]:
        """The targets that may share the binary."""
        return self.sharing or (find_family(self.targets[0]) if self.targets else ())

    def __str__(self) -> str:
        return f"{self.targets[0].id}, cp{self.abi.nodot}" if self.abi else PURE


def accepts_wheel(abi: Abi, file: str) -> bool:
    """Return whether a CPython accepts the Python and ABI tags of a wheel's file name."""
    name = parse_wheel_name(file)
    accepted = set(cpython_tags((3, abi.minor), [f"cp{abi.nodot}"], sorted(name.platforms)))
    return not accepted.isdisjoint(name.tags)


def make_tasks(targets: Iterable[Target], abis: Iterable[Abi]) -> list[BuildTask]:
    """Return a task for each ABI and each family of ``targets``, without settings of a project."""
    families: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        families.setdefault(target.family, []).append(target)
    return [BuildTask(tuple(family), abi) for abi in abis for family in families.values()]


@dataclass(frozen=True)
class Wish:
    """What the user asks for: targets, ABIs (those that the project supports if there are none), and options to leave.

    ``named`` says that the user named the targets. ``without`` are options of ``[tool.cibuildwheel]`` to ignore,
    ``prefixes`` the libraries that the user brings, by the target's id, ``variables`` those of ``--env``.
    """

    targets: Sequence[Target]
    abis: Sequence[Abi] = ()
    named: bool = False
    without: Collection[str] = ()
    one_abi: bool = False
    prefixes: Mapping[str, tuple[Prefix, ...]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def choose_abis(self, project: Project) -> Sequence[Abi]:
        """Return the ABIs to build."""
        if self.abis:
            return self.abis
        return [project.choose_abi()] if self.one_abi else project.list_abis()


def plan_tasks(tree: Path, wish: Wish) -> list[BuildTask]:
    """Return the builds of a project that a user asks for, ABI by ABI.

    Targets that the user names replace ``archs``, ABIs replace ``build``, and both together ``skip`` as well. Raises
    WheelworksError for settings that can't be carried out here, and if nothing is left to build.
    """
    project = read_project(tree)
    if unknown := set(wish.without) - cibuildwheel.KNOWN:
        raise WheelworksError(f"--without {min(unknown)}: no option of cibuildwheel has that name")
    tasks = []
    for abi in wish.choose_abis(project):
        wanted = [target for target in wish.targets if _is_wanted(target, abi, project, wish)]
        for family in list_families(wanted):
            tasks += _plan_family(tree, family, [one for one in family if one in wanted], abi, project, wish)
    if not tasks:
        raise WheelworksError("the project has no wheel for these targets and ABIs: its [tool.cibuildwheel] skips them")
    return tasks


def _is_wanted(target: Target, abi: Abi, project: Project, wish: Wish) -> bool:
    return bool(wish.abis and wish.named) or _has_wheel(target, abi, project, wish)


def _has_wheel(target: Target, abi: Abi, project: Project, wish: Wish) -> bool:
    # ``cross-arm64`` has named the CPU, which a project may not publish wheels for yet.
    return project.has_wheel(target, abi, any_abi=bool(wish.abis), any_arch=wish.named or wish.one_abi)


def _plan_family(
    tree: Path, family: Sequence[Target], wanted: Sequence[Target], abi: Abi, project: Project, wish: Wish
) -> list[BuildTask]:
    """Return a task for each group of a family's targets that have the same settings and prefixes."""
    groups: dict[tuple[WheelSettings, tuple[Prefix, ...]], list[Target]] = {}
    for target in family:
        if target in wanted or _has_wheel(target, abi, project, wish):
            settings = read_wheel_settings(project, target, abi, wish.without)
            key = settings, wish.prefixes.get(target.id, ())
            groups.setdefault(key, []).append(_adapt_macos(tree, target, abi, settings, wish))
    ids = {target.id for target in wanted}
    tasks = [
        BuildTask(tuple(one for one in group if one.id in ids), abi, tuple(group), settings, prefixes)
        for (settings, prefixes), group in groups.items()
    ]
    return [task for task in tasks if task.targets]


def _adapt_macos(tree: Path, target: Target, abi: Abi, settings: WheelSettings, wish: Wish) -> Target:
    """Return a target with the lowest macOS that its wheel may need: as user or project, else as the CPython says.

    As in cibuildwheel, a project can't go below what the CPython needs, except by ``[tool.wheelworks] minimum-macos``.
    """
    if target.os != "macos":
        return target
    floor = read_settings(tree).get("minimum-macos", abi.macos if target.cpu == "x86_64" else target.minimum)
    wanted = {**settings.evaluate({}), **wish.variables}.get(MACOS_MINIMUM, target.minimum)
    for minimum in (floor, wanted):
        if not isinstance(minimum, str) or not re.fullmatch(r"[1-9]\d(\.\d{1,2}){0,2}", minimum):
            raise WheelworksError(f"{minimum!r} is no version of macOS", f"{MACOS_MINIMUM} and minimum-macos: 11.0")
        target = raise_macos_minimum(target, minimum)
    return target


def read_wheel_settings(project: Project, target: Target, abi: Abi, without: Collection[str] = ()) -> WheelSettings:
    """Return a project's settings for a wheel.

    Raises WheelworksError for options that can't be carried out here, except those ``without``.
    """
    if project.settings is None:
        return NO_SETTINGS
    options = project.settings.select(format_identifier(target, abi))
    options = Options(options.identifier, {name: text for name, text in options.texts.items() if name not in without})
    for name in (*_COMMANDS, *_OF_OTHER_TOOLS, *sorted(cibuildwheel.IMAGES)):
        if text := options.text(name).strip():
            _check_option(name, text, options.identifier)
    variables = options.assignments("environment")
    if tools := [one.name for one in variables if one.name in _TOOL_VARIABLES]:
        raise _refuse("environment", f"{tools[0]}=...", options.identifier, "the compiler is always zig's")
    table = options.table("config-settings")
    config = tuple((name, value if isinstance(value, str) else tuple(value)) for name, value in table.items())
    return WheelSettings((IN_CIBUILDWHEEL, *variables), config)


def _check_option(name: str, text: str, identifier: str) -> None:
    commands = [one.strip() for one in text.split("&&")]
    if name in _COMMANDS and text != "\0" and not all(_OUTSIDE.fullmatch(one) for one in commands):
        raise _refuse(name, text, identifier, "it would run on this machine, and prepare a build for this machine")
    if name == "repair-wheel-command" and not all(_REPAIR.fullmatch(one) for one in commands):
        raise _refuse(name, text, identifier, "no other program changes a finished wheel")
    if name == "build-frontend" and "args" in text:
        raise _refuse(name, text, identifier, "the frontend is always pypa/build, without arguments")
    if name == "audit-command":
        raise _refuse(name, text, identifier, "nox -s audit checks finished wheels")
    if name == "dependency-versions" and not _TOOL_VERSIONS.fullmatch(text):
        raise _refuse(name, text, identifier, "PIP_CONSTRAINT in `environment` names constraints of the build")
    if name == "environment-pass" and (found := [word for word in text.split() if word in os.environ]):
        raise _refuse(name, text, identifier, f"a build sees no variable of yours: --env {found[0]}=VALUE passes one")
    if name in cibuildwheel.IMAGES and not _STANDARD_IMAGE.fullmatch(text):
        raise _refuse(name, text, identifier, "no container image is used")


def _refuse(name: str, text: str, identifier: str, why: str) -> WheelworksError:
    hint = f"--without {name} builds as if it weren't set; --builder cibuildwheel carries it out"
    return WheelworksError(f"{identifier}: [tool.cibuildwheel] {name} = {text!r} isn't carried out here: {why}", hint)
