"""Find the causes of differences. The builds are simulated, so that every branch of the bisection is tested."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from wheelworks.reproduce import bisect, environment
from wheelworks.reproduce.bisect import DIFFERENT_TOOLCHAIN, INTERACTION, NONDETERMINISTIC, TIMESTAMP, find_causes
from wheelworks.reproduce.rebuild import BuildOutput, Selection
from wheelworks.reproduce.variations import Variation

WHEEL = "sample-1.0-cp311-abi3-win_arm64.whl"
SDIST = "sample-1.0.tar.gz"
OTHER = "sample-1.0-cp311-abi3-win32.whl"
KINDS = [Variation(name, str, lambda now: now) for name in ("zone", "umask", "cores")]
Contents = Callable[[set[str]], dict[str, str]]


class Builder:
    """Simulates builds of files whose contents depend on the names of the variations."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        self.folder, self.contents = folder, contents
        self.calls: list[tuple[set[str], Selection | None]] = []
        self.numbers = itertools.count()

    def __call__(self, variations: Sequence[Variation], selection: Selection | None) -> BuildOutput:
        names = {one.name for one in variations}
        self.calls.append((names, selection))
        made = self.contents(names)
        return BuildOutput(
            self.written({name: made[name] for name in made if not selection or selection.covers(name)}), None
        )

    def written(self, contents: dict[str, str]) -> dict[str, Path]:
        place = self.folder / str(next(self.numbers))
        place.mkdir()
        for name, text in contents.items():
            (place / name).write_text(text)
        return {name: place / name for name in contents}


@pytest.fixture(autouse=True)
def a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that libfaketime is installed, so that the clock can be frozen."""
    monkeypatch.setattr(environment, "check_faketime", lambda: "")


def blamed(tmp_path: Path, contents: Contents, given: dict[str, str] | None = None) -> tuple[list[str], Builder]:
    builder = Builder(tmp_path, contents)
    reference = builder.written(contents(set()) if given is None else given)
    return [cause.name for cause in find_causes(reference, builder, KINDS)[1]], builder


def test_the_same_bytes_take_one_build(tmp_path: Path) -> None:
    names, builder = blamed(tmp_path, lambda varied: {WHEEL: "same"})
    assert names == [] and [len(varied) for varied, _ in builder.calls] == [3]


def test_each_cause_is_named(tmp_path: Path) -> None:
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: str(sorted(varied & {"zone", "cores"}))})
    assert names == ["zone", "cores"]


def test_only_differing_files_are_built_repeatedly(tmp_path: Path) -> None:
    names, builder = blamed(tmp_path, lambda varied: {WHEEL: str("zone" in varied), OTHER: "same"})
    assert names == ["zone"]
    assert builder.calls[0][1] is None
    assert {selection for _, selection in builder.calls[1:]} == {Selection(("win_arm64",), ("cp311-abi3",))}


def test_a_differing_sdist_is_built_with_one_wheel(tmp_path: Path) -> None:
    names, builder = blamed(tmp_path, lambda varied: {SDIST: str("zone" in varied), OTHER: "same", WHEEL: "same"})
    assert names == ["zone"]
    assert {selection for _, selection in builder.calls[1:]} == {Selection(("win32",), ("cp311-abi3",))}


def test_a_missing_file_is_a_difference(tmp_path: Path) -> None:
    names, _ = blamed(tmp_path, lambda varied: {} if "umask" in varied else {WHEEL: ""})
    assert names == ["umask"]


def test_an_extra_file_is_a_difference(tmp_path: Path) -> None:
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: "", **({OTHER: ""} if "zone" in varied else {})})
    assert names == ["zone"]


def test_an_interaction_of_two_variations(tmp_path: Path) -> None:
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: str(varied >= {"zone", "umask"})})
    assert names == [INTERACTION]


def test_a_differently_built_file_takes_two_builds(tmp_path: Path) -> None:
    names, builder = blamed(tmp_path, lambda varied: {WHEEL: "ours"}, {WHEEL: "theirs"})
    assert names == [DIFFERENT_TOOLCHAIN] and len(builder.calls) == 2


def test_a_differently_built_file_and_a_variation(tmp_path: Path) -> None:
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: str("zone" in varied)}, {WHEEL: "theirs"})
    assert names == [DIFFERENT_TOOLCHAIN, "zone"]


def test_nondeterminism(tmp_path: Path) -> None:
    numbers = itertools.count()
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: str(next(numbers))})
    assert names == [NONDETERMINISTIC]


def test_the_clock_and_another_variation(tmp_path: Path) -> None:
    numbers = itertools.count()

    def contents(varied: set[str]) -> dict[str, str]:
        time = 0 if bisect._FROZEN_CLOCK.name in varied else next(numbers)
        return {WHEEL: f"{time} {'cores' in varied}"}

    names, _ = blamed(tmp_path, contents)
    assert names == [TIMESTAMP, "cores"]


def test_without_libfaketime_the_clock_is_a_possible_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "check_faketime", lambda: "not installed")
    numbers = itertools.count()
    names, _ = blamed(tmp_path, lambda varied: {WHEEL: str(next(numbers))})
    assert names == [f"{NONDETERMINISTIC} (or by the clock: not installed)"]
