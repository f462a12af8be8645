"""Run the package's own tests on the machine code of foreign wheels, on the emulated CPU."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name, read_members
from wheelworks.emulator.smoke import smoke

REPOSITORY = Path(__file__).parents[3]
TESTS = REPOSITORY / "tests" / "speedups"
DISTRIBUTION = "tornado_speedups"

_SHOWN = 3  # failures; the rest are counted


@dataclass
class _Tests:
    """How one wheel's tests ended."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def is_the_package(wheel: Path) -> bool:
    """Whether a wheel is of this repository's package, and its tests are here: an installed suite has none."""
    return parse_wheel_name(wheel.name).distribution == DISTRIBUTION and TESTS.is_dir()


def run_package(wheels: Sequence[Path]) -> list[Verdict]:
    """Smoke-test wheels of this package, then run its tests on the machine code of those that came through.

    The tests' own Python side is that of the first wheel: the pure files are the same in all of them.
    Raises WheelworksError where pytest itself fails.
    """
    verdicts = {wheel: smoke(wheel) for wheel in wheels}
    sound = [wheel for wheel, verdict in verdicts.items() if verdict.outcome == "passed"]
    start = time.perf_counter()
    for wheel, tests in _side_by_side(sound).items():
        verdicts[wheel] = _judge(verdicts[wheel], tests, (time.perf_counter() - start) / len(sound))
    return list(verdicts.values())


def _judge(verdict: Verdict, tests: _Tests, seconds: float) -> Verdict:
    judged = replace(verdict, checks=verdict.checks + tests.passed, seconds=verdict.seconds + seconds)
    judged = replace(judged, how=f"{verdict.how}, the package's tests")
    if tests.failures or not tests.passed:
        why = f"{len(tests.failures)} of the package's tests failed" if tests.failures else "none of its tests ran"
        return replace(judged, outcome="failed", why=why, findings=tuple(tests.failures[:_SHOWN]))
    return replace(judged, why=f"skipped: {'; '.join(tests.skipped)}" if tests.skipped else "")


def _side_by_side(wheels: Sequence[Path]) -> dict[Path, _Tests]:
    """Test wheels on all cores: each is one pytest's, which takes as long to start as to test a wheel."""
    cores = process.cores()
    with process.side_by_side() as pool:
        shares = list(pool.map(_pytest, [wheels[core::cores] for core in range(cores)]))
    return {wheel: tests for share in shares for wheel, tests in share.items()}


def _pytest(wheels: Sequence[Path]) -> dict[Path, _Tests]:
    if not wheels:
        return {}
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as work:
        report = Path(work, "report.xml")
        _unpack_python(wheels[0], Path(work, "package"))
        chosen = [word for wheel in wheels for word in ("--wheel", str(wheel.resolve()))]
        # The same examples in each run: a verdict should be one that can be had again.
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=0",
            "--only-wheels",
            f"--junitxml={report}",
            *chosen,
        ]
        path = os.pathsep.join([str(Path(work, "package")), str(REPOSITORY / "scripts")])
        env = {**os.environ, "PYTHONPATH": path, "TORNADO_SPEEDUPS_EXTENSION": "0"}
        result = process.run(
            [sys.executable, "-m", "pytest", TESTS, *options, *chosen], cwd=REPOSITORY, env=env, seconds=600
        )
        if result.status not in (0, 1) or not report.is_file():
            raise WheelworksError(f"the package's tests can't be run: pytest says\n{result.output[-2000:]}")
        return _read(report, wheels)


def _unpack_python(wheel: Path, folder: Path) -> None:
    for name, member in read_members(wheel).items():
        if name.endswith((".py", ".pyi", "py.typed")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(member.data)


def _read(report: Path, wheels: Sequence[Path]) -> dict[Path, _Tests]:
    """Sort the test cases of a JUnit report by the wheel that their name holds."""
    found = {wheel: _Tests() for wheel in wheels}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        tests = next((tests for wheel, tests in found.items() if wheel.name in name), None)
        if tests is None:
            continue
        problem = next((part for kind in ("failure", "error") for part in case.findall(kind)), None)
        skip = case.find("skipped")
        if problem is not None:
            tests.failures.append(f"{name}: {problem.get('message', '')}")
        elif skip is not None:
            tests.skipped.append(f"{name.partition('[')[0]}: {skip.get('message', '')}")
        else:
            tests.passed += 1
    return found
