"""Guests run natively: played by small programs, under this machine's own Python."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from wheelworks.core import process
from wheelworks.testing import stage
from wheelworks.testing.environments import Environment
from wheelworks.testing.outcomes import GUEST_PACKAGE, Piece, Progress
from wheelworks.testing.stage import Here

PRELUDE = """
import json, os, sys, time
def tell(**event):
    with open(sys.argv[1], "a") as file: file.write(json.dumps(event) + "\\n")
"""


def here(tmp_path: Path, code: str, limit: float = 30.0, progress: Progress = lambda text: None) -> Here:
    guests = tmp_path / "guests"
    (guests / GUEST_PACKAGE).mkdir(parents=True)
    (guests / GUEST_PACKAGE / "__init__.py").touch()
    (guests / GUEST_PACKAGE / "program.py").write_text(PRELUDE + code)
    environment = Environment(tmp_path, Path(sys.executable), guests)
    return Here(environment, tmp_path / "work", ("json",), True, 2, limit, progress)


def pieces(*arguments: str) -> list[Piece]:
    return [Piece(f"work{argument}", "program", (argument,)) for argument in arguments]


def test_guests_run_side_by_side_in_empty_folders(tmp_path: Path) -> None:
    code = """
other = os.path.join(os.path.dirname(os.path.dirname(sys.argv[1])), "work" + str(1 - int(sys.argv[2])))
while not os.path.exists(other): time.sleep(0.01)
seen = repr((os.listdir(), sys.argv[3:], os.environ["PYTHONPATH"]))
tell(event="end", test=sys.argv[2], outcome="passed", detail=seen)
"""
    place = here(tmp_path, code)
    told = place.run(pieces("0", "1"))
    words = repr(([], ["json"], str(place.environment.guests)))
    assert told.ended == {"0": ("passed", words), "1": ("passed", words)} and not told.deaths


def test_an_end_that_is_not_well_is_a_death(tmp_path: Path) -> None:
    code = "tell(event='start', test='t')\nprint('last words', flush=True)\nos._exit(3 if sys.argv[2] == '1' else 0)"
    told = here(tmp_path, code).run(pieces("0", "1"))
    assert told.deaths == ["the guest ended with exit code 3\nlast words"] and told.begun == {"t"}


def test_a_guest_that_does_not_end_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    told = here(tmp_path, "time.sleep(600)", limit=1.0).run(pieces("0"))
    assert len(told.deaths) == 1 and "did not end within 1 s" in told.deaths[0]
    assert time.monotonic() - began < 20


def test_progress_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "TELL_EVERY", 0.2)
    said: list[str] = []
    code = (
        "tell(event='all', tests=['a', 'b'])\ntell(event='end', test='a', outcome='failed', detail='')\ntime.sleep(2)"
    )
    here(tmp_path, code, progress=said.append).run(pieces("0"))
    assert said[-1] == "1 of 2 tests, 1 failed"


@pytest.mark.skipif(os.name == "nt", reason="asks for a process by POSIX's signal 0")
def test_an_interrupt_ends_the_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(text: str) -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(stage, "TELL_EVERY", 0.2)
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    try:
        with pytest.raises(KeyboardInterrupt):
            here(tmp_path, code, progress=interrupt).run(pieces("0"))
    finally:
        process._stopping.clear()  # stop_all() is for the end of a program, which this is not
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
