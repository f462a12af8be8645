"""Test which differences between a revision and the working tree are significant."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.cli import _bench_regressions
from wheelworks.cli._bench_regressions import Difference, compute_t_score, find_differences, show_differences
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures import commands

NINE = st.lists(st.floats(1, 100), min_size=9, max_size=9)


def by_hand(before: list[float], after: list[float]) -> float:
    """Return Student's t of two samples of the same size, with their pooled variance."""
    pooled = (variance(before) + variance(after)) / 2
    return (mean(before) - mean(after)) / math.sqrt(pooled * 2 / len(before))


@pytest.mark.parametrize("after", [[4.0, 5.0, 6.0], [4.0, 2.5, 6.0], [0.5, 2.5, 6.0], [0.1, 0.2, 0.3]])
def test_the_score_is_students_t(after: list[float]) -> None:
    before = [1.0, 2.0, 3.0]
    assert compute_t_score(before, after) == pytest.approx(by_hand(before, after))


@given(before=NINE, after=NINE)
def test_the_score_is_the_same_both_ways(before: list[float], after: list[float]) -> None:
    assert abs(compute_t_score(before, after)) == pytest.approx(abs(compute_t_score(after, before)))


def test_samples_without_variance_differ_or_do_not() -> None:
    assert compute_t_score([1.0] * 9, [1.0] * 9) == 0
    assert compute_t_score([1.0] * 9, [2.0] * 9) == math.inf


def test_nine_rounds_can_show_a_loss_among_forty_cases() -> None:
    before, after = [float(n) for n in range(9)], [float(n) for n in range(20, 29)]
    assert abs(compute_t_score(before, after)) > _bench_regressions.MIN_T_SCORE


def significant(ratio: float, seed: int) -> list[str]:
    """Return the significant cases of forty noisy ones, where the first case has become `ratio` times slower."""
    noise = random.Random(seed)
    before = {(str(case), "ns"): [noise.lognormvariate(0, 0.1) for _ in range(9)] for case in range(40)}
    after = {(str(case), "ns"): [noise.lognormvariate(0, 0.1) for _ in range(9)] for case in range(40)}
    after["0", "ns"] = [figure * ratio for figure in after["0", "ns"]]
    return [one.case for one in find_differences(before, after) if one.significant]


def test_a_loss_is_found_and_noise_is_not() -> None:
    assert sum(bool(significant(1.0, seed)) for seed in range(50)) <= 2
    assert all(significant(2.0, seed)[:1] == ["0"] for seed in range(20))


def test_a_small_difference_is_not_worth_an_alarm() -> None:
    assert not Difference("x", "ns", 100, 109, 99).significant


def test_only_a_loss_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_differences([Difference("x", "ns", 100, 50, 99)], "main") == 0
    assert show_differences([Difference("x", "ns", 100, 150, -99)], "main") == 1
    assert "x: 1.50 times main's 100 ns" in capsys.readouterr().err


def measure_all_but(*missing: str) -> Callable[..., None]:
    """Return a function that measures as the command does, but finds that the revision lacks some suites' functions."""

    def measure(site: Path, suites: Sequence[str], figures: Path, into: object) -> None:
        if set(suites) & set(missing):
            raise WheelworksError("the revision can't be measured:\nerror: no make_headers here\nhint: install it")

    return measure


def test_suites_that_a_revision_does_not_have_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_bench_regressions, "_measure", measure_all_but("headers"))
    found = _bench_regressions.find_known_suites(tmp_path, _bench_regressions.SUITES, tmp_path, "v0")
    assert found == ["frames", "mask"]
    expected = "headers is left out: v0 can't be measured: no make_headers here"
    assert " ".join(capsys.readouterr().err.split()).endswith(expected)


def test_a_revision_that_has_none_of_the_suites_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_regressions, "_measure", measure_all_but(*_bench_regressions.SUITES))
    with pytest.raises(WheelworksError, match="the revision can't be measured"):
        _bench_regressions.find_known_suites(tmp_path, _bench_regressions.SUITES, tmp_path, "v0")


@pytest.mark.parametrize("revision", ["no-such-branch", "--help", "HEAD:README.md", ""])
def test_unknown_revisions_are_wrong_use(revision: str) -> None:
    with pytest.raises(UsageError, match="knows no such commit"):
        _bench_regressions.resolve_revision(revision)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A clone of the project with the scripts of the working tree and the package of HEAD."""
    made = tmp_path / "project"
    subprocess.run(["git", "clone", "-q", commands.ROOT, made], check=True)
    shutil.copytree(commands.ROOT / "scripts", made / "scripts", dirs_exist_ok=True)
    return made


@pytest.mark.integration
def test_the_same_code_is_no_loss(copy: Path, wheelworks_cache: Path) -> None:
    ended = commands.wheelworks("bench", "--compare", "HEAD", "headers", cache=wheelworks_cache, cwd=copy, seconds=600)
    assert (ended.status, ended.err.count("error: ")) == (0, 0), ended.out + ended.err
    assert "headers: " in ended.out


@pytest.mark.integration
def test_code_that_became_slower_is_found(copy: Path, wheelworks_cache: Path) -> None:
    source = copy / "src/tornado_speedups/_speedups/mask.h"
    text = source.read_text()
    step = "length -= 8 * step, to += 8 * step, from += 8 * step"
    slower = text.replace(step, "length -= 1, to += 1, from += 1").replace("has_avx2()", "0")
    assert slower.count("length -= 1,") == slower.count("enable_avx2(0)") == 1
    source.write_text(slower)
    words = ("bench", "--compare", "HEAD", "mask")
    ended = commands.wheelworks(*words, cache=wheelworks_cache, cwd=copy, seconds=600)
    assert ended.status == 1, ended.err
    assert "error: mask: in place, 65,536 B, speedups: " in ended.err.replace("\n", " ")
