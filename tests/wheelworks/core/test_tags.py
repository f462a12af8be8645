"""Where a wheel installs, read from its tags."""

from __future__ import annotations

import pytest
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import Floor, Slot, promised, served, slots
from wheelworks.core.wheel import parse_wheel_name


def of(tags: str) -> dict[str, Floor]:
    return {str(slot): floor for slot, floor in slots(parse_wheel_name(f"a-1-{tags}.whl")).items()}


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
def test_tags_are_slots(tags: str, expected: dict[str, Floor]) -> None:
    assert of(tags) == expected


def test_an_unknown_platform_is_said() -> None:
    with pytest.raises(WheelworksError, match="solaris_2: no platform tag"):
        of("cp311-abi3-solaris_2")


@pytest.mark.parametrize("target", targets.all_targets(), ids=lambda target: target.id)
def test_a_wheel_with_the_tags_of_a_target_serves_it(target: targets.Target) -> None:
    found = served(parse_wheel_name(f"a-1-cp311-abi3-{'.'.join(target.tags)}.whl"))
    assert [one.id for one in found] == [target.id]


def test_an_older_floor_serves_and_a_later_one_does_not() -> None:
    older = served(parse_wheel_name("a-1-cp311-abi3-manylinux1_x86_64.manylinux_2_28_x86_64.whl"))
    assert [target.id for target in older] == ["manylinux_2_17_x86_64"]
    assert served(parse_wheel_name("a-1-cp311-abi3-manylinux_2_28_x86_64.whl")) == ()


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
def test_what_is_promised(abi: str, system: str, cpu: str, floor: Floor) -> None:
    assert promised(Slot(abi, system, cpu)) == floor
