"""Test instruction counts per call and per byte: they are exact, reproducible, and compared with the baseline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from wheelworks.bench import icount
from wheelworks.bench.icount import Change, WheelCounts
from wheelworks.cli._bench_regressions import show_changes
from wheelworks.core.errors import WheelworksError

from tests.fixtures.commands import ROOT, wheelworks
from tornado_speedups import _python

ODD = '{"schema": 1, "sizes": [256, 1280], "wheels": {"a": {"mask": "1 x"}}}'
KNOWN = {"wheels": {"a": {"mask": "100 1000"}, "b": {"unsupported": "no such CPU"}}}


def changes(*works: WheelCounts) -> list[Change]:
    return list(icount.compare_counts(works, KNOWN))


def test_the_costs_of_a_byte_and_a_call_are_separated() -> None:
    assert icount.cost_per_byte((612, 1124)) == 0.5
    assert icount.cost_per_call((612, 1124)) == 484


def test_changes_within_the_tolerance_are_not_reported() -> None:
    assert changes(WheelCounts("a", "x86", {"mask": (105, 950)}), WheelCounts("b", "", {}, "no such CPU")) == []


def test_more_instructions_are_a_loss_and_fewer_a_change() -> None:
    assert changes(WheelCounts("a", "x86", {"mask": (94, 1051)})) == [
        Change("a: mask, 256 bytes: 100 instructions are now 94 (-6%)", regression=False),
        Change("a: mask, 1280 bytes: 1,000 instructions are now 1,051 (+5%)", regression=True),
    ]


@pytest.mark.parametrize(
    "one",
    [
        WheelCounts("c", "x86", {"mask": (1, 1)}),
        WheelCounts("a", "x86", {}),
        WheelCounts("a", "x86", {"mask": (100, 1000), "new": (1, 1)}),
        WheelCounts("a", "", {}, "it calls printf"),
        WheelCounts("b", "x86", {"mask": (1, 1)}),
        WheelCounts("b", "", {}, "another reason"),
    ],
)
def test_what_is_not_in_the_baseline_is_a_loss(one: WheelCounts) -> None:
    assert [change.regression for change in changes(one)] == [True]


def test_a_loss_is_exit_status_1() -> None:
    assert show_changes([]) == show_changes([Change("fewer", regression=False)]) == 0
    assert show_changes([Change("fewer", regression=False), Change("more", regression=True)]) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 2, "sizes": [256, 1280]}', '{"schema": 1, "sizes": [1, 2]}', ODD]
)
def test_another_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "icount.json").write_text(text)
    with pytest.raises(WheelworksError, match="not a file of instruction counts"):
        icount.load_counts(tmp_path / "icount.json")


def test_every_function_is_called_with_what_it_takes() -> None:
    for name, arguments in icount.CALLS.items():
        for size in (icount.SMALL, icount.LARGE):
            assert getattr(_python, name)(*arguments(size)) is not None or name.endswith("inplace")


def test_the_baseline_knows_every_cpu_that_can_be_emulated() -> None:
    known = icount.load_counts()["wheels"]
    assert len(known) == 36
    assert {tags for tags, row in known.items() if "unsupported" in row} == {
        tags for tags in known if "ppc64le" in tags
    }


@pytest.mark.integration
def test_the_release_needs_no_more_instructions_than_the_baseline(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "dist")
    env = {"PYTHONHASHSEED": "5", "COLUMNS": "80"}
    ended = wheelworks("bench", "--icount", tmp_path / "dist", cache=tmp_path / "cache", env=env)
    assert (ended.status, ended.err.count("error")) == (0, 0), ended.err
    counted = json.loads((tmp_path / "dist/bench/icount.json").read_text())
    assert counted["wheels"].keys() == icount.load_counts()["wheels"].keys()
    assert max(map(len, ended.out.splitlines())) <= 80


def without_vectors(source: Path, copy: Path) -> Path:
    """Copy the project, with masking that handles one byte at a time on ARM64."""
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copyfile(source / name, copy / name)
    shutil.copytree(source / "src", copy / "src")
    header = copy / "src/tornado_speedups/_speedups/mask.h"
    text = header.read_text()
    assert "#elif defined(__ARM_NEON) ||" in text
    header.write_text(text.replace("#elif defined(__ARM_NEON) ||", "#elif 0 &&"))
    return copy


@pytest.mark.integration
def test_a_lost_vector_path_is_found_on_another_cpu(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = without_vectors(ROOT, tmp_path / "source")
    words = ("cross-arm64", source, "--no-run", "--target", "win_arm64", "--out", tmp_path / "dist")
    assert wheelworks(*words, cache=wheelworks_cache).status == 0
    ended = wheelworks("bench", "--icount", tmp_path / "dist", cache=wheelworks_cache, env={"COLUMNS": "300"})
    assert ended.status == 1
    assert "error: cp311-abi3-win_arm64: websocket_mask, 1280 bytes: " in ended.err


def test_a_folder_without_wheels_is_wrong_use(tmp_path: Path) -> None:
    ended = wheelworks("bench", "--icount", tmp_path, cache=tmp_path)
    assert (ended.status, "there is no wheel" in ended.err) == (2, True)
