"""Compare wheels built from Tornado's sdist with the wheels that the Tornado project publishes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from wheelworks.core import targets

from tests.fixtures.commands import wheelworks
from tests.fixtures.downloads import Published
from tests.fixtures.wheels import read_files

pytestmark = pytest.mark.integration

RELEASE = "tornado==6.6.1"
OFFICIAL = {
    "win_arm64": "win_arm64",
    "macosx_11_0_arm64": "macosx_11_0_universal2",
    "manylinux_2_17_aarch64": "manylinux_2_28_aarch64",
    "musllinux_1_2_aarch64": "musllinux_1_2_aarch64",
}


@pytest.fixture(scope="module")
def ours(published: Published, tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    out = tmp_path_factory.mktemp("tornado")
    ended = wheelworks("cross-arm64", "--no-run", published.sdist(RELEASE), "--out", out, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    return out


def wheel_for(platform: str, folder: Path) -> Path:
    (found,) = [path for path in folder.glob("*.whl") if any(t.platform == platform for t in tags(path))]
    return found


def tags(path: Path) -> frozenset[Tag]:
    return parse_wheel_filename(path.name)[3]


def files(path: Path) -> dict[str, bytes]:
    """Return a wheel's files, without the folders that some builders add."""
    return {name: data for name, data in read_files(path).items() if not name.endswith("/")}


def test_three_wheels(ours: Path) -> None:
    assert len(list(ours.glob("*.whl"))) == 3


@pytest.mark.parametrize("platform", OFFICIAL)
def test_the_files_are_those_of_the_official_wheel(platform: str, ours: Path, published: Published) -> None:
    built = files(wheel_for(platform, ours))
    official = files(published.wheel(RELEASE, OFFICIAL[platform]))
    assert sorted(built) == sorted(official)


@pytest.mark.parametrize("platform", OFFICIAL)
def test_all_but_the_binary_is_the_same_to_the_byte(platform: str, ours: Path, published: Published) -> None:
    built = files(wheel_for(platform, ours))
    official = files(published.wheel(RELEASE, OFFICIAL[platform]))
    for name, data in official.items():
        if not name.endswith((".so", ".pyd", "/WHEEL", "/RECORD")):
            assert built[name] == data or built[name] == data.replace(b"\r\n", b"\n"), name


@pytest.mark.parametrize("platform", OFFICIAL)
def test_our_wheel_installs_wherever_the_official_one_does(platform: str, ours: Path, published: Published) -> None:
    """The tag of an early libc or system version implies the later ones. The universal2 tag covers both CPUs."""
    theirs = {str(tag) for tag in tags(published.wheel(RELEASE, OFFICIAL[platform]))}
    implied = {"cp311-abi3-manylinux_2_28_aarch64", "cp311-abi3-macosx_10_9_universal2"}
    built = {str(tag) for tag in tags(wheel_for(platform, ours))}
    assert theirs - implied <= built
    if platform == "macosx_11_0_arm64":
        assert built == {"cp311-abi3-macosx_11_0_arm64"}, "the first macOS for ARM64 is 11.0"


def test_the_linux_wheel_serves_musl_too(ours: Path) -> None:
    assert wheel_for("manylinux_2_17_aarch64", ours) == wheel_for("musllinux_1_2_aarch64", ours)


# The wheels of 6.6.1 that the index lists. The project builds them on nine kinds of hosted machines.
PUBLISHED_ABIS = {"cp311-abi3", "cp314-cp314t", "cp315-cp315t"}
PUBLISHED = {
    ("macos", "aarch64"),  # one universal2 wheel serves both CPUs
    ("macos", "x86_64"),
    ("windows", "aarch64"),
    ("windows", "x86_64"),
    ("windows", "x86"),
    *(("linux", cpu) for cpu in ("x86_64", "aarch64", "powerpc64le", "s390x", "riscv64")),
}


def test_the_whole_set_covers_the_official_one(published: Published, tornado_release: Path) -> None:
    sdist = published.sdist(RELEASE)
    wheels = json.loads((tornado_release / "manifest.json").read_text())["wheels"]
    rows = {target.id: target for target in targets.load_targets()}
    built = {(rows[name].family, wheel["abi"]) for wheel in wheels for name in wheel["targets"]}
    assert {(platform, abi) for platform in PUBLISHED for abi in PUBLISHED_ABIS} <= built
    assert {wheel["abi"] for wheel in wheels} == PUBLISHED_ABIS
    assert {wheel["link"] for wheel in wheels} == {"freestanding"} and len(wheels) == 36
    assert (tornado_release / sdist.name).read_bytes() == sdist.read_bytes()
    assert {name for wheel in wheels for name in wheel["targets"]} == rows.keys(), "of each Linux CPU both libcs"
