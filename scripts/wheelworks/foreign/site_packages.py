"""The folder that a guest imports from: the wheel under test, the guest programs, and what the tests need."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.foreign.dependencies import carried
from wheelworks.foreign.wheels import extension_modules, project, unpack
from wheelworks.testing.outcomes import GUEST_PACKAGE, GUEST_PROGRAMS


@dataclass(frozen=True)
class Site:
    """``modules`` are the import names of the wheel's extension modules, ``package`` its project's import name.

    ``tests`` is the folder of the project's own tests in the site, where they were asked for.
    """

    folder: Path
    modules: tuple[str, ...]
    package: str
    tests: str = ""


def lay_site(wheel: Path, folder: Path, *, with_tests: bool, tests_folder: Path | None = None) -> Site:
    """Fill ``folder``: the wheel's files win over those of a carried package of the same name.

    Raises WheelworksError for an unsound wheel, one without an extension module, and a missing ``tests_folder``.
    """
    name = project(wheel)
    if with_tests:
        source = carried()
        same = {name, *(path.name for path in source.glob(f"{name}-*.dist-info"))}
        shutil.copytree(source, folder, ignore=lambda parent, _: same if parent == str(source) else set())
    folder.mkdir(exist_ok=True)
    modules = extension_modules(unpack(wheel, folder))
    if not modules:
        raise WheelworksError(f"{wheel.name}: it has no extension module, so there is no machine code to run")
    shutil.copytree(GUEST_PROGRAMS, folder / GUEST_PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    tests = _copy_tests(tests_folder, folder) if tests_folder else ""
    return Site(folder, tuple(modules), name.replace("-", "_"), tests)


def _copy_tests(tests_folder: Path, site: Path) -> str:
    if not tests_folder.is_dir():
        raise WheelworksError(f"{tests_folder}: no such folder of tests", 'tests="package" runs the project\'s own')
    inside = f"tests/{tests_folder.name}"
    shutil.copytree(tests_folder, site / inside, ignore=shutil.ignore_patterns("__pycache__"))
    return inside
