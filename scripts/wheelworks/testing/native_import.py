"""Import a wheel's extension modules under this machine's own CPythons, installed by pip as a user would.

This is for wheels that the machine can run as they are. Each is installed in a new environment, with its dependencies,
and each of its modules is imported in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from wheelworks.core import interpreters, process, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.interpreters import Python
from wheelworks.core.verdict import Outcome, Verdict
from wheelworks.core.wheel import check_record, parse_wheel_name, read_members
from wheelworks.testing.project_source import list_extension_modules

TIME_LIMIT = 120.0  # seconds, for each module
DETAIL = 1500  # characters

_IMPORT = """\
import importlib, sys
name = sys.argv[1]
try:
    module = importlib.import_module(name)
except ModuleNotFoundError as error:
    if error.name and error.name.partition(".")[0] != name.partition(".")[0]:
        print("needs", error.name)
        sys.exit(75)
    raise
print(module.__file__)
"""
_NEEDS = 75  # exit status: another package is missing (sysexits.h: EX_TEMPFAIL)


def list_modules(wheel: Path) -> list[str]:
    """Return the import names of a wheel's extension modules, sorted. Raises WheelworksError for a damaged wheel."""
    members = read_members(wheel)
    check_record(members, wheel.name)
    return list_extension_modules(members)


def choose_python(wheel: Path, pythons: Iterable[Python]) -> Python | None:
    """Return the oldest of some CPythons that pip installs a wheel for, by its tags; None if there is none."""
    tags = set(map(str, parse_wheel_name(wheel.name).tags))
    return next((python for python in pythons if tags & set(python.tags)), None)


def is_versioned(wheel: Path) -> bool:
    """Return whether a wheel is for one version of CPython only."""
    return any(tag.abi.startswith("cp") for tag in parse_wheel_name(wheel.name).tags)


def import_wheels(wheels: Iterable[Path], work: Path, update: Callable[[str, str], None]) -> list[Verdict]:
    """Import the modules of each wheel that is for one version of CPython, where this machine has that version."""
    versioned = [wheel for wheel in wheels if is_versioned(wheel)]
    pythons = interpreters.list_installed() if versioned else []
    found = [(wheel, python) for wheel in versioned if (python := choose_python(wheel, pythons))]
    verdicts = []
    for number, (wheel, python) in enumerate(found):
        update(f"CPython {python.label} here", f"importing {wheel.name}")
        verdicts.append(import_wheel(wheel, python, work / f"{number}"))
    return verdicts


def import_wheel(wheel: Path, python: Python, folder: Path) -> Verdict:
    """Install a wheel in a new environment in ``folder``, and import its extension modules.

    Only an import that fails is the wheel's fault: dependencies that can't be installed make the verdict "unsupported".
    """
    began = time.monotonic()
    how = f"CPython {python.label} of this machine"
    try:
        modules, environment = list_modules(wheel), _install(wheel, python, folder)
    except WheelworksError as error:
        return Verdict(wheel.name, how, "unsupported", why=error.message, seconds=time.monotonic() - began)
    missing, findings = [], []
    for name in modules:
        status, output = _import_module(environment, name)
        if status == _NEEDS:
            missing.append(f"{name} {output}")
        elif status:
            findings.append(f"import {name} failed, status {status}:\n{output[-DETAIL:]}")
    passed = len(modules) - len(missing) - len(findings)
    outcome: Outcome = "failed" if findings else "passed" if passed and not missing else "unsupported"
    why = (findings or missing or [f"{passed} modules imported"])[0].splitlines()[0]
    return Verdict(wheel.name, how, outcome, passed, why, tuple(findings), time.monotonic() - began)


def _install(wheel: Path, python: Python, folder: Path) -> Path:
    environment = venv.create_venv(python.executable, folder)
    failure = f"{wheel.name} can't be installed with its dependencies"
    venv.install_requirements(environment, failure, "--only-binary=:all:", "--no-compile", wheel.resolve())
    return environment


def _import_module(environment: Path, name: str) -> tuple[int, str]:
    """Return the exit status and the output of the import of one module."""
    try:
        ended = process.run([environment, "-I", "-c", _IMPORT, name], timeout=TIME_LIMIT)
    except process.TimedOut:
        return 1, f"it doesn't end within {TIME_LIMIT:.0f} s"
    return ended.status, ended.output.strip()
