"""What a release consists of: the exact list, and what a CI matrix is told of each wheel."""

from __future__ import annotations

import pytest
from packaging.utils import parse_wheel_filename
from wheelworks.core import targets

PLATFORMS = (
    "win_arm64",
    "macosx_11_0_arm64",
    "manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_2_aarch64",
    "manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_2_x86_64",
    "manylinux2014_i686.manylinux_2_17_i686.musllinux_1_2_i686",
    "manylinux2014_armv7l.manylinux_2_17_armv7l.musllinux_1_2_armv7l",
    "manylinux_2_19_ppc64le.musllinux_1_2_ppc64le",
    "manylinux2014_s390x.manylinux_2_17_s390x.musllinux_1_2_s390x",
    "manylinux_2_31_riscv64.musllinux_1_2_riscv64",
    "win_amd64",
    "win32",
    "macosx_10_9_x86_64",
)
ABIS = ("cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t")


def planned(*, pure: bool = True) -> tuple[targets.PlannedWheel, ...]:
    return targets.plan_wheels("x-1", targets.load_targets(), targets.load_abis(), pure=pure)


def test_a_release_is_these_wheels() -> None:
    expected = [f"x-1-{abi}-{platform}.whl" for abi in ABIS for platform in PLATFORMS]
    assert [one.name for one in planned()] == [*expected, "x-1-py3-none-any.whl"]
    assert [one.name for one in planned(pure=False)] == expected


@pytest.mark.parametrize("one", planned(), ids=lambda one: one.name)
def test_a_planned_wheel_agrees_with_its_name(one: targets.PlannedWheel) -> None:
    record = one.record()
    assert one.tags == parse_wheel_filename(one.name)[3]
    assert record["tags"] == sorted(map(str, one.tags))
    assert {platform for target in one.targets for platform in target.tags} == {
        tag.platform for tag in one.tags if tag.platform != "any"
    }
    assert len({target.family for target in one.targets}) == bool(one.abi)


def test_one_target_brings_its_family() -> None:
    musl = targets.find_target("musllinux_1_2_s390x")
    (one,) = targets.plan_wheels("x-1", [musl], [targets.get_oldest_abi()], pure=False)
    assert one.record()["targets"] == ["manylinux_2_17_s390x", "musllinux_1_2_s390x"]


def test_what_a_matrix_is_told() -> None:
    (one,) = targets.plan_wheels("x-1", [targets.find_target("win32")], [targets.find_abi("cp314t")], pure=False)
    assert one.record() == {
        "name": "x-1-cp314-cp314t-win32.whl",
        "targets": ["win32"],
        "os": "windows",
        "cpu": "x86",
        "abi": "cp314-cp314t",
        "python": "3.14",
        "free_threaded": True,
        "tags": ["cp314-cp314t-win32"],
        "run": ["emulated"],
        "runner": "windows-2025",
    }


@pytest.mark.parametrize(
    ("name", "version", "stem"),
    [("Tornado.Speedups", "0.1", "tornado_speedups-0.1"), ("x--y", "01.0-RC1", "x_y-1.0rc1")],
)
def test_names_are_normalised(name: str, version: str, stem: str) -> None:
    assert targets.format_name_version(name, version) == stem
