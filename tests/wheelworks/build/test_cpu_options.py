"""Test that GCC's options for CPU features become zig's."""

from __future__ import annotations

import pytest
from wheelworks.build import arguments, command_lines, cpu_options

from tests.fixtures.settings import settings


@pytest.mark.parametrize(
    ("cpu", "word", "expected"),
    [
        ("aarch64", "-march=armv8-a", None),
        ("aarch64", "-march=armv8-a+crc", "-mcpu=baseline+crc"),
        ("aarch64", "-march=armv8-a+crc+crypto", "-mcpu=baseline+crc+aes+sha2"),
        ("aarch64", "-march=armv8.2-a+fp16+dotprod", "-mcpu=baseline+v8_2a+fullfp16+dotprod"),
        ("aarch64", "-march=armv9-a+sve2", "-mcpu=baseline+v9a+sve2"),
        ("aarch64", "-march=armv8-a+nosimd", "-mcpu=baseline-neon"),
        ("aarch64", "-mcpu=cortex-a72+crypto", "-mcpu=cortex_a72+aes+sha2"),
        ("arm", "-march=armv7-a", None),
        ("arm", "-mfpu=neon", "-mcpu=baseline+neon"),
        ("arm", "-mfpu=neon-vfpv4", "-mcpu=baseline+neon+vfp4"),
        ("x86_64", "-march=x86-64-v2", "-mcpu=x86_64_v2"),
        ("x86_64", "-march=haswell", "-mcpu=haswell"),
        ("x86_64", "-march=core-avx2", "-mcpu=haswell"),
        ("x86_64", "-march=skylake-avx512", "-mcpu=skylake_avx512"),
        ("powerpc64le", "-mcpu=power8", "-mcpu=pwr8"),
        ("s390x", "-march=z13", "-mcpu=z13"),
        ("riscv64", "-march=rv64gc", None),
        ("x86_64", "-msse4.2", "-msse4.2"),
        ("aarch64", "-O2", "-O2"),
    ],
)
def test_gccs_options_for_a_cpu(cpu: str, word: str, expected: str | None) -> None:
    assert cpu_options.translate(word, cpu, "baseline") == expected


@pytest.mark.parametrize(
    ("cpu", "flags", "expected"),
    [
        ("x86_64", ["-O2", "-msse4.2"], ["-mpopcnt"]),
        ("x86", ["-mavx2"], ["-mpopcnt", "-mxsave"]),
        ("x86_64", ["-msse4.1", "-mno-avx"], []),
        ("aarch64", ["-msse4.2"], []),
    ],
)
def test_an_option_includes_what_it_does_for_gcc(cpu: str, flags: list[str], expected: list[str]) -> None:
    assert cpu_options.list_included(flags, cpu) == expected


def test_what_is_included_can_be_turned_off() -> None:
    """The last of two options wins."""
    made = settings("manylinux_2_17_x86_64")
    parsed = arguments.parse_arguments(["-c", "-msse4.2", "-mno-popcnt", "a.c"], made)
    command = command_lines.compile_command(parsed, made)
    assert command.index("-mpopcnt") < command.index("-msse4.2") < command.index("-mno-popcnt")
