"""Test how `test-foreign` and `cross-arm64` choose engines, run wheels and choose an exit status."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wheelworks.cli import _project, _results, _running, test_foreign, test_native
from wheelworks.cli._command import repeat_options
from wheelworks.cli._running import Options
from wheelworks.core import console, summary, targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.verdict import Outcome, Verdict
from wheelworks.core.wheel import Wheel, open_wheel
from wheelworks.foreign.pythons import NO_FREE_THREADED, Runtime, find_runtime

if sys.platform != "win32":
    from wheelworks.foreign import machine
    from wheelworks.foreign.rootfs import choose_recipe

from tests.fixtures import wheels as made
from tests.fixtures.package import RELEASE_ABIS

OURS = "tornado_speedups-0.1.0-cp311-abi3-win_arm64.whl"
THEIRS = "other-1.0-cp311-abi3-win_arm64.whl"
POWER, POWER_FREE = "cp311-abi3-manylinux_2_19_ppc64le", "cp314-cp314t-manylinux_2_19_ppc64le"
PURE, WINDOWS = "py3-none-any", "cp314-cp314t-win32"


def ignore(name: str, text: str) -> None: ...


def verdict(wheel: str, outcome: Outcome, **more: Any) -> Verdict:
    return Verdict(wheel, "emulated CPU", outcome, **more)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["passed"], 0),
        (["passed", "unsupported"], 0),
        (["unsupported"], 1),
        (["passed", "failed"], 1),
        (["failed"], 1),
        ([], 1),
    ],
)
def test_a_wheel_must_run_somehow_and_fail_nowhere(outcomes: list[Outcome], expected: int) -> None:
    verdicts = [verdict(OURS, outcome) for outcome in outcomes]
    assert _running.exit_status([Path("dist", OURS)], verdicts) == expected


def test_every_wheel_must_run() -> None:
    assert _running.exit_status([Path(OURS), Path(THEIRS)], [verdict(OURS, "passed")]) == 1


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        _running.check_options([tmp_path / OURS], Options())


def test_refuses_what_is_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "x.zip").touch()
    with pytest.raises(WheelworksError, match="not a wheel's file name"):
        _running.check_options([tmp_path / "x.zip"], Options())


def test_refuses_our_tests_for_another_package(tmp_path: Path) -> None:
    (tmp_path / THEIRS).touch()
    with pytest.raises(UsageError, match="runs the tests of tornado_speedups"):
        _running.check_options([tmp_path / THEIRS], Options(tests="package"))


def test_refuses_a_whole_suite_on_a_bare_cpu(tmp_path: Path) -> None:
    (tmp_path / OURS).touch()
    with pytest.raises(UsageError, match="needs a whole CPython"):
        _running.check_options([tmp_path / OURS], Options("emulated", "tornado"))


@pytest.mark.parametrize("tag", ["win_amd64", "win32", "android_24_x86_64"])
def test_what_only_the_emulated_cpu_can_run_is_said(tag: str, tmp_path: Path) -> None:
    wheel = made.wheel(tmp_path, f"cp313-cp313-{tag}")
    [found] = _running.run_wheels([wheel], Options("cpython"), ignore)
    assert (found.outcome, "--how emulated" in found.why) == ("unsupported", True)


@pytest.fixture
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")


@pytest.fixture
def all_run(monkeypatch: pytest.MonkeyPatch, on_linux: None) -> list[str]:
    """Let every run pass without running anything; return the wheels' names, followed by any CPython and its CPU."""
    asked: list[str] = []

    def emulated(wheel: Wheel) -> Verdict:
        asked.append(wheel.path.name)
        return verdict(wheel.path.name, "passed")

    def real(wheel: Wheel, runtime: Runtime, options: Options, update: _running.Update) -> Verdict:
        asked.append(f"{wheel.path.name} {runtime.python} {runtime.cpu.name}")
        return Verdict(wheel.path.name, str(runtime), "passed")

    monkeypatch.setattr(_running, "smoke_test", emulated)
    monkeypatch.setattr(_running, "_run_under", real)
    return asked


PLANNED = targets.plan_wheels("a-1", targets.load_targets(), RELEASE_ABIS, pure=False)


@pytest.mark.parametrize("planned", PLANNED, ids=str)
def test_the_ways_of_a_wheel_are_those_of_the_plan(planned: targets.PlannedWheel, on_linux: None) -> None:
    assert _running.choose_engines(Path(planned.name), Options("all")) == planned.ways


@pytest.mark.parametrize(
    ("tags", "how", "pythons", "ways"),
    [
        ("cp315-cp315t-manylinux_2_17_s390x", "all", (), {"emulated"}),
        ("cp310-cp310-manylinux_2_28_aarch64", "all", (), {"emulated"}),
        ("cp311-abi3-macosx_10_9_universal2", "any", (), {"emulated", "cpython"}),
        ("cp313-cp313-win_arm64", "all", (), {"emulated", "cpython"}),
        ("cp313-cp313-win_amd64", "all", (), {"emulated"}),
        ("cp312-cp312-win_arm64", "cpython", (), set()),
        ("cp311-abi3-manylinux_2_17_s390x", "cpython", (), {"cpython"}),
        ("cp311-abi3-manylinux_2_17_s390x", "emulated", (), {"emulated"}),
        ("cp315-abi3t-manylinux_2_17_ppc64le", "all", (), set()),
        ("cp315-abi3.abi3t-manylinux_2_17_ppc64le", "all", (), {"cpython"}),
        ("cp315-abi3.abi3t-manylinux_2_17_ppc64le", "all", ("3.11",), set()),
        ("cp311-abi3-manylinux_2_31_riscv64", "cpython", ("3.11",), set()),
        ("cp311-abi3-musllinux_1_2_ppc64le", "all", (), {"cpython"}),
        ("py3-none-any", "all", (), {"emulated"}),
    ],
)
def test_the_ways_of_any_wheel(
    tags: str, how: _running.How, pythons: tuple[str, ...], ways: set[str], on_linux: None
) -> None:
    assert _running.choose_engines(Path(f"x-1-{tags}.whl"), Options(how, pythons=pythons)) == ways


def test_a_cpython_stands_in_where_no_cpu_is_emulated(all_run: list[str], tmp_path: Path) -> None:
    wheels = [made.wheel(tmp_path, tags) for tags in (WINDOWS, POWER)]
    assert test_foreign.main(list(map(str, wheels))) == 0
    power = f"sample-1.0-{POWER}.whl"
    assert all_run == [f"sample-1.0-{WINDOWS}.whl", f"{power} 3.11 ppc64le", f"{power} 3.15 ppc64le"]


@pytest.mark.parametrize(
    ("given", "options", "status"),
    [
        ((WINDOWS, POWER, POWER_FREE, PURE), (), 0),
        ((POWER_FREE,), (), 1),
        ((POWER_FREE, PURE), (), 1),
        ((POWER, POWER_FREE), ("--how", "cpython"), 0),
        ((POWER, POWER_FREE), ("--how", "cpython", "--python", "3.15"), 0),
        ((WINDOWS,), ("--how", "cpython"), 1),
    ],
)
def test_what_nothing_runs_fails_only_alone(
    given: tuple[str, ...], options: tuple[str, ...], status: int, all_run: list[str], tmp_path: Path
) -> None:
    wheels = [made.wheel(tmp_path, tags) for tags in given]
    assert test_foreign.main([*map(str, wheels), *options]) == status


def test_a_wheel_that_was_not_run_in_its_way_fails(
    all_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        _running, "_run_under", lambda wheel, *_: verdict(wheel.path.name, "unsupported", why="no qemu")
    )
    assert test_foreign.main([str(made.wheel(tmp_path, tags)) for tags in (WINDOWS, POWER)]) == 1


def test_what_is_left_out_is_reported(all_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert test_foreign.main([str(made.wheel(tmp_path, tags)) for tags in (WINDOWS, PURE, POWER_FREE)]) == 0
    shown = capsys.readouterr()
    told, said = (" ".join(text.split()) for text in (shown.err, shown.out))
    assert f"sample-1.0-{PURE}.whl: no extension: nothing to run" in told
    assert f"linux glibc powerpc64le cp314t: {NO_FREE_THREADED} for ppc64el; --root DIR names" in said


def test_code_in_a_wheel_for_any_platform_is_run(tmp_path: Path) -> None:
    hidden = made.wheel(tmp_path, PURE, {"sample/x.abi3.so": b"\x7fELF"})
    assert test_foreign.main([str(hidden)]) == 1


def test_refuses_wheels_without_code(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the wheels has machine code"):
        test_foreign.main([str(made.wheel(tmp_path, PURE))])


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_other_hosts_have_the_emulated_cpu_alone(system: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    linux = made.wheel(tmp_path, "cp311-abi3-manylinux_2_17_aarch64")
    found = _running.run_wheels([linux], Options("cpython"), ignore)
    assert (found[0].outcome, "Linux's namespaces" in found[0].why) == ("unsupported", True)
    monkeypatch.setattr(_running, "smoke_test", lambda wheel: verdict(wheel.path.name, "passed"))
    found = _running.run_wheels([linux], Options("all"), ignore)
    assert [one.how for one in found] == ["emulated CPU"]


def test_the_commands_can_be_imported_where_there_is_no_posix() -> None:
    code = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import wheelworks.__main__, wheelworks.cli.cross_arm64, wheelworks.cli.host_wheel
import wheelworks.cli.test_foreign, wheelworks.cli._running
"""
    scripts = str(Path(_running.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": scripts}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_shows_outcomes_and_whole_failures(capsys: pytest.CaptureFixture[str]) -> None:
    finding = "heap-buffer-overflow-write: writes 1 byte, 0 past the end of a Bytes object"
    verdicts = [
        verdict(OURS, "passed", checks=40),
        verdict(THEIRS, "failed", checks=2, why="it failed", findings=(finding,)),
    ]
    result = _results.summarize_runs("test-foreign", [Path("dist", OURS), Path("dist", THEIRS)], verdicts, 1, 1.0)
    assert summary.finish(result) == 1
    shown = capsys.readouterr()
    assert "ran on emulated CPUs: 2 wheels, 42 checks" in shown.out
    assert f"error: windows aarch64 cp311-abi3, emulated CPU: {finding}" in " ".join(shown.err.split())
    assert f"again: nox -s test-foreign -- {Path('dist', THEIRS)} --how emulated" in shown.err


@pytest.mark.parametrize(
    ("session", "options", "how"),
    [
        ("test-foreign", ["--tests", "package"], " --how emulated"),
        (
            "test-foreign",
            ["--tests", "project", "--source", "x-1.0", "--test-requires", "pytest>=8 attrs"],
            " --how emulated",
        ),
        ("test-native", ["--python", "3.13", "--source", "x-1.0.tar.gz"], ""),
    ],
)
def test_the_command_that_repeats_a_run_has_its_tests(session: str, options: list[str], how: str) -> None:
    module = {"test-foreign": test_foreign, "test-native": test_native}[session]
    names = ("tests", "python", "root") if session == "test-foreign" else ("python",)
    repeated = repeat_options(module.parser().parse_args([THEIRS, *options]), (*names, *_project.OPTIONS))
    result = _results.summarize_runs(session, [Path(THEIRS)], [verdict(THEIRS, "failed")], 1, 1.0, repeated)
    assert [one.command for one in result.failures] == [f"nox -s {session} -- {THEIRS}{how} {shlex.join(options)}"]


def test_the_table_of_runs_breaks_no_part_of_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "out", Console(width=80, highlight=False))
    name = (
        "a_project_with_a_name-1.0-cp315-abi3.abi3t-manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_2_x86_64.whl"
    )
    how = "CPython 3.11.2 for arm64, code of macOS rewrapped under qemu 7.2.22 as max,pauth=off, in private namespaces"
    _running.show_verdicts([Verdict(name, how, "passed", 4, seconds=1.5)])
    shown = capsys.readouterr().out
    assert [part for part in console.wrap_wheel_name(name).splitlines() if part not in shown] == []
    assert [word for word in how.split() if word not in shown] == []
    assert max(map(len, shown.splitlines())) <= 80


def test_a_cpython_runs_what_the_emulated_cpu_cannot(
    all_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = verdict("sample-1.0-cp313-cp313-win_arm64.whl", "unsupported", why="it calls PyType_FromSpec")
    monkeypatch.setattr(_running, "smoke_test", lambda wheel: lacking)
    found = _running.run_wheels([made.wheel(tmp_path, "cp313-cp313-win_arm64")], Options(), ignore)
    assert [one.how for one in found] == ["emulated CPU", "CPython 3.13, aarch64 Windows"]
    assert all_run == ["sample-1.0-cp313-cp313-win_arm64.whl 3.13 aarch64"]


@pytest.mark.parametrize(
    ("how", "ready", "hows"),
    [
        ("any", True, ["emulated CPU"]),
        ("ready", True, ["emulated CPU", "CPython 3.13, aarch64"]),
        ("ready", False, ["emulated CPU"]),
        ("all", False, ["emulated CPU", "CPython 3.13, aarch64"]),
    ],
)
def test_a_cpython_that_is_ready_runs_what_the_emulated_cpu_has_run(
    how: _running.How, ready: bool, hows: list[str], all_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_ready", lambda runtime: ready)
    wheel = made.wheel(tmp_path, "cp313-cp313-manylinux_2_17_aarch64")
    assert [one.how for one in _running.run_wheels([wheel], Options(how), ignore)] == hows


def test_a_cpython_whose_root_must_be_made_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "find_emulator", lambda cpu: "/usr/bin/qemu")
    runtime = find_runtime("s390x", "3.11")
    assert not machine.is_ready(runtime)
    root = tmp_path / choose_recipe(runtime.cpu, "3.11").key
    assert root.parent == tmp_path / "roots"
    root.mkdir(parents=True)
    assert machine.is_ready(runtime)
    monkeypatch.setattr(machine, "find_emulator", lambda cpu: None)
    assert not machine.is_ready(runtime)


@pytest.mark.parametrize("how", ["any", "all"])
def test_both_reasons_are_given_for_a_wheel_that_no_engine_runs(
    how: _running.How, on_linux: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = made.wheel(tmp_path, "cp312-cp312-win_arm64")
    lacking = verdict(wheel.name, "unsupported", why="it calls PyType_FromSpec")
    monkeypatch.setattr(_running, "smoke_test", lambda wheel: lacking)
    first, second = _running.run_wheels([wheel], Options(how), ignore)
    assert first == lacking
    assert second.why.startswith("Debian has no CPython 3.12 for arm64; --root DIR")


@pytest.mark.parametrize(("how", "runs"), [("any", 1), ("emulated", 1), ("cpython", 2), ("all", 3)])
def test_each_engine_runs_where_it_is_asked(how: _running.How, runs: int, all_run: list[str], tmp_path: Path) -> None:
    assert len(_running.run_wheels([made.wheel(tmp_path)], Options(how), ignore)) == runs


def test_each_half_of_a_universal_wheel_runs(all_run: list[str], tmp_path: Path) -> None:
    wheel = made.wheel(tmp_path, "cp313-cp313-macosx_10_13_universal2")
    found = _running.run_wheels([wheel], Options("cpython"), ignore)
    assert [one.how for one in found] == ["CPython 3.13, aarch64 macOS", "CPython 3.13, x86_64 macOS"]


def test_a_wheel_is_opened_once(all_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_and_count(path: Path) -> Wheel:
        opened.append(path.name)
        return open_wheel(path)

    monkeypatch.setattr(_running, "open_wheel", open_and_count)
    _running.run_wheels([made.wheel(tmp_path)], Options("all"), ignore)
    assert len(opened) == 1 and len(all_run) == 3
