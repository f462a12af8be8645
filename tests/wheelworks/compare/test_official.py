"""Tornado's release, built here for every platform, against the wheels that its authors published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.commands import wheelworks
from tests.fixtures.downloads import Published

pytestmark = pytest.mark.integration

RELEASE = "tornado==6.6.1"
ABIS = ("cp311-abi3", "cp314-cp314t", "cp315-cp315t")
# What Tornado doesn't publish and the target table has.
BEYOND = {f"{abi} on {system} {cpu}" for abi in ABIS for system in ("glibc", "musl") for cpu in ("armv7l", "x86")}
# Of these the code can't be run on an emulated CPU.
UNRUN = {f"{abi} on {system} ppc64le" for abi in ABIS for system in ("glibc", "musl")}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, published: Published, wheelworks_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    words = ("build-wheels", published.sdist(RELEASE), "--no-run", "--env", "TORNADO_EXTENSION=1", "--out", folder)
    ended = wheelworks(*words, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    return folder


def test_ours_are_the_published_ones_and_some_more(ours: Path, wheelworks_cache: Path) -> None:
    ended = wheelworks("compare", ours, RELEASE, cache=wheelworks_cache)
    differences = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert set(re.findall(r"missing-wheel: (.*?): ", ended.err)) == BEYOND
    assert len(differences) == len(BEYOND), [line for line in differences if "missing-wheel" not in line]
    assert ended.status == 1
    assert set(re.findall(r"not compared: (.*?), tornado/speedups, ppc64le: ", ended.err)) == UNRUN
    assert ended.err.count("not compared: ") == len(UNRUN)


def test_as_a_part_of_ours_they_have_no_difference(ours: Path, wheelworks_cache: Path) -> None:
    ended = wheelworks("compare", ours, RELEASE, "--part", cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    pairs, calls = re.findall(r"(\d+) pairs of wheels, (\d+) calls of their functions: no difference", ended.out)[0]
    assert (int(pairs), int(calls)) == (45, 39 * 622)
