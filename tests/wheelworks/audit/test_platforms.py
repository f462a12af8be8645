"""Platform tags, those that we build for and all others."""

from __future__ import annotations

import pytest
from wheelworks.audit import isa, platforms
from wheelworks.audit.platforms import Platform
from wheelworks.core import targets


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
def test_tags_are_taken_apart(tag: str, expected: Platform) -> None:
    assert platforms.parse(tag) == expected


@pytest.mark.parametrize("tag", ["any", "plan9_4_amd64", "win_ia64", "manylinux_x86_64", "ios_13_0_arm64_iphoneos", ""])
def test_what_is_not_known_is_none(tag: str) -> None:
    assert platforms.parse(tag) is None


def test_every_target_that_we_build_is_known_with_its_cpu() -> None:
    for target in targets.all_targets():
        for tag in target.tags:
            found = platforms.parse(tag)
            if tag != "any":
                assert found is not None and (found.os, found.cpus) == (target.os, (target.cpu,))


def test_a_version_between_two_policies_promises_what_the_older_does() -> None:
    between, older = platforms.find_policy("glibc", (2, 20)), platforms.find_policy("glibc", (2, 17))
    assert between is not None and between == older
    assert platforms.find_policy("glibc", (2, 1)) is None
    assert platforms.find_policy("", (0, 0)) is None


def test_baselines() -> None:
    assert platforms.find_baseline("linux", "x86_64") == frozenset()
    assert "lse" in (platforms.find_baseline("macos", "aarch64") or ())
    assert platforms.find_baseline("linux", "loong64") is None


def test_every_target_that_we_build_has_a_baseline_and_a_reader_of_its_code() -> None:
    for target in targets.all_targets():
        if target.cpu:
            assert platforms.find_baseline(target.os, target.cpu) is not None and isa.supports_machine(target.cpu)
