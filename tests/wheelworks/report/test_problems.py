"""Test what the page says about failed, unsupported and missing wheels: which, why, and the command to type."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from wheelworks.core.manifest import FailureRecord
from wheelworks.report import model, page, problems, summary

from tests.wheelworks.manifests import run, wheel
from tests.wheelworks.report.manifests import FAILED, PARTIAL, SAMPLE, STEM, audit, release


def test_a_failure_says_which_why_and_what_to_type() -> None:
    [one] = problems.find_problems(model.list_wheels(FAILED), FAILED.source, "dist")
    file = f"{STEM}-cp314-cp314t-win_arm64.whl"
    assert [each.record.file for each in one.wheels] == [file]
    assert (one.state, one.head) == ("fail", "Failed when run")
    how, fault = (line.text for line in one.evidence)
    assert how == "emulated CPU, aarch64 windows" and fault.startswith("heap-buffer-overflow-write: writes 4 bytes")
    assert one.commands == [f"nox -s test-foreign -- --how emulated dist/{file}"]


def test_failures_come_before_what_could_not_be_run() -> None:
    found = problems.find_problems(model.list_wheels(SAMPLE), SAMPLE.source, "out put")
    assert [(one.state, one.head, len(one.wheels)) for one in found] == [
        ("fail", "Audit failed", 1),
        ("fail", "Failed when run", 1),
        ("fail", "Another build gave other bytes", 1),
        ("unsupported", "Could not be run here", 1),
    ]
    assert [line.code for line in found[0].evidence] == ["E101"]
    assert found[2].commands == ["nox -s reproduce -- 'out put/sample-1.0-cp311-abi3-macosx_11_0_arm64.whl'"]


def test_wheels_with_the_same_fault_are_one_problem() -> None:
    record = release(cp3={"audit": audit("error", "error", "error")})
    [one] = problems.find_problems(model.list_wheels(record), record.source, "dist")
    assert (len(one.wheels), len(one.evidence)) == (36, 1)
    assert one.commands == ["nox -s audit -- dist"]


@pytest.mark.parametrize(
    ("how", "command"),
    [
        ("emulated CPU, aarch64 Windows", "test-foreign -- --how emulated dist/a-1-cp311-abi3-win_arm64.whl"),
        ("CPython 3.13.5 for arm64 under qemu 7.2", "test-foreign -- --how cpython dist/a-1-cp311-abi3-win_arm64.whl"),
        ("CPython 3.13.0 here, with Tornado 6.6.1", "test-native -- --from dist"),
        ("CPython 3.13.0 in CI, with Tornado 6.6.1", "test-native -- --from dist"),
    ],
)
def test_a_failed_run_is_repeated_by_its_own_engine(how: str, command: str) -> None:
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=[run("passed"), run("failed", how=how)]))
    assert problems.find_problems([one], SAMPLE.source, "dist")[0].commands == [f"nox -s {command}"]


def test_the_exception_below_a_failed_import_is_evidence() -> None:
    traceback = "import bad failed:\nTraceback (most recent call last):\nSystemError: no error set"
    failed = run("failed", why="1 error", findings=[traceback])
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=[failed]))
    lines = [line.text for line in problems.find_problems([one], SAMPLE.source, "dist")[0].evidence]
    assert lines == ["emulated CPU, aarch64 windows: 1 error", "import bad failed: SystemError: no error set"]


def test_wheels_that_a_partial_release_lacks_are_listed_with_their_commands() -> None:
    missing = problems.find_missing(model.list_wheels(PARTIAL))
    assert [(one.platform, one.abi) for one in missing] == [
        ("macOS arm64", "cp315-abi3.abi3t"),
        ("Linux ppc64le", "cp314-cp314t"),
        ("macOS x86_64", "cp315-abi3.abi3t"),
    ]
    mac, ppc = problems.list_build_commands(missing, PARTIAL.source, "out")
    assert mac.startswith("nox -s build-wheels -- --target macosx_11_0_arm64 --target macosx_10_9_x86_64 --abi cp315-")
    assert ppc.endswith("--target musllinux_1_2_ppc64le --abi cp314-cp314t --out out")
    assert problems.find_missing(model.list_wheels(release())) == []


def test_a_failed_build_is_a_failure_with_its_error() -> None:
    error = "{}: compile of a.c failed:\na.c:2:10: fatal error: 'x.h' file not found"
    failures = [
        FailureRecord(targets=[target], abi="cp314-cp314t", error=error.format(target), hint=f"--prefix {target}=DIR")
        for target in ("win_arm64", "win32")
    ]
    record = replace(release(cp314t_win_arm64={}, cp314t_win32={}), failures=failures)
    wheels = model.list_wheels(record)
    assert summary.judge(wheels, len(problems.find_missing(wheels))).text == "2 of 37 wheels failed"
    [one] = problems.find_problems(wheels, record.source, "dist")
    assert (one.head, [each.name for each in one.wheels]) == (
        "Build failed",
        ["Windows ARM64, cp314-cp314t", "Windows x86, cp314-cp314t"],
    )
    assert [line.text for line in one.evidence] == [
        "compile of a.c failed:",
        "a.c:2:10: fatal error: 'x.h' file not found",
        "hint: --prefix TARGET=DIR",
    ]
    assert one.commands == ["nox -s build-wheels -- --target win_arm64 --target win32 --abi cp314-cp314t"]
    single = replace(record, failures=failures[:1])
    [one] = problems.find_problems(model.list_wheels(single), record.source, "dist")
    assert one.evidence[-1].text == "hint: --prefix win_arm64=DIR"
    text = page.render_page(record)
    assert "fatal error: &#39;x.h&#39; file not found" in text and "Built: 35." in text
