"""Test the platform tags that we build for, and others."""

from __future__ import annotations

from wheelworks.audit import isa, platforms
from wheelworks.core import targets


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
    for target in targets.load_targets():
        if target.cpu:
            assert platforms.find_baseline(target.os, target.cpu) is not None and isa.supports_machine(target.cpu)
