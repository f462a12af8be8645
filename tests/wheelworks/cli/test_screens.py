"""Compare the screens that end commands on a release with the texts in tests/fixtures/screens.

``UPDATE_SCREENS=1 pytest`` writes the texts again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from wheelworks.audit import report
from wheelworks.audit.findings import FileAudit, Finding
from wheelworks.audit.report import Audit
from wheelworks.build.builder import BuildResult, Built, Failed
from wheelworks.build.log import Compilation
from wheelworks.build.plan import BuildTask
from wheelworks.cli import _results, release, reproduce
from wheelworks.cli import build_wheels as cli_build_wheels
from wheelworks.core import console, summary, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.release import steps
from wheelworks.reproduce.rebuild import BuildOutput
from wheelworks.reproduce.result import ReproductionResult
from wheelworks.reproduce.variations import VARIATIONS

from tests.fixtures.package import RELEASE_ABIS
from tests.fixtures.schemas import jsonschema
from tests.wheelworks.manifests import wheel

SCREENS = Path(__file__).parents[2] / "fixtures" / "screens"
MOST = 30  # lines of a success
COLOUR = re.compile(r"\x1b\[[\d;]*m")
STEM = "tornado_speedups-1.0.0"
PLANNED = targets.plan_wheels(STEM, targets.load_targets(), RELEASE_ABIS, pure=True)
NAMES = [one.name for one in PLANNED]
SDIST = f"{STEM}.tar.gz"
UNRUN = next(name for name in NAMES if "cp314t-" in name and "ppc64le" in name)
BAD = next(name for name in NAMES if "abi3-win_arm64" in name)
NO_PYTHON = (
    "Debian has no CPython without the GIL for ppc64el; --root DIR names a folder that has one as usr/bin/python3.14t"
)
FAULT = "heap-buffer-overflow-write: writes 1 byte, 0 past the end of a Bytes object of 38 bytes, in websocket_mask()"
COMPILER = "win32: compile of src/frames.c failed:\nsrc/frames.c:12:5: error: use of undeclared identifier 'lenght'"


def make_verdicts(*, good: bool) -> list[Verdict]:
    found = []
    for one in PLANNED:
        if one.name == UNRUN:
            found.append(Verdict(one.name, "CPython", "unsupported", why=NO_PYTHON))
        elif one.name == BAD and not good:
            found.append(Verdict(one.name, "emulated CPU, aarch64 Windows", "failed", 12, FAULT, (FAULT,)))
        elif one.targets:
            how = "emulated CPU" if "emulated" in one.ways else "CPython 3.11.2 for ppc64el under qemu"
            found.append(Verdict(one.name, how, "passed", 41, seconds=0.3))
    return found


def make_results(*, good: bool) -> list[BuildResult]:
    compilation = Compilation(((0.0, 1.0),), freestanding=True, calls=(), dropped=())
    records = [wheel(name, size=57_000 + 100 * number) for number, name in enumerate(NAMES)]
    results: list[BuildResult] = [Built(Path("dist", one.file), one, 1.5, compilation) for one in records]
    if not good:
        broken = next(one for one in PLANNED if one.targets and one.targets[0].id == "win32")
        task = BuildTask(broken.targets, broken.abi)
        results[NAMES.index(broken.name)] = Failed(task, WheelworksError(COMPILER, "fix the source"))
    return results


def build_wheels(*, good: bool, json: str | None = None) -> int:
    options = cli_build_wheels.parser().parse_args(["--env", "CFLAGS=-O3"])
    build = _results.Build("build-wheels", options, STEM, make_results(good=good))
    verdicts = [one for one in make_verdicts(good=good) if good or "cp311-abi3-win32" not in one.wheel]
    return summary.finish(_results.summarize_build(build, verdicts, int(not good), 92.4), json)


def run_wheels(*, good: bool, json: str | None = None) -> int:
    verdicts = make_verdicts(good=good)
    return summary.finish(
        _results.summarize_runs("test-foreign", [Path("dist", BAD)], verdicts, int(not good), 41.0), json
    )


def audit(*, good: bool, json: str | None = None) -> int:
    warnings = [Finding("W202", "vpbroadcastd at 0x1b20", "x/_speedups.pyd", name) for name in NAMES if "amd64" in name]
    errors = [] if good else [Finding("W013", "", "x/__pycache__/x.pyc", BAD)]
    found = [*warnings, *errors]
    files = [FileAudit(name, tuple(one for one in found if one.wheel == name)) for name in [*NAMES, SDIST]]
    options = argparse.Namespace(json=json, sarif=False, strict=False, verbose=False)
    return report.print_audit(Audit(tuple(files)), options, 12.3, page=Path("dist/report.html"))


def reproduce_release(*, good: bool, json: str | None = None, words: Sequence[str] = ()) -> int:
    lines = [BAD, "  tornado_speedups/_speedups.pyd: section .rdata, offset 0x4b0: 'Nov 29' | 'Dec 24'"]
    cause: Any = SimpleNamespace(name="clock: the bytes contain the time of the build", differences={})
    cause.format_lines = lambda: lines
    files = {name: good or name != BAD for name in [*NAMES, SDIST]}
    causes = () if good else (cause,)
    rebuilt = ReproductionResult({}, BuildOutput({}, None), files, causes, 1 if good else 14, VARIATIONS, (), ())
    options = reproduce.parser().parse_args(["dist", *words])
    return summary.finish(reproduce.summarize(options, rebuilt, Path("dist/report.html"), 118.0), json)


COMMANDS: dict[str, Callable[..., int]] = {
    "build-wheels": build_wheels,
    "test-foreign": run_wheels,
    "audit": audit,
    "reproduce": reproduce_release,
}


PART = {"build-wheels": "sha256", "test-foreign": "runs", "audit": "checks", "reproduce": "same"}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs one and returns what it writes to both streams, in order.

    It runs in a folder without ``dist/``, whose page would be named.
    """
    monkeypatch.chdir(tmp_path)

    def show(call: Callable[[], int], width: int, *, colour: bool) -> str:
        seen = io.StringIO()
        for name, soft in (("out", False), ("err", True)):
            made = Console(
                file=seen, width=width, force_terminal=colour, highlight=False, soft_wrap=soft,
                color_system="standard" if colour else None,
            )  # fmt: skip
            monkeypatch.setattr(console, name, made)
        call()
        return seen.getvalue()

    return show


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("good", [True, False], ids=["passed", "failed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_screen_of_a_release(command: str, good: bool, width: int, screen: Callable[..., str]) -> None:
    shown = screen(lambda: COMMANDS[command](good=good), width, colour=False)
    file = SCREENS / f"{command}-{'passed' if good else 'failed'}-{width}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("good", [True, False], ids=["passed", "failed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_result_for_programs(command: str, good: bool, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    assert COMMANDS[command](good=good, json=str(out)) == int(not good)
    found = json.loads(out.read_text())
    jsonschema.validate(found, summary.generate_schema())
    assert (found["command"], found["status"], len(found["failures"]) > 0) == (command, int(not good), not good)
    assert {"file", PART[command]} <= found["wheels"][0].keys()


def test_the_command_that_repeats_a_variation_has_the_options_of_the_build(tmp_path: Path) -> None:
    out, words = tmp_path / "result.json", ["--source", "x-1.0.tar.gz", "--env", "A=1", "--prefix", "win_arm64=pre"]
    assert reproduce_release(good=False, json=str(out), words=words) == 1
    [failure] = json.loads(out.read_text())["failures"]
    assert failure["command"] == f"nox -s reproduce -- dist --vary clock {' '.join(words)}"


def test_the_checklist_of_a_release_that_failed(screen: Callable[..., str]) -> None:
    states = {"build-wheels": "done before", "audit": "done", "test-foreign": "running"}
    failures = [summary.Failure("test-foreign", "build-wheels failed", "nox -s build-wheels", "nox -s release -- 1.0")]
    result = release.summarize_steps(states, failures, 70.0, Path("nowhere"))
    assert result.status == 1
    lines = screen(lambda: summary.finish(result), 80, colour=False).splitlines()
    assert lines[0] == "error: test-foreign: build-wheels failed" and lines[2] == "again: nox -s release -- 1.0"
    assert [line.split("  ")[0] for line in lines[3:6]] == ["done before", "done", "FAILED"]
    assert lines[-1] == f"FAILED: {len(steps.STEPS)} steps, 1 done, 1 done before, 6 to do; 70.0 s"


def test_the_checklist_of_a_release_that_is_done(screen: Callable[..., str]) -> None:
    result = release.summarize_steps(
        {**dict.fromkeys([one.name for one in steps.STEPS], "done"), **dict.fromkeys(steps.SKIPPABLE, "skipped")},
        *((), 70.0, Path("nowhere")),
    )
    lines = screen(lambda: summary.finish(result), 80, colour=False).splitlines()
    assert result.status == 0 and lines[-1].startswith("passed: ") and max(map(len, lines)) <= 80
    assert lines[-1].endswith("1 skipped; 70.0 s")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_success_is_short_and_narrow(command: str, width: int) -> None:
    lines = (SCREENS / f"{command}-passed-{width}.txt").read_text(encoding="utf-8").splitlines()
    assert 15 < len(lines) <= MOST
    assert [line for line in lines if len(line) > width] == []
    assert lines[-2].startswith("passed: ") or lines[-1].startswith("passed: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_failures_are_first(command: str) -> None:
    lines = (SCREENS / f"{command}-failed-80.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("error")
    assert any(line.startswith("FAILED: ") for line in lines[-2:])


@pytest.mark.parametrize("good", [True, False], ids=["passed", "failed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_colour_adds_nothing_but_colour(command: str, good: bool, screen: Callable[..., str]) -> None:
    coloured = screen(lambda: COMMANDS[command](good=good), 120, colour=True)
    plain = (SCREENS / f"{command}-{'passed' if good else 'failed'}-120.txt").read_text(encoding="utf-8")
    assert "\x1b[1;32mpassed\x1b[0m" in coloured if good else "\x1b[1;31m" in coloured
    assert COLOUR.sub("", coloured).split() == plain.split()
