"""Workers and their results. Small programs under this machine's Python simulate the workers."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from wheelworks.core import junit, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.junit import Results, read_results
from wheelworks.testing import suites
from wheelworks.testing.suites import (
    KNOWN_FAILURES,
    Worker,
    describe_exit,
    parse_known_failures,
    read_known_failures,
    run_workers,
)
from wheelworks.testing.workers import JUnitWriter

PRELUDE = f"""
import os, sys, time
sys.path.insert(0, {str(Path(suites.__file__).parents[2])!r})
from wheelworks.testing.workers import JUnitWriter
results = JUnitWriter("results.xml")
"""
posix = pytest.mark.skipif(os.name == "nt", reason="forks, links files or asks for a process by POSIX's signal 0")


def worker(folder: Path, code: str) -> Worker:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PRELUDE + code]
    return Worker(command, None, folder, folder / "results.xml", folder.with_name(f"{folder.name}.log"))


def run(*workers: Worker, limit: float = 20.0) -> Results:
    return run_workers(workers, limit, lambda text: None)


def test_the_results_of_all_workers_are_gathered(tmp_path: Path) -> None:
    for shard, outcome in enumerate(["passed", "failed"]):
        writer = JUnitWriter(str(tmp_path / f"{shard}.xml"))
        writer.collect(["t0", "t1"])
        writer.start(f"t{shard}")
        writer.finish(f"t{shard}", outcome, "why")
        writer.record_hooks({f"h{shard}": "installed"})
        writer.close([["json", "pytest"][shard], "missing"])
    found = read_results(tmp_path / f"{shard}.xml" for shard in (0, 1))
    assert found.collected == ["t0", "t1"] and not found.deaths and not found.running
    assert found.modules == {"json": json.__file__, "pytest": pytest.__file__}
    assert found.finished == {"t0": ("passed", ""), "t1": ("failed", "why")}
    assert found.hooks == {"h0": "installed", "h1": "installed"}


def test_a_file_is_junit_xml(tmp_path: Path) -> None:
    writer = JUnitWriter(str(tmp_path / "results.xml"))
    for outcome in ("passed", "failed", "skipped"):
        writer.start(outcome)
        writer.finish(outcome, outcome, "a < b\n\x00\x1b[0m \udc80 é")
    writer.close([])
    cases = list(ElementTree.parse(tmp_path / "results.xml").getroot().iter("testcase"))
    assert [(case.get("name"), [part.tag for part in case]) for case in cases] == [
        ("passed", []),
        ("failed", ["failure"]),
        ("skipped", ["skipped"]),
    ]
    assert cases[1][0].text == "a < b\n#x00#x1B[0m #xDC80 é" and float(cases[0].get("time", "")) >= 0
    assert read_results([tmp_path / "results.xml"]).finished["failed"] == ("failed", "a < b\n#x00#x1B[0m #xDC80 é")


def test_pytests_own_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest"><testcase name="a" time="0.1" />'
        '<testcase name="b"><failure message="short">long</failure></testcase>'
        '<testcase name="c"><error message="short">long</error></testcase></testsuite></testsuites>'
    )
    found = read_results([tmp_path / "results.xml"])
    assert found.finished == {"a": ("passed", ""), "b": ("failed", "short"), "c": ("failed", "short")}


@posix
def test_a_hanging_worker_is_ended_and_named(tmp_path: Path) -> None:
    began = time.monotonic()
    found = run(worker(tmp_path / "x", "results.start('t')\nos.fork()\nwhile True: pass"), limit=1.0)
    assert found.deaths == ["the worker did not end within 1 s"]
    assert found.running == {"t"} and not found.limits
    assert time.monotonic() - began < 5


@posix
def test_a_slow_worker_meets_the_time_limit_and_does_not_hang(tmp_path: Path) -> None:
    """The test that was running is no evidence against a wheel: it may have run for a second."""
    steps = ("results.start(str(n)); results.finish(str(n), 'passed')", "open('program.log', 'a').write('.')")
    codes = [f"import time\nfor n in range(1000): {step}; time.sleep(0.1)" for step in steps]
    workers = [worker(tmp_path / str(number), code) for number, code in enumerate(codes)]
    with ThreadPoolExecutor() as pool:  # both wait for four seconds
        ended = list(pool.map(partial(run, limit=4.0), workers))
    for found in ended:
        assert not found.deaths and len(found.limits) == 1
        assert re.fullmatch(r"the time limit of 4 s ended the run after \d+ tests: --time-limit .*", found.limits[0])


@posix
def test_a_crash_is_named_by_its_signal(tmp_path: Path) -> None:
    code = "results.start('t')\nsys.stderr.write('last words')\nsys.stderr.flush()\nos.kill(os.getpid(), 11)"
    found = run(worker(tmp_path / "x", code))
    assert found.deaths == ["the worker died of SIGSEGV\nlast words"] and found.running == {"t"}


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (139, "died of SIGSEGV")])
def test_exit_codes_are_named(code: int, words: str, tmp_path: Path) -> None:
    (death,) = run(worker(tmp_path / "x", f"sys.exit({code})")).deaths
    assert words in death


@pytest.mark.parametrize(
    ("code", "words"),
    [(-11, "died of SIGSEGV"), (139, "died of SIGSEGV"), (3, "exit code 3"), (0xC0000005, "exit code 0xc0000005")],
)
def test_exits_are_named_on_every_host(code: int, words: str) -> None:
    assert words in describe_exit(code)


@pytest.mark.parametrize(
    "text",
    [
        "not XML",
        "{}",
        "<a/>",
        "<testsuite><properties><property/><property name='?' value='x'/></properties></testsuite>",
        "<testsuite><testcase name='a'><failure>it failed, then the wor",
        '<!DOCTYPE x [<!ENTITY e "aaa">]><testsuite><testcase name="&e;"/></testsuite>',
        "\x00",
    ],
)
def test_what_is_no_result_is_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(text)
    assert read_results([tmp_path / "results.xml"]) == Results()


def test_results_before_damage_count(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(
        '<testsuite>\n<testcase name="a"/>\n<testcase name="b"/>\n</x><testcase name="c"/>'
    )
    assert list(read_results([tmp_path / "results.xml"]).finished) == ["a", "b"]


def test_results_are_read_from_a_file_and_not_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "nt":
        (tmp_path / "link").symlink_to("/dev/zero")
        os.mkfifo(tmp_path / "pipe")
        assert read_results([tmp_path / "link", tmp_path / "pipe"]) == Results()
    writer = JUnitWriter(str(tmp_path / "long"))
    for number in range(99):
        writer.start(str(number))
    monkeypatch.setattr(junit, "RESULTS_LIMIT", 300)
    assert len(read_results([tmp_path / "long"]).running) == 3


def test_progress_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "UPDATE_EVERY", 0.2)
    code = "results.collect(['a', 'b'])\nresults.start('a')\nresults.finish('a', 'failed')\ntime.sleep(1)"
    said: list[str] = []
    run_workers([worker(tmp_path / "x", code)], 20.0, said.append)
    assert said[-1] == "1 of 2 tests, 1 failed"


@posix
def test_an_interrupt_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(text: str) -> None:
        if (tmp_path / "x/pid").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(suites, "UPDATE_EVERY", 0.2)
    code = "open('pid.new', 'w').write(str(os.getpid()))\nos.rename('pid.new', 'pid')\ntime.sleep(600)"
    try:
        with pytest.raises(KeyboardInterrupt):
            run_workers([worker(tmp_path / "x", code)], 20.0, interrupt)
    finally:
        process._stopping.clear()  # stop_all() prevents new processes, and the next tests need them
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "x/pid").read_text()), 0)


def test_the_known_failures_are_sound() -> None:
    kinds = parse_known_failures(KNOWN_FAILURES.read_text(encoding="utf-8"))
    assert all(test.startswith("tornado.") for tests in kinds.values() for test in tests)
    assert read_known_failures("skips") and read_known_failures("needs-children")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('[[skips]]\ntests = ["a"]', "must have a reason and tests"),
        ('[[skips]]\nreason = "r"\ntests = []', "must have a reason and tests"),
        ('[[skips]]\nreason = ""\ntests = ["a"]', "must have a reason and tests"),
        ('[[skips]]\nreason = "r"\ntests = ["a", "a"]', "named twice in skips: a"),
        ('[[skips]]\nreason = "r"\ntests = ["a"]\n[[skips]]\nreason = "s"\ntests = ["a"]', "named twice in skips: a"),
        ('[[flaky]]\nreason = "r"\ntests = ["a"]', "unknown kind 'flaky'"),
    ],
)
def test_an_unsound_table_is_refused(text: str, finding: str) -> None:
    with pytest.raises(WheelworksError, match=finding):
        parse_known_failures(text)
