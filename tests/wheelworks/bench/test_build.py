"""Test the suite of builders: which builders take part, how failures are reported, and what is built."""

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
def test_another_builder_that_fails_is_reported_and_left_out(
    plan: Plan, rounds: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "list_cases", lambda source, target: {"a wheel": {"cross": writes, "other": breaks}})
    [one] = build.measure(plan, quiet)
    assert (one.subject, one.unit, len(one.rounds)) == ("cross", "s", rounds) and min(one.rounds) > 0
    assert "a wheel: other is left out: the builder other failed: broken" in " ".join(capsys.readouterr().err.split())


def test_no_figure_without_the_cross_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "list_cases", lambda source, target: {"a wheel": {"cross": breaks}})
    with pytest.raises(WheelworksError, match="the builder cross failed"):
        build.measure(ROUGHLY, quiet)


def test_a_quick_run_starts_no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build, "list_cases", lambda source, target: {"a wheel": {"cross": writes, "cibuildwheel": breaks}}
    )
    assert [one.subject for one in build.measure(ROUGHLY, quiet)] == ["cross"]
    assert [one.subject for one in build.measure(Plan(1, 0.2, False, frozenset(["pip"])), quiet)] == []


def test_every_builder_is_asked_for_this_machines_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(targets, "find_host_target", lambda: targets.find_target("win_amd64"))
    native = build.list_cases("a.tar.gz", "")["this machine's wheel"]
    assert list(native) == ["cross", "pip", "cibuildwheel"]
    assert all("a.tar.gz" in command(tmp_path) and str(tmp_path) in command(tmp_path) for command in native.values())
    words = native["cibuildwheel"](tmp_path)
    assert words[words.index("--target") + 1] == "win_amd64" and words[words.index("--builder") + 1] == "cibuildwheel"


def test_a_machine_without_a_row_has_no_cibuildwheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "find_host_target", lambda: None)
    assert list(build.list_cases(".", "")["this machine's wheel"]) == ["cross", "pip"]


def test_both_builders_are_asked_for_a_chosen_target(tmp_path: Path) -> None:
    [(name, commands)] = build.list_cases("a.tar.gz", "manylinux_2_17_aarch64").items()
    assert (name, list(commands)) == ("the wheel for manylinux_2_17_aarch64", ["cross", "cibuildwheel"])
    for command in commands.values():
        words = command(tmp_path)
        assert words[words.index("build-wheels") + 1] == "a.tar.gz"
        assert words[words.index("--target") + 1] == "manylinux_2_17_aarch64"
    with pytest.raises(WheelworksError, match="no_such_target"):
        build.list_cases(".", "no_such_target")
