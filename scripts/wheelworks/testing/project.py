"""Plan the tests of a project for one of its wheels: the command, the requirements, and the files.

The user's options win over ``[tool.cibuildwheel]``. Without either, pytest runs the tests that its configuration names,
or those of ``tests/`` or ``test/``, or those inside of the wheel's packages.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from wheelworks.core.archive import Member
from wheelworks.core.errors import WheelworksError
from wheelworks.core.source_tree import read_pyproject
from wheelworks.core.wheel import WheelName, parse_wheel_name
from wheelworks.testing import requirements
from wheelworks.testing.cibuildwheel_settings import read_test_settings
from wheelworks.testing.commands import Step, split_command
from wheelworks.testing.project_source import TEST_FOLDERS, ProjectFiles, is_test_file, open_source, split_project
from wheelworks.testing.requirements import Environment

NO_TESTS_HINT = "name the command: --test-command 'pytest {project}/PATH'"
# Where pytest looks for its configuration, with the section and the option for the folders with tests.
_CONFIGURATION = (
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


class NoTests(WheelworksError):
    """A project has no tests that are found without its help."""


@dataclass(frozen=True)
class ProjectOptions:
    """What the user asks for: the source, and a test command and requirements in place of the project's own."""

    source: Path
    test_command: str = ""
    test_requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectTests:
    """The tests of a project for one wheel.

    ``steps`` are run in the folder ``start``: "project", with all files of the project but its packages, or "run", with
    the files and folders ``sources`` only, as cibuildwheel does it. ``requires`` are requirements with markers,
    ``extras`` the wheel's extras to install, and ``origin`` says who has chosen the command.
    """

    steps: tuple[Step, ...]
    origin: str
    start: str = "run"
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def open_and_plan(
    options: ProjectOptions, members: Mapping[str, Member], wheel: str, environment: Environment, folder: Path
) -> tuple[ProjectFiles, ProjectTests, list[str]]:
    """Open a project's source in the new ``folder``. Return its files, its tests for a wheel, and all requirements.

    The wheel is given by its ``members`` and file name, the Python that runs the tests by the ``environment`` of
    markers. Raises as `open_source`, `plan_tests` and `requirements.list_requirements` do.
    """
    metadata = requirements.read_metadata(members, wheel)
    files = split_project(open_source(options.source, folder), members)
    tests = plan_tests(options, files, parse_wheel_name(wheel), list(members), metadata)
    return files, tests, requirements.list_requirements(metadata, tests.extras, tests.requires, environment)


def plan_tests(
    options: ProjectOptions, files: ProjectFiles, name: WheelName, wheel_files: Iterable[str], metadata: str
) -> ProjectTests:
    """Return the tests of a project's ``files`` for a wheel, by its name, file names and METADATA.

    Raises NoTests where none are found, WheelworksError for settings that can't be read, UsageError for wrong options.
    """
    pyproject = read_pyproject(files.tree)
    settings = read_test_settings(files.tree, name)
    requires = tuple(requirements.expand_files([*(options.test_requires or settings.requires)], files.tree))
    groups = tuple(requirements.read_groups(pyproject, settings.groups))
    chosen = bool(settings.groups or settings.requires or settings.extras or options.test_requires)
    extras, more = (settings.extras, ()) if chosen else _guess_requirements(pyproject, metadata)
    common: dict[str, Any] = {"extras": extras, "environment": settings.environment}
    common["requires"] = requires if options.test_requires else (*requires, *groups, *more)
    if command := options.test_command or settings.command:
        origin = "--test-command" if options.test_command else "[tool.cibuildwheel]"
        # cibuildwheel starts commands in a folder of its own; a user means paths of the project.
        start = "project" if options.test_command else "run"
        return _add_pytest(
            ProjectTests(tuple(split_command(command)), origin, start, sources=settings.sources, **common)
        )
    arguments = find_tests(files, wheel_files, pyproject)
    step = Step("pytest", tuple(arguments))
    return _add_pytest(ProjectTests((step,), f"pytest on {' '.join(arguments)}", start="project", **common))


def _add_pytest(tests: ProjectTests) -> ProjectTests:
    """Return the tests with pytest among their requirements, where a step runs it."""
    needed = any(step.kind == "pytest" for step in tests.steps)
    named = any(word.lower().startswith("pytest") and word[6:7] in ("", *"<>=!~;[ ") for word in tests.requires)
    return replace(tests, requires=(*tests.requires, "pytest")) if needed and not named else tests


def _guess_requirements(pyproject: Mapping[str, Any], metadata: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the extras, and the requirements of the dependency groups, that are named as those of tests are."""
    groups = pyproject.get("dependency-groups", {})
    chosen = next(([name] for name in requirements.NAMES if name in groups), [])
    extras = () if chosen else tuple(name for name in requirements.NAMES if name in requirements.list_extras(metadata))
    return extras[:1], tuple(requirements.read_groups(pyproject, chosen))


def find_tests(files: ProjectFiles, wheel_files: Iterable[str], pyproject: Mapping[str, Any]) -> list[str]:
    """Return pytest's arguments that name a project's tests. Raises NoTests where there are none."""
    known = [*files.kept, *files.added]
    if paths := [path for path in read_test_paths(files.tree, pyproject) if any(_is_in(name, path) for name in known)]:
        return paths
    for folder in TEST_FOLDERS:
        if any(_is_in(name, folder) and is_test_file(name) for name in files.kept):
            return [folder]
    installed = [*wheel_files, *files.added.values()]
    if packages := find_test_packages(installed) or find_test_modules(installed):
        return ["--pyargs", *packages]
    if modules := sorted(name for name in files.kept if "/" not in name and is_test_file(name) and "test" in name):
        return modules
    raise NoTests(f"{files.tree.name}: no tests found: no tests/, test/ or testpaths of pytest", NO_TESTS_HINT)


def _is_in(name: str, path: str) -> bool:
    path = path.strip("./")
    return not path or name == path or name.startswith(f"{path}/")


def find_test_packages(installed: Iterable[str]) -> list[str]:
    """Return the import names of the outermost folders of tests among files of site-packages, sorted."""
    found = set()
    for name in installed:
        parts = name.split("/")[:-1]
        place = next((index for index, part in enumerate(parts) if part in TEST_FOLDERS), 0)
        if place and name.endswith(".py"):
            found.add(".".join(parts[: place + 1]))
    return sorted(found)


def find_test_modules(installed: Iterable[str]) -> list[str]:
    """Return the import names of test modules among the files of packages, sorted."""
    found = [PurePosixPath(name) for name in installed if "/" in name and name.endswith(".py")]
    return sorted(".".join(path.with_suffix("").parts) for path in found if path.name.startswith("test_"))


def read_test_paths(tree: Path, pyproject: Mapping[str, Any]) -> list[str]:
    """Return pytest's option ``testpaths``; pytest reads the first file that has its section."""
    for name, section in _CONFIGURATION[:2]:
        if (tree / name).is_file():
            return _read_ini(tree / name, section) or []
    tool = pyproject.get("tool", {}).get("pytest", {})
    table = tool.get("ini_options", tool)
    if isinstance(table, dict) and "testpaths" in table:
        words = table["testpaths"]
        return words.split() if isinstance(words, str) else [str(word) for word in words]
    found = (_read_ini(tree / name, section) for name, section in _CONFIGURATION[2:])
    return next((paths for paths in found if paths is not None), [])


def _read_ini(path: Path, section: str) -> list[str] | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        return parser.get(section, "testpaths", fallback="").split() if parser.has_section(section) else None
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
