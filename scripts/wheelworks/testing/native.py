"""Put a wheel to the test under one interpreter and one Tornado: from an empty folder to a result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wheelworks.core import process
from wheelworks.core.interpreters import Python
from wheelworks.core.wheel import check_record, read_members
from wheelworks.testing import environments, known_failures, native_compare, outcomes, tornado_releases
from wheelworks.testing.environments import Environment
from wheelworks.testing.native_compare import EXTENSION, PACKAGE, Counts
from wheelworks.testing.outcomes import Outcomes, Progress
from wheelworks.testing.stage import Here
from wheelworks.testing.tornado_releases import Tornado

TIME_LIMIT = 1200.0  # seconds, for each run of a suite


@dataclass(frozen=True)
class Result:
    """What one interpreter and one Tornado have shown of a wheel."""

    wheel: str
    python: str
    tornado: str
    tornado_file: str
    tornado_sha256: str
    package: Counts
    off: Counts
    on: Counts
    findings: tuple[str, ...]
    failing_in_both: tuple[str, ...]
    excused: tuple[str, ...]
    second_try: tuple[str, ...]
    imported: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def how(self) -> str:
        """The way in which the wheel was run, in words."""
        return f"CPython {self.python} here, with Tornado {self.tornado}"

    def record(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class _Runs:
    package: Outcomes
    off: Outcomes
    on: Outcomes


def test_wheel(
    wheel: Path, python: Python, asked: str, folder: Path, progress: Progress, *, exhaustive: bool
) -> Result:
    """Install a wheel beside a Tornado ("6.6", "6.6.1") in a new environment in ``folder``, and run all tests there.

    ``exhaustive`` adds those of the package's that take long. Raises WheelworksError if there can be no environment.
    """
    began = time.monotonic()
    with_c = has_c(wheel)
    progress("making an environment")
    environment = environments.create(python.executable, folder)
    tornado = tornado_releases.fetch(asked, environment.python, folder / "tornado")
    environments.install(environment, tornado.file, wheel)
    runs = _run_all(
        environment, folder, with_c, exhaustive, lambda text: progress(f"Tornado {tornado.version}: {text}")
    )
    result = _judged(runs, wheel, python, tornado, environment, with_c)
    return replace(result, seconds=time.monotonic() - began)


def has_c(wheel: Path) -> bool:
    """Whether a wheel carries an extension module. Raises WheelworksError for a damaged one."""
    members = read_members(wheel)
    check_record(members, wheel.name)
    return any(name.endswith((".so", ".pyd")) for name in members)


def _run_all(environment: Environment, folder: Path, with_c: bool, exhaustive: bool, progress: Progress) -> _Runs:
    def stage(name: str, words: str) -> Here:
        modules = ("tornado", PACKAGE, EXTENSION)
        cores = process.count_cores()
        return Here(
            environment, folder / name, modules, with_c, cores, TIME_LIMIT, lambda text: progress(f"{words}: {text}")
        )

    tests = str(environment.guests / "tests" / environments.TESTS.name)
    return _Runs(
        outcomes.run_package(stage("package", "the package's tests"), tests, exhaustive=exhaustive),
        outcomes.run_tornado(stage("off", "Tornado's tests, speedups off"), ""),
        outcomes.run_tornado(stage("on", "Tornado's tests, speedups on"), PACKAGE),
    )


def _judged(
    runs: _Runs, wheel: Path, python: Python, tornado: Tornado, environment: Environment, with_c: bool
) -> Result:
    excused = known_failures.with_speedups()
    both = native_compare.failing_in_both(runs.off.told, runs.on.told)
    return Result(
        wheel=wheel.name,
        python=python.label,
        tornado=tornado.version,
        tornado_file=tornado.file.name,
        tornado_sha256=tornado.sha256,
        package=native_compare.counts(runs.package),
        off=native_compare.counts(runs.off),
        on=native_compare.counts(runs.on),
        findings=tuple(_findings(runs, environment, with_c)),
        failing_in_both=tuple(both),
        excused=tuple(native_compare.excused_words(runs.on.told, excused)),
        second_try=tuple(dict.fromkeys([*runs.off.second_try, *runs.on.second_try])),
        imported=_relative(runs.on.told.loaded, environment.folder),
        hooks=runs.on.told.hooks,
    )


def _findings(runs: _Runs, environment: Environment, with_c: bool) -> Iterator[str]:
    yield from native_compare.package_findings(runs.package)
    yield from native_compare.imported_findings(runs.package.told, environment.folder, with_c, on=True)
    yield from native_compare.imported_findings(runs.off.told, environment.folder, with_c, on=False)
    yield from native_compare.imported_findings(runs.on.told, environment.folder, with_c, on=True)
    yield from native_compare.hook_findings(runs.on.told, with_c)
    yield from native_compare.compared(runs.off, runs.on, known_failures.with_speedups())


def _relative(loaded: dict[str, str], folder: Path) -> dict[str, str]:
    """The modules' files as they are in the environment, which is gone when people read of them."""
    base = folder.resolve()
    files = {name: Path(file).resolve() for name, file in loaded.items()}
    return {
        name: (file.relative_to(base) if file.is_relative_to(base) else file).as_posix() for name, file in files.items()
    }
