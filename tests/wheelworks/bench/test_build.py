"""The suite of the builders: who takes part, what a failure is told as, and that something was built."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from wheelworks.bench import build
from wheelworks.bench.measurements import Plan
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError

ROUGHLY, WELL = Plan(2, 0.2, False), Plan(7, 1.0, False)
WRITES = "import sys, pathlib; pathlib.Path(sys.argv[1], 'a-1-py3-none-any.whl').touch()"


def writes(out: Path) -> Sequence[str]:
    return (sys.executable, "-c", WRITES, str(out))


def breaks(out: Path) -> Sequence[str]:
    return (sys.executable, "-c", "print('broken'); exit(3)")


def quiet(suite: str, what: str) -> None:
    pass


@pytest.mark.parametrize("code", ["print('broken'); exit(3)", "print('broken')"])
def test_a_builder_that_fails_or_builds_nothing_is_reported(code: str) -> None:
    with pytest.raises(WheelworksError, match=r"the builder pip failed:\nbroken"):
        build._time_build("pip", lambda out: (sys.executable, "-c", code))


@pytest.mark.parametrize(("plan", "rounds"), [(ROUGHLY, 1), (WELL, 3)], ids=["roughly", "well"])
def test_another_builder_that_fails_is_told_and_left_out(
    plan: Plan, rounds: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "CASES", {"a wheel": {"cross": writes, "other": breaks}})
    [one] = build.measure(plan, quiet)
    assert (one.subject, one.unit, len(one.rounds)) == ("cross", "s", rounds) and min(one.rounds) > 0
    assert "a wheel: other is left out: the builder other failed: broken" in " ".join(capsys.readouterr().err.split())


def test_no_figure_without_the_cross_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CASES", {"a wheel": {"cross": breaks}})
    with pytest.raises(WheelworksError, match="the builder cross failed"):
        build.measure(ROUGHLY, quiet)


def test_roughly_no_container_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CASES", {"a wheel": {"cross": writes, "cibuildwheel": breaks}})
    assert [one.subject for one in build.measure(ROUGHLY, quiet)] == ["cross"]
    assert [one.subject for one in build.measure(Plan(1, 0.2, False, frozenset(["pip"])), quiet)] == []


def test_cibuildwheel_is_asked_for_this_machines_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(targets, "host", lambda: targets.find("win_amd64"))
    words = build._cibuildwheel(tmp_path)
    assert words[words.index("--target") + 1] == "win_amd64" and words[words.index("--builder") + 1] == "cibuildwheel"
    monkeypatch.setattr(targets, "host", lambda: None)
    with pytest.raises(WheelworksError, match="no row for this machine"):
        build._cibuildwheel(tmp_path)
