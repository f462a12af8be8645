"""Compare Tornado's release, built here for every platform, with the wheels that its authors published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.commands import wheelworks

pytestmark = pytest.mark.integration

RELEASE = "tornado==6.6.1"
ABIS = ("cp311-abi3", "cp314-cp314t", "cp315-cp315t")
# Wheels that the target table includes and Tornado doesn't publish.
BEYOND = {f"{abi} on {system} {cpu}" for abi in ABIS for system in ("glibc", "musl") for cpu in ("arm", "x86")}
# Wheels whose code can't run on an emulated CPU.
UNRUN = {f"{abi} on {system} powerpc64le" for abi in ABIS for system in ("glibc", "musl")}


def test_we_build_the_published_wheels_and_more(tornado_release: Path, wheelworks_cache: Path) -> None:
    ended = wheelworks("compare", tornado_release, RELEASE, cache=wheelworks_cache)
    differences = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert set(re.findall(r"missing-wheel: (.*?): ", ended.err)) == BEYOND
    assert len(differences) == len(BEYOND), [line for line in differences if "missing-wheel" not in line]
    assert ended.status == 1
    assert f"FAILED: 45 pairs, {39 * 622:,} calls, 12 differences" in ended.out
    out = " ".join(ended.out.split())
    assert set(re.findall(r"not compared: (.*?), tornado/speedups, powerpc64le: ", out)) == UNRUN
    assert ended.out.count("not compared: ") == len(UNRUN)
