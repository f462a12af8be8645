"""Test that GCC's options for CPU features become zig's."""

from __future__ import annotations

import pytest
from wheelworks.build import cpu_options


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
