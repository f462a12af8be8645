"""Tornado's own release: two builds of its sdist are equal. They differ from the published wheels in known files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.commands import wheelworks
from tests.fixtures.downloads import Published

pytestmark = pytest.mark.integration

RELEASE = "tornado==6.6.1"
TARGETS = ("win_arm64", "macosx_11_0_arm64", "manylinux_2_17_aarch64")
CHOSEN = [*(f"--target={target}" for target in TARGETS), "--abi=cp311-abi3"]
# The files that differ: the machine code, the tags and the list of hashes.
OWN = {"WHEEL", "RECORD", "speedups.pyd", "speedups.abi3.so"}


def test_its_sdist_gives_the_same_bytes_twice(published: Published, wheelworks_cache: Path) -> None:
    ended = wheelworks("reproduce", published.sdist(RELEASE), *CHOSEN, cache=wheelworks_cache, seconds=600)
    assert ended.status == 0, ended.err
    assert ended.out.count("same bytes") == 3 and "OTHER BYTES" not in ended.out


def test_against_the_published_wheels_every_member_is_accounted_for(tmp_path: Path, wheelworks_cache: Path) -> None:
    kept = tmp_path / "kept"
    ended = wheelworks(
        "reproduce", RELEASE, *CHOSEN, "--vary=umask", "--keep", kept, cache=wheelworks_cache, seconds=600
    )
    assert ended.status == 1 and "built differently: rebuilds agree with each other" in ended.err
    reported = dict(re.findall(r"^  (tornado-\S+\.whl)\n((?:    .*\n)+)", ended.err, re.MULTILINE))
    assert len(reported) == 3
    for wheel, text in reported.items():
        equal = set(re.search(r"equal, \d+ files: (.*)", text)[1].split(", "))  # type: ignore[index]
        others = names(kept / wheel) - equal
        windows = wheel.endswith("win_arm64.whl")
        if windows:
            crlf = int(re.search(r"(\d+) files, \S+ to \S+: line ends only: CRLF \| LF", text)[1])  # type: ignore[index]
            assert {name.rpartition("/")[2] for name in others} >= OWN - {"speedups.abi3.so"}
            assert len(others) == crlf + 3 and len(equal) > 5
        else:
            assert {name.rpartition("/")[2] for name in others} == OWN - {"speedups.pyd"}
        assert f"tornado/speedups.{'pyd' if windows else 'abi3.so'}: size of the file: " in text
        assert re.search(r"dist-info/WHEEL: line \d", text)


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())
