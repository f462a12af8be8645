"""The errors and the output of `test-native`, and its results for wheels with a seeded fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wheelworks.cli import _page, _running
from wheelworks.cli import test_native as command
from wheelworks.core import manifest, summary
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import get_cache_folder, hash_file
from wheelworks.core.interpreters import Python
from wheelworks.core.wheel import find_dist_info, read_members, replace_record
from wheelworks.testing.native import Counts, NativeResult

from tests.fixtures.commands import ROOT, wheelworks, wheelworks_here
from tests.wheelworks.manifests import manifest_of, run
from tests.wheelworks.manifests import wheel as record

WHEEL = "tornado_speedups-0.1.0-cp311-abi3-manylinux_2_17_x86_64.whl"
PYTHON = Python(Path("python"), "3.13.0", False, ("cp311-abi3-manylinux_2_17_x86_64",))
FREE = Python(Path("python"), "3.14.0", True, ("cp314-cp314t-manylinux_2_17_x86_64",))


def result(*findings: str, python: str = "3.13.0") -> NativeResult:
    counts = Counts(1000, 1, 80)
    return NativeResult(
        wheel=WHEEL,
        python=python,
        tornado="6.6.1",
        tornado_file="tornado-6.6.1.whl",
        tornado_sha256="ab" * 32,
        package=Counts(300, 0, 0),
        off=counts,
        on=counts,
        findings=findings,
        failing_in_both=("tornado.test.root",),
        excused=("tornado.test.known: because",),
        second_try=("tornado.test.slow",),
    )


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    wheel = Path(WHEEL)
    assert _running.report_untested({PYTHON: wheel}, [wheel], asked=False) == 0
    assert command.exit_status([result()]) == 0
    assert capsys.readouterr().err == ""


def test_a_new_failure_fails() -> None:
    assert command.exit_status([result(), result("x")]) == 1


def test_nothing_run_fails() -> None:
    assert command.exit_status([]) == 1


@pytest.mark.parametrize("asked", [False, True])
def test_a_python_that_takes_no_wheel_is_reported(asked: bool, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = Path(WHEEL)
    assert _running.report_untested({PYTHON: wheel, FREE: None}, [wheel], asked=asked) == int(asked)
    assert f"CPython 3.14.0t: not tested: it takes none of {WHEEL}" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "pythons"), [(False, "CPython here"), (True, "CPython that was asked for")])
def test_a_wheel_that_no_python_takes_fails(asked: bool, pythons: str, capsys: pytest.CaptureFixture[str]) -> None:
    wheel, other = Path(WHEEL), Path(WHEEL.replace("cp311-abi3", "cp314-cp314t"))
    assert _running.report_untested({PYTHON: wheel}, [wheel, other], asked=asked) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{other.name}: not tested: each {pythons} takes another wheel, or none" in said


def test_of_many_wheels_that_no_python_takes_three_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    wheels = [Path(f"x-1.0-cp3{minor}-cp3{minor}-win_arm64.whl") for minor in range(11, 16)]
    assert _running.report_untested({PYTHON: None}, wheels, asked=False) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"error: {wheels[0]}, {wheels[1]}, {wheels[2]} and 2 more: not tested" in said


def test_out_of_a_folder_some_wheels_may_be_unfit(capsys: pytest.CaptureFixture[str]) -> None:
    assert _running.report_untested({PYTHON: Path(WHEEL), FREE: None}, [], asked=False) == 0
    assert "it takes none of the folder's wheels" in capsys.readouterr().err


def test_a_folder_without_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no wheels in it"):
        command.main(["--from", str(tmp_path)])


def test_shows_counts_and_reports_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    bad = result("tornado.test.x: passes with the speedups off, and with them on failed: no")
    assert summary.finish(command.summarize([result(), bad], 1, 9.0)) == 1
    shown = capsys.readouterr()
    assert "1 FAILED" in shown.out and "FAILED: 2 runs, 1 wheel, 1 failure; 9.0 s" in shown.out
    told = " ".join(shown.err.split())
    assert "error: CPython 3.13.0, Tornado 6.6.1: tornado.test.x: passes with the speedups off" in told
    said = " ".join(shown.out.split())
    assert "fails with the speedups off as well: 1 test: tornado.test.root" in said
    assert "expected failure: 1 test: tornado.test.known: because" in said
    assert "passed only at the second try, alone: 1 test: tornado.test.slow" in said


def test_a_run_that_passed_shows_both_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary.finish(command.summarize([result()], 0, 9.0)) == 0
    assert "CPython 3.13.0  ok 300 + 1,000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.whl", "no such file"),
        ("x.zip", "not a wheel's file name"),
        ("other-1.0-py3-none-any.whl", "not a wheel of"),
    ],
)
def test_refuses_other_files(name: str, message: str, tmp_path: Path) -> None:
    if name != "missing.whl":
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=message):
        command.check_options([tmp_path / name], [], None)


def known_wheel(folder: Path) -> Path:
    wheel = folder / WHEEL
    wheel.write_bytes(b"a wheel")
    old = [run("failed", "CPython 3.13.0 here, with Tornado 6.6.1"), run("unsupported", "emulated")]
    manifest.save(manifest_of(record(WHEEL, sha256=hash_file(wheel), runs=old)), folder)
    return wheel


def remember(wheel: Path, *results: NativeResult) -> None:
    _page.record_runs(_page.hash_wheels([wheel]), [command.make_verdict(one) for one in results])


def test_the_page_is_written_with_the_manifest(tmp_path: Path) -> None:
    remember(known_wheel(tmp_path), result())
    assert "CPython 3.13.0 here, with Tornado 6.6.1" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("runs", ["none", ["one"], [{"how": ["x"]}], None])
def test_runs_of_another_shape_are_no_traceback(tmp_path: Path, runs: Any) -> None:
    wheel = known_wheel(tmp_path)
    manifest.save(manifest_of(record(WHEEL, sha256=hash_file(wheel), runs=runs)), tmp_path)
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        remember(wheel, result())


def test_a_manifest_that_knows_the_wheel_gets_the_results(tmp_path: Path) -> None:
    wheel = known_wheel(tmp_path)
    remember(wheel, result(), result("x", python="3.11.7"))
    found = manifest.load(tmp_path)
    assert found
    runs = found.wheels[0].runs
    assert [(run.how, run.outcome) for run in runs] == [
        ("emulated", "unsupported"),
        ("CPython 3.13.0 here, with Tornado 6.6.1", "passed"),
        ("CPython 3.11.7 here, with Tornado 6.6.1", "failed"),
    ]
    assert "ab" * 32 in runs[1].why and runs[1].checks == 1300


def test_a_manifest_that_knows_another_wheel_stays(tmp_path: Path) -> None:
    wheel = known_wheel(tmp_path)
    before = (tmp_path / manifest.FILE).read_bytes()
    wheel.write_bytes(b"another wheel")
    remember(wheel, result())
    assert (tmp_path / manifest.FILE).read_bytes() == before


@pytest.mark.parametrize("words", [["--wheel", "no.whl"], ["--tornado", "new"], ["--python", "three"], ["--what"]])
def test_wrong_use_is_status_2(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wheelworks_here("test-native", *words, cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys).status == 2


FAULT = b"""
_install = install

def install(**options):
    _install(**options)
    import tornado.escape
    from tornado.websocket import WebSocketHandler
    tornado.escape.url_escape = lambda value, plus=True: "wrong"
    write = WebSocketHandler.write_message
    def write_message(self, message, binary=False):
        return write(self, message[:-1] if len(message) == 125 else message, binary)
    WebSocketHandler.write_message = write_message
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    """The package's wheel for this machine. Its install() breaks one function of Tornado and some messages."""
    folder = tmp_path_factory.mktemp("faulty")
    built = Path(wheelworks("host-wheel", "--out", folder, cache=wheelworks_cache).out.strip())
    members = read_members(built)
    init = "tornado_speedups/__init__.py"
    members[init] = Member(members[init].data + FAULT)
    fixed = replace_record(members, find_dist_info(members, built.name))
    built.write_bytes(build_archive(fixed, 1_700_000_000))
    return built


@pytest.mark.integration
@pytest.mark.release
def test_a_fault_is_a_new_failure(faulty: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    out = tmp_path / "results.json"
    words = ["--wheel", str(faulty), "--python", "3.11", "--tornado", "6.6", "--json", str(out)]
    ended = wheelworks("test-native", *words, cache=wheelworks_cache, cwd=tmp_path, seconds=1200)
    assert ended.status == 1, ended.err
    [found] = json.loads(out.read_text())["details"]
    failures = [finding for finding in found["findings"] if finding.startswith("tornado.test.")]
    assert any(finding.startswith("tornado.test.escape_test.EscapeTestCase.test_url_escape") for finding in failures)
    assert failures == [finding for finding in failures if "passes with the speedups off, and with them on" in finding]
    assert found["on"]["passed"] < found["off"]["passed"] > 1300
    for module, file in found["imported"].items():
        assert not Path(file).is_absolute() and "site-packages" in file, (module, file)
    assert str(ROOT / "src") not in out.read_text()


@pytest.mark.integration
@pytest.mark.needs("python2.7")
def test_a_fault_makes_cases_worse(faulty: Path, tmp_path: Path) -> None:
    """The test uses the user's cache, because the suite takes longer to install than to run."""
    words = ["--wheel", str(faulty), "--python", "3.11", "--sections", "1"]
    ended = wheelworks("test-autobahn", *words, cache=get_cache_folder(), cwd=tmp_path, seconds=1200)
    assert ended.status == 1, ended.err
    said = " ".join(ended.err.split())
    assert "server: case 1.1.2: OK, close OK with the speedups off, FAILED" in said
    assert "server: case 1.2.2: " in said and "case 1.1.3" not in said and "client: case" not in said
