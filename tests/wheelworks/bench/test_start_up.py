"""Test the suite that measures what an import costs."""

from __future__ import annotations

import pytest
from wheelworks.bench import start_up
from wheelworks.bench.measurements import Plan
from wheelworks.core.errors import WheelworksError


@pytest.mark.integration
def test_both_imports_are_measured_in_every_round() -> None:
    tornado, speedups = start_up.measure_start(Plan(2, 0.1, False), lambda suite, what: None)
    assert (tornado.subject, speedups.subject) == ("tornado", "speedups")
    assert len(tornado.rounds) == len(speedups.rounds) == 2
    assert min(tornado.rounds) > 1000 and min(speedups.rounds) > 100


def test_a_process_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_up, "_PROGRAM", "raise SystemExit('no speedups')")
    with pytest.raises(WheelworksError, match="the speedups can't be imported"):
        start_up.measure_start(Plan(1, 0.1, False), lambda suite, what: None)


def test_modules_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(start_up, "_PROGRAM", "import sys; print(1.0, int(sys.dont_write_bytecode))")
    tornado, speedups = start_up.measure_start(Plan(1, 0.1, False), lambda suite, what: None)
    assert (tornado.rounds, speedups.rounds) == ((1e6,), (0.0,))
