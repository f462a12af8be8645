"""Workers in a virtual environment of this machine's Python, their variables, and pip's requirements."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from wheelworks.core import process
from wheelworks.core.errors import UsageError
from wheelworks.testing import suites
from wheelworks.testing.environments import Environment, Tornado, clean_variables, parse_tornado, prepare_worker
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE, Runner, Task, Update

PRELUDE = """
import os, sys, time
from . import JUnitWriter
results = JUnitWriter(sys.argv[1])
"""


def make_runner(tmp_path: Path, code: str, limit: float = 30.0, update: Update = lambda text: None) -> Runner:
    workers = tmp_path / "workers"
    (workers / WORKERS_PACKAGE).mkdir(parents=True)
    (workers / WORKERS_PACKAGE / "__init__.py").write_bytes((WORKERS / "__init__.py").read_bytes())
    (workers / WORKERS_PACKAGE / "program.py").write_text(PRELUDE + code)
    environment = Environment(tmp_path, Path(sys.executable), Tornado(Path("t.whl"), "6.6", ""), workers)
    return Runner(partial(prepare_worker, environment, tmp_path / "work", ("json",), True), 2, limit, update)


def tasks(*arguments: str) -> list[Task]:
    return [Task(f"work{argument}", "program", (argument,)) for argument in arguments]


def test_workers_run_side_by_side_in_empty_folders(tmp_path: Path) -> None:
    code = """
other = os.path.join(os.path.dirname(os.path.dirname(sys.argv[1])), "work" + str(1 - int(sys.argv[2])))
while not os.path.exists(other): time.sleep(0.01)
seen = repr((os.listdir(), sys.argv[3:], os.environ["PYTHONPATH"]))
results.finish(sys.argv[2], "failed", seen)
"""
    runner = make_runner(tmp_path, code)
    found = runner.run(tasks("0", "1"))
    words = repr(([], ["json"], str(tmp_path / "workers")))
    assert found.finished == {"0": ("failed", words), "1": ("failed", words)} and not found.deaths


def test_another_exit_status_than_0_is_a_death(tmp_path: Path) -> None:
    code = "results.start('t')\nprint('last words', flush=True)\nos._exit(3 if sys.argv[2] == '1' else 0)"
    found = make_runner(tmp_path, code).run(tasks("0", "1"))
    assert found.deaths == ["the worker ended with exit code 3\nlast words"] and found.running == {"t"}


def test_a_worker_that_does_not_end_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    found = make_runner(tmp_path, "print('hello', flush=True)\ntime.sleep(600)", limit=1.5).run(tasks("0"))
    assert found.deaths == ["the worker did not end within 2 s\nhello"]
    assert time.monotonic() - began < 20


def test_progress_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "UPDATE_EVERY", 0.2)
    said: list[str] = []
    code = "results.collect(['a', 'b'])\nresults.finish('a', 'failed')\ntime.sleep(2)"
    make_runner(tmp_path, code, update=said.append).run(tasks("0"))
    assert said[-1] == "1 of 2 tests, 1 failed"


@pytest.mark.skipif(os.name == "nt", reason="asks for a process by POSIX's signal 0")
def test_an_interrupt_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(text: str) -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(suites, "UPDATE_EVERY", 0.2)
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    try:
        with pytest.raises(KeyboardInterrupt):
            make_runner(tmp_path, code, update=interrupt).run(tasks("0"))
    finally:
        process._stopping.clear()  # stop_all() prevents new processes, and the next tests need them
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("6.5", "tornado~=6.5.0"),
        ("6.6", "tornado~=6.6.0"),
        ("6.5.2", "tornado==6.5.2"),
        ("6.7b1", "tornado==6.7b1"),
        ("6.6.0", "tornado==6.6.0"),
    ],
)
def test_a_series_means_its_newest(asked: str, wanted: str) -> None:
    assert parse_tornado(asked) == wanted


@pytest.mark.parametrize("asked", ["", "newest", "6.x", "--pre", "6.5; os_name == 'x'"])
def test_what_is_no_version_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="no version"):
        parse_tornado(asked)


def test_a_workers_variables_have_nothing_that_steers_it() -> None:
    environ = {
        "PATH": "p",
        "SystemRoot": "s",
        "PYTHONPATH": "x",
        "PythonHome": "x",
        "TORNADO_EXTENSION": "0",
        "TORNADO_SPEEDUPS_EXTENSION": "0",
        "VIRTUAL_ENV": "x",
        "PYTEST_ADDOPTS": "x",
    }
    ours = {"PYTHONPATH": str(Path("workers")), "PYTHONUTF8": "1"}
    kept = {"PATH": "p", "SystemRoot": "s", **ours}
    assert clean_variables(environ, Path("workers"), with_c=True) == {**kept, "TORNADO_SPEEDUPS_EXTENSION": "1"}
    assert clean_variables(environ, Path("workers"), with_c=False) == {**kept, "TORNADO_SPEEDUPS_EXTENSION": "0"}
