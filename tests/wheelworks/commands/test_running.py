"""What `test-foreign` and `cross-arm64` make of verdicts, and what they refuse to start."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wheelworks.commands import running
from wheelworks.errors import UsageError, WheelworksError
from wheelworks.execute.verdict import Outcome, Verdict

OURS = "tornado_speedups-0.1.0-cp311-abi3-win_arm64.whl"
THEIRS = "other-1.0-cp311-abi3-win_arm64.whl"


def verdict(wheel: str, outcome: Outcome, **more: Any) -> Verdict:
    return Verdict(wheel, "emulated CPU", outcome, **more)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["ran"], 0),
        (["ran", "cannot run here"], 0),
        (["cannot run here"], 1),
        (["ran", "failed"], 1),
        (["failed"], 1),
        ([], 1),
    ],
)
def test_a_wheel_must_run_somehow_and_fail_nowhere(outcomes: list[Outcome], expected: int) -> None:
    verdicts = [verdict(OURS, outcome) for outcome in outcomes]
    assert running.exit_code([Path("dist", OURS)], verdicts) == expected


def test_every_wheel_must_run() -> None:
    assert running.exit_code([Path(OURS), Path(THEIRS)], [verdict(OURS, "ran")]) == 1


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        running.check([tmp_path / OURS], "emulated", "smoke")


def test_refuses_what_is_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "x.zip").touch()
    with pytest.raises(WheelworksError, match="no wheel's name"):
        running.check([tmp_path / "x.zip"], "emulated", "smoke")


def test_refuses_our_tests_for_another_package(tmp_path: Path) -> None:
    (tmp_path / THEIRS).touch()
    with pytest.raises(UsageError, match="are the tests of tornado_speedups"):
        running.check([tmp_path / THEIRS], "emulated", "package")


def test_refuses_a_whole_suite_on_a_bare_cpu(tmp_path: Path) -> None:
    (tmp_path / OURS).touch()
    with pytest.raises(UsageError, match="needs a whole CPython"):
        running.check([tmp_path / OURS], "emulated", "tornado")


def test_says_of_a_windows_wheel_that_no_cpython_runs_it() -> None:
    [found] = running.run([Path(OURS)], "cpython", "smoke", ["3.11"], lambda name, text: None)
    assert (found.outcome, "--how emulated" in found.why) == ("cannot run here", True)


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_other_hosts_have_the_emulated_cpu_alone(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    linux = Path("x-1.0-cp311-abi3-manylinux_2_17_aarch64.whl")
    [found] = running.run([linux], "cpython", "smoke", ["3.11"], lambda name, text: None)
    assert (found.outcome, "Linux's namespaces" in found.why) == ("cannot run here", True)
    monkeypatch.setattr(running, "smoke", lambda wheel: verdict(wheel.name, "ran"))
    assert [one.how for one in running.run([linux], "all", "smoke", ["3.11"], lambda name, text: None)] == [
        "emulated CPU"
    ]


def test_the_commands_can_be_imported_where_there_is_no_posix() -> None:
    code = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import wheelworks.__main__, wheelworks.commands.cross_arm64, wheelworks.commands.host_wheel
import wheelworks.commands.test_foreign, wheelworks.commands.running
"""
    scripts = str(Path(running.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": scripts}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_shows_outcomes_and_tells_failures_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    finding = "write-out-of-bounds: writes 1 byte, 0 past the end of a Bytes object"
    running.show([verdict(OURS, "ran", checks=40), verdict(THEIRS, "failed", why="it failed", findings=(finding,))])
    shown = capsys.readouterr()
    assert "40 checks" in shown.out
    assert finding in " ".join(shown.err.split())
