"""Test the platform tags that we build for, and others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag
from wheelworks.audit import isa, platforms
from wheelworks.audit.compatibility import is_pair_requested, is_platform_requested, is_refused
from wheelworks.audit.extension import check_other_platforms
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.wheel import AuditedWheel
from wheelworks.core import targets
from wheelworks.core.binary import Binary
from wheelworks.core.tags import parse_platforms
from wheelworks.core.wheel import parse_wheel_name


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


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("android_24_arm64_v8a", ("ELF", "aarch64")),
        ("android_21_x86_64", ("ELF", "x86_64")),
        ("android_21_mips", None),
        ("ios_13_0_arm64_iphoneos", ("Mach-O", "aarch64")),
        ("ios_13_0_x86_64_iphonesimulator", ("Mach-O", "x86_64")),
        ("pyodide_2025_0_wasm32", ("WebAssembly", "wasm32")),
        ("pyemscripten_2025_0_wasm32", ("WebAssembly", "wasm32")),
        ("emscripten_3_1_58_wasm32", ("WebAssembly", "wasm32")),
        ("manylinux_2_17_x86_64", None),
    ],
)
def test_platforms_without_a_table_are_known_by_their_tags(tag: str, kind: tuple[str, str] | None) -> None:
    found = platforms.parse_other_platform(tag)
    assert ((found.format, found.machine) if found else None) == kind


@pytest.mark.parametrize(
    ("tag", "suffix", "code"),
    [
        ("cp313-cp313-android_21_arm64_v8a", "cpython-313-aarch64-linux-android.so", "W123"),
        ("cp313-cp313-android_21_arm64_v8a", "so", "W123"),
        ("cp313-cp313-android_21_arm64_v8a", "abi3.so", "W123"),
        ("cp313-cp313-android_21_arm64_v8a", "cpython-313-aarch64-linux-gnu.so", "W105"),
        ("cp313-cp313-android_21_arm64_v8a", "cpython-312-aarch64-linux-android.so", "W105"),
        ("cp314-cp314t-android_21_arm64_v8a", "abi3.so", "W105"),
    ],
)
def test_a_module_of_such_a_platform_needs_its_suffix(tag: str, suffix: str, code: str) -> None:
    name = f"sample-1.0-{tag}.whl"
    wheel = AuditedWheel(name, parse_wheel_name(name), (), DEFAULT_POLICY)
    wheel.natives.append((f"sample/_native.{suffix}", Binary("ELF", "aarch64", {}, ())))
    assert [one.code for one in check_other_platforms(wheel)] == [code]


WORDS = st.sampled_from(["manylinux", "musllinux", "macosx", "win", "linux", "android", "ios", "pyodide", "cp", "py",
                         "abi3t", "any", "none", "x86_64", "arm64_iphoneos", "universal2", "m", "", "é"])  # fmt: skip
PARTS = st.lists(st.one_of(WORDS, st.integers(0, 10**20).map(str), st.text(max_size=3)), max_size=4).map("_".join)


@settings(max_examples=100, deadline=None)
@given(PARTS, PARTS, PARTS)
def test_no_words_in_a_tag_make_the_readers_fail(interpreter: str, abi: str, platform: str) -> None:
    tag = Tag(interpreter, abi, platform)
    answers = [is_platform_requested(tag.platform), is_pair_requested(tag), is_refused(tag.platform)]
    assert {type(one) for one in answers} == {bool}
    other = platforms.parse_other_platform(tag.platform)
    assert other is None or other.tag == tag.platform
    assert all(one.tag == tag.platform for one in parse_platforms([tag.platform]))
