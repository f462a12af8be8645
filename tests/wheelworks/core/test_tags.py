"""Test what platform tags mean, and which targets a wheel is compatible with."""

from __future__ import annotations

import pytest
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import (
    CompatibilityTarget,
    Platform,
    Version,
    find_compatibility_targets,
    find_minimum_version,
    find_served_targets,
    parse_platform,
)
from wheelworks.core.wheel import parse_wheel_name


def served_by(tags: str) -> dict[str, Version]:
    return {str(slot): floor for slot, floor in find_compatibility_targets(parse_wheel_name(f"a-1-{tags}.whl")).items()}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("cp311-abi3-win_arm64", {"cp311-abi3 on windows aarch64": ()}),
        ("cp311-abi3-win_amd64", {"cp311-abi3 on windows x86_64": ()}),
        ("cp311-abi3-win32", {"cp311-abi3 on windows x86": ()}),
        ("cp311-abi3-manylinux1_i686.manylinux_2_28_i686", {"cp311-abi3 on glibc x86": (2, 5)}),
        ("cp311-abi3-manylinux2010_x86_64", {"cp311-abi3 on glibc x86_64": (2, 12)}),
        (
            "cp314-cp314t-manylinux2014_aarch64.musllinux_1_2_aarch64",
            {"cp314-cp314t on glibc aarch64": (2, 17), "cp314-cp314t on musl aarch64": (1, 2)},
        ),
        (
            "cp311-abi3-macosx_10_9_universal2",
            {"cp311-abi3 on macos aarch64": (11, 0), "cp311-abi3 on macos x86_64": (10, 9)},
        ),
        ("cp315-abi3.abi3t-win32", {"cp315-abi3 on windows x86": (), "cp315-abi3t on windows x86": ()}),
        ("cp311-abi3-linux_x86_64", {"cp311-abi3 on one linux x86_64": ()}),
        ("py3-none-any", {"py3-none on any platform": ()}),
    ],
)
def test_tags_name_compatibility_targets(tags: str, expected: dict[str, Version]) -> None:
    assert served_by(tags) == expected


def test_an_unknown_platform_is_named_in_the_error() -> None:
    with pytest.raises(WheelworksError, match="solaris_2: unknown platform tag"):
        served_by("cp311-abi3-solaris_2")


@pytest.mark.parametrize("target", targets.load_targets(), ids=lambda target: target.id)
def test_a_wheel_with_the_tags_of_a_target_serves_it(target: targets.Target) -> None:
    found = find_served_targets(parse_wheel_name(f"a-1-cp311-abi3-{'.'.join(target.tags)}.whl"))
    assert [one.id for one in found] == [target.id]


def test_an_older_floor_serves_and_a_later_one_does_not() -> None:
    older = find_served_targets(parse_wheel_name("a-1-cp311-abi3-manylinux1_x86_64.manylinux_2_28_x86_64.whl"))
    assert [target.id for target in older] == ["manylinux_2_17_x86_64"]
    assert find_served_targets(parse_wheel_name("a-1-cp311-abi3-manylinux_2_28_x86_64.whl")) == ()


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("cp314-cp314-macosx_10_15_x86_64", ("macosx_10_9_x86_64",)),
        ("cp312-cp312-macosx_10_13_x86_64", ("macosx_10_9_x86_64",)),
        ("cp312-cp312-macosx_10_15_x86_64", ()),
        ("cp311-abi3-macosx_10_13_x86_64", ()),
        ("cp314-cp314-macosx_11_0_arm64", ("macosx_11_0_arm64",)),
        ("cp314-cp314-macosx_12_0_arm64", ()),
    ],
)
def test_the_macos_that_a_cpython_needs_is_no_restriction(name: str, served: tuple[str, ...]) -> None:
    assert tuple(one.id for one in find_served_targets(parse_wheel_name(f"a-1-{name}.whl"))) == served


@pytest.mark.parametrize(
    ("abi", "system", "cpu", "floor"),
    [
        ("cp311-abi3", "glibc", "x86_64", (2, 17)),
        ("cp311-abi3", "musl", "aarch64", (1, 2)),
        ("cp311-abi3", "macos", "x86_64", (10, 9)),
        ("cp314-cp314t", "macos", "x86_64", (10, 15)),
        ("cp313-cp313", "macos", "x86_64", (10, 13)),
        ("cp314-cp314t", "macos", "aarch64", (11, 0)),
        ("cp311-abi3", "glibc", "sparc", ()),
    ],
)
def test_minimum_versions(abi: str, system: str, cpu: str, floor: Version) -> None:
    assert find_minimum_version(CompatibilityTarget(abi, system, cpu)) == floor


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("win32", Platform("win32", "windows", ("x86",), "win32")),
        ("win_amd64", Platform("win_amd64", "windows", ("x86_64",), "amd64")),
        ("manylinux1_i686", Platform("manylinux1_i686", "linux", ("x86",), "i686", "glibc", (2, 5))),
        (
            "manylinux_2_39_riscv64",
            Platform("manylinux_2_39_riscv64", "linux", ("riscv64",), "riscv64", "glibc", (2, 39)),
        ),
        ("musllinux_1_2_armv7l", Platform("musllinux_1_2_armv7l", "linux", ("arm",), "armv7l", "musl", (1, 2))),
        ("linux_x86_64", Platform("linux_x86_64", "linux", ("x86_64",), "x86_64")),
        (
            "macosx_10_9_universal2",
            Platform("macosx_10_9_universal2", "macos", ("aarch64", "x86_64"), "universal2", version=(10, 9)),
        ),
    ],
)
def test_tags_are_parsed(tag: str, expected: Platform) -> None:
    assert parse_platform(tag) == expected


@pytest.mark.parametrize("tag", ["any", "plan9_4_amd64", "win_ia64", "manylinux_x86_64", "ios_13_0_arm64_iphoneos", ""])
def test_an_unknown_tag_is_none(tag: str) -> None:
    assert parse_platform(tag) is None


def test_every_target_that_we_build_is_known_with_its_cpu() -> None:
    for target in targets.load_targets():
        for tag in target.tags:
            found = parse_platform(tag)
            assert tag == "any" or (found is not None and (found.os, found.cpus) == (target.os, (target.cpu,)))


@pytest.mark.parametrize(
    ("tag", "served"),
    [
        ("macosx_10_9_intel", {"macos x86", "macos x86_64"}),
        ("macosx_10_9_fat64", {"macos x86_64"}),
        ("macosx_10_9_fat3", {"macos x86", "macos x86_64"}),
        ("macosx_10_9_universal", {"macos x86", "macos x86_64"}),
        ("manylinux2014_ppc64le", {"glibc powerpc64le"}),
        ("manylinux_2_31_armv7l", {"glibc arm"}),
        ("linux_armv7l", {"one linux arm"}),
        ("linux_armv6l", {"one linux armv6l"}),
    ],
)
def test_comparing_and_auditing_agree_on_the_cpus_of_a_tag(tag: str, served: set[str]) -> None:
    """Two parsers once disagreed on these tags. Only ARMv6 still differs, because installers distinguish it."""
    targets_of_tag = find_compatibility_targets(parse_wheel_name(f"a-1-cp311-abi3-{tag}.whl"))
    assert {f"{one.system} {one.cpu}" for one in targets_of_tag} == served
    platform = parse_platform(tag)
    assert platform is not None
    assert {one.cpu.replace("armv6l", "arm") for one in targets_of_tag} == set(platform.cpus)
