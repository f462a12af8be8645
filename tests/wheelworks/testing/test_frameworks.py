"""The comparison of a project's tests with stock Tornado and with the speedups, and the proof that these were there."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from wheelworks.cli import test_frameworks as command
from wheelworks.core import process, summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.index import IndexFile
from wheelworks.core.junit import Results, read_results
from wheelworks.testing import framework_suite, frameworks
from wheelworks.testing.framework_suite import TRIES, FrameworkResult, compare, find_wrong_processes
from wheelworks.testing.native import Counts
from wheelworks.testing.workers import JUnitWriter

from tests.fixtures.commands import ROOT
from tests.fixtures.schemas import jsonschema

STATUS = dict.fromkeys(("masking", "websocket", "headers", "http"), "installed")
MAIN = {
    "command": ["python", "-m", "wheelworks_workers.project", "x"],
    "ended": True,
    "loaded": False,
    "lost": [],
    "tornado": "6.6.1",
}
FAST = {**MAIN, "loaded": True, "hooks": STATUS, "implementation": "c"}


def results(folder: Path, **outcomes: str) -> Results:
    """Return the results of a JUnit file with tests of these outcomes."""
    writer = JUnitWriter(str(folder / f"{next(COUNT)}.xml"))
    writer.collect(outcomes)
    for test, outcome in outcomes.items():
        writer.start(test)
        writer.finish(test, outcome, f"the detail of {test}" if outcome != "passed" else "")
    writer.close([])
    return read_results([writer._path])


COUNT = itertools.count()


class Repeats:
    """Runs tests again: ``outcomes`` has each side's, for all tries or one after the other."""

    def __init__(self, folder: Path, stock: Sequence[str], speedups: Sequence[str]) -> None:
        self.outcomes = {"stock": list(stock), "speedups": list(speedups)}
        self.folder, self.calls = folder, list[tuple[str, tuple[str, ...]]]()

    def __call__(self, side: str, tests: Sequence[str]) -> Results:
        self.calls.append((side, tuple(tests)))
        return results(self.folder, **dict.fromkeys(tests, self.outcomes[side].pop(0)))


def test_a_failure_that_is_repeated_counts(tmp_path: Path) -> None:
    repeats = Repeats(tmp_path, ["passed"] * TRIES, ["failed"] * TRIES)
    found = compare(results(tmp_path, a="passed", b="passed"), results(tmp_path, a="passed", b="failed"), repeats)
    assert list(found.failures) == ["b"] and not found.unsteady and not found.failing_in_both
    assert found.failures["b"] == f"{TRIES + 1} of {TRIES + 1} times failed:\nthe detail of b"
    assert repeats.calls == [("stock", ("b",)), ("speedups", ("b",))] * TRIES


@pytest.mark.parametrize(
    ("stock", "speedups", "counts"),
    [
        (["passed"] * TRIES, ["passed"] * TRIES, False),  # it failed once only
        (["passed"] * TRIES, ["passed", "failed", "passed"], True),
        (["passed", "failed", "passed"], ["failed"] * TRIES, False),  # stock Tornado fails, too
        (["passed"] * TRIES, ["skipped"] * TRIES, True),
    ],
)
def test_an_unsteady_test(stock: list[str], speedups: list[str], counts: bool, tmp_path: Path) -> None:
    repeats = Repeats(tmp_path, stock, speedups)
    found = compare(results(tmp_path, a="passed"), results(tmp_path, a="failed"), repeats)
    assert (list(found.failures), list(found.unsteady)) == ((["a"], []) if counts else ([], ["a"]))


def test_what_fails_with_stock_tornado_is_not_repeated(tmp_path: Path) -> None:
    repeats = Repeats(tmp_path, [], [])
    stock = results(tmp_path, a="failed", b="failed", c="skipped", d="passed")
    found = compare(stock, results(tmp_path, a="failed", b="passed", c="skipped", d="passed"), repeats)
    assert found == framework_suite.Comparison({}, (), ("a",)) and repeats.calls == []


def test_a_test_that_never_ran_is_a_failure(tmp_path: Path) -> None:
    repeats = Repeats(tmp_path, ["passed"] * TRIES, ["failed"] * TRIES)
    assert list(compare(results(tmp_path, a="passed"), results(tmp_path), repeats).failures) == ["a"]


def test_a_run_without_a_good_test_is_a_finding(tmp_path: Path) -> None:
    good, bad = results(tmp_path, a="passed"), results(tmp_path, a="failed")
    assert list(framework_suite.find_bad_runs({"stock": good, "speedups": good})) == []
    assert list(framework_suite.find_bad_runs({"stock": bad, "speedups": good})) == ["with stock: not one test passed"]


def test_processes_as_they_are_to_be() -> None:
    child = {**FAST, "command": ["python", "kernel"], "ended": False}
    assert list(find_wrong_processes([MAIN], [FAST, child], "6.6.1")) == []
    faster = {**FAST, "hooks": {**STATUS, "masking": "left to Tornado 6.6.1, whose C is faster"}}
    assert list(find_wrong_processes([MAIN], [faster], "6.6.1")) == []


@pytest.mark.parametrize(
    ("stock", "speedups", "finding"),
    [
        ([], [FAST], "with stock: there is no record of the process that ran the tests"),
        ([MAIN], [], "with speedups: there is no record of the process that ran the tests"),
        ([MAIN], [{**FAST, "ended": False}], "with speedups: there is no record of the process"),
        ([{**MAIN, "tornado": ""}], [FAST], "with stock: the tests loaded Tornado (none), not 6.6.1"),
        ([MAIN], [{**FAST, "tornado": "6.5"}], "with speedups: the tests loaded Tornado 6.5, not 6.6.1"),
        ([{**MAIN, "loaded": True}], [FAST], "with stock Tornado: tornado_speedups was loaded by python -m"),
        ([MAIN], [{**FAST, "hooks": {}}], "install() reported no hooks (1 of 1 processes"),
        ([MAIN], [{**FAST, "hooks": {**STATUS, "http": "left to Tornado 9"}}], "hook http: left to Tornado 9 (1 of"),
        ([MAIN], [FAST, {**FAST, "hooks": {}, "error": "OSError: no"}], "install() failed: OSError: no (1 of 2"),
        ([MAIN], [{**FAST, "lost": ["gen:with_timeout"]}], "replaced by others: gen:with_timeout (1 of 1"),
    ],
)
def test_wrong_processes(
    stock: Sequence[Mapping[str, Any]], speedups: Sequence[Mapping[str, Any]], finding: str
) -> None:
    [found] = find_wrong_processes(stock, speedups, "6.6.1")
    assert finding in found


START = "import sys; from pathlib import Path; from wheelworks.testing.workers import everywhere; "
START += "everywhere.begin(Path(sys.argv[1])); "


def start(folder: Path, code: str, install: bool, *, path: Sequence[Path] = ()) -> dict[str, Any]:
    """Run code in a process that begins as those of a run do; return its record."""
    records = folder / "records"
    records.mkdir()
    (folder / "run.json").write_text(json.dumps({"install": install, "records": str(records)}))
    places = map(str, [*path, ROOT / "scripts", os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    subprocess.run([sys.executable, "-c", START + code, folder / "run.json"], env=env, cwd=folder, check=True)
    [record] = framework_suite.read_records(records)
    return record


def test_a_process_with_the_speedups(tmp_path: Path) -> None:
    record = start(tmp_path, "import tornado.websocket", install=True)
    assert record["ended"] and record["loaded"] and record["lost"] == [] and record["hooks"].keys() == STATUS.keys()
    assert record["command"][1:2] == ["-c"] and record["tornado"] and record["implementation"] in ("c", "python")


def test_a_process_with_stock_tornado(tmp_path: Path) -> None:
    record = start(tmp_path, "import tornado.websocket", install=False)
    assert record["ended"] and not record["loaded"] and "hooks" not in record and record["tornado"]


def test_a_process_that_is_killed_leaves_its_first_record(tmp_path: Path) -> None:
    record = start(tmp_path, "import os; os._exit(0)", install=True)
    assert "ended" not in record and record["hooks"]


def test_a_process_that_takes_a_hook_out(tmp_path: Path) -> None:
    record = start(tmp_path, "from tornado import iostream; iostream.BaseIOStream.write = None", install=True)
    assert record["lost"] == ["iostream:BaseIOStream.write"]


def test_a_process_in_which_install_fails(tmp_path: Path) -> None:
    (tmp_path / "tornado_speedups.py").write_text("raise OSError('no library')")
    record = start(tmp_path, "pass", install=True, path=[tmp_path])
    assert record["error"] == "OSError: no library" and "hooks" not in record


def test_the_table() -> None:
    found = frameworks.read_frameworks()
    assert set(found) == {"jupyter-server", "flower", "bokeh", "distributed"}
    for one in found.values():
        assert one.hashes and one.row.arguments and one.label.startswith(f"{one.name} ")
        assert one.lock.with_suffix(".in").is_file()
    assert [one.name for one in frameworks.select_frameworks(["flower", "flower"])] == ["flower"]
    with pytest.raises(UsageError, match="django: no such project"):
        frameworks.select_frameworks(["django"])


@pytest.mark.parametrize(
    ("table", "why"), [("[x]\npythons = 1\n", "Expected `array`"), ("[flower", "Expected"), ("[y]\na = 1\n", "unknown")]
)
def test_a_wrong_table(table: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.toml").write_text(table)
    monkeypatch.setattr(frameworks, "TABLE", tmp_path / "t.toml")
    with pytest.raises(WheelworksError, match=why):
        frameworks.read_frameworks.__wrapped__()


def test_a_lock_without_the_project(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("flower-x==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    row = frameworks.read_frameworks()["flower"].row
    with pytest.raises(WheelworksError, match=r"x\.txt has no flower"):
        frameworks._read_release("flower", row, tmp_path / "x.txt")
    assert frameworks._read_release("flower-x", row, tmp_path / "x.txt").hashes == {"0" * 64}


def test_a_file_with_another_hash_is_refused() -> None:
    flower = frameworks.read_frameworks()["flower"]
    file = IndexFile("flower-2.0-py3-none-any.whl", "https://example.org/x.whl", "0" * 64)
    with pytest.raises(WheelworksError, match=r"no file with a hash of flower\.txt: flower-2\.0-py3"):
        frameworks._fetch(flower, [file], lambda text: None)


def serve_source(monkeypatch: pytest.MonkeyPatch, cache: Path, contents: bytes, name: str = "x_1.orig.tar.xz") -> None:
    """Let mmdebstrap's result be an archive with this file."""

    def run(command: Sequence[Any], failure: str, **_: Any) -> None:
        with tarfile.open(command[-1], "w") as tar:
            member = tarfile.TarInfo(f"./source/{name}")
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))

    monkeypatch.setattr(process, "run_checked", run)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setenv("WHEELWORKS_CACHE", str(cache))


def test_a_source_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = lzma.compress(b"a tar file")
    source = frameworks.DebianSource("x", "1-1", "trixie", hashlib.sha256(packed).hexdigest())
    serve_source(monkeypatch, tmp_path, packed)
    file = frameworks.fetch_debian_source(source, lambda text: None)
    assert gzip.decompress(file.read_bytes()) == b"a tar file"
    assert [path.name for path in file.parent.iterdir()] == ["x.tar.gz"]


@pytest.mark.parametrize("name", ["x_1.orig.tar.xz", "x_1.tar.gz"])
def test_a_source_package_with_other_contents(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_source(monkeypatch, tmp_path, b"something else", name)
    with pytest.raises(WheelworksError, match=r"x 1-1 can't be fetched: its SHA-256 is \w+, not 0000"):
        frameworks.fetch_debian_source(frameworks.DebianSource("x", "1-1", "trixie", "0" * 64), lambda text: None)


def result(**changes: Any) -> FrameworkResult:
    fields = {"findings": (), "failing_in_both": (), "unsteady": (), "second_try": (), "hooks": STATUS, "processes": 2}
    names = {"name": "flower", "version": "2.0", "python": "3.13.0", "tornado": "6.6.1"}
    return FrameworkResult(**{**names, "stock": Counts(9, 1, 0), "speedups": Counts(9, 1, 0), **fields, **changes})


def screen(found: summary.Summary) -> str:
    return "\n".join(summary.render(found, 80))


def test_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    good = command.summarize([result(failing_in_both=("t::a",), note="an old one")], [], 1.0)
    assert good.status == 0 and "1 failing in both" in screen(good) and "2 processes; an old one" in screen(good)
    assert "fails with stock Tornado as well: 1 test: flower t::a" in screen(good)
    bad = command.summarize([result(findings=("t::b: fails with the speedups only",))], [], 1.0)
    assert bad.status == 1 and "1 FAILED" in screen(bad)
    assert bad.failures[0].command == "nox -s test-frameworks -- flower"
    for one in (good, bad):
        jsonschema.validate(one.record(), summary.generate_schema())
    assert command.summarize([], [summary.Failure("bokeh", "no Python")], 1.0).status == 1


@pytest.mark.parametrize(
    "words",
    [
        ["django"],
        ["--time-limit", "0"],
        ["--tornado", "x"],
        ["--wheel", "a.whl"],
        ["--from", "."],
        ["--wheel", "a", "--from", "b"],
    ],
)
def test_wrong_options(words: list[str]) -> None:
    with pytest.raises(UsageError):
        command.main(words)


def test_the_python_is_one_that_the_project_supports(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = command.Wanted([Path("tornado_speedups-1.0-cp39-cp39-win32.whl")], "", "6.6", 1.0)
    with pytest.raises(WheelworksError, match=r"bokeh 2\.4\.3 needs a CPython 3\.12 or 3\.11 that takes"):
        command.choose_python(frameworks.read_frameworks()["bokeh"], wanted)
