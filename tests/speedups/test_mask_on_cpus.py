"""The XOR loop, compiled for and run on little-endian and big-endian CPUs, with and without vector instructions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src/tornado_speedups/_speedups"

# For each compiler target, the expected block sizes in bytes and the emulator that runs the program.
CPUS = {
    "x86_64-linux-musl": ((16, 32), ("qemu-x86_64-static", "-cpu", "max")),
    "aarch64-linux-musl": ((16,), ("qemu-aarch64-static",)),
    "powerpc64le-linux-musl": ((8,), ("qemu-ppc64le-static",)),
    "s390x-linux-musl": ((8,), ("qemu-s390x-static",)),
}
OLD = ("qemu-x86_64-static", "-cpu", "qemu64")  # the first generation of x86-64
LEVELS = {
    "optimised": ["-O2", "-fno-sanitize=undefined"],
    "sanitised": ["-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined"],
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="foreign programs run under qemu-user, which is for Linux"),
    pytest.mark.needs("qemu-user"),
]


def compiled(target: str, options: list[str], program: Path) -> Path:
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-static", "-Wall", "-Wextra", "-Werror"]
    source = str(HERE / "mask_on_this_cpu.c")
    subprocess.run([*command, *options, f"-I{SOURCES}", source, "-o", str(program)], check=True)
    return program


def said(emulator: tuple[str, ...], program: Path) -> list[str]:
    ended = subprocess.run([*emulator, str(program)], check=True, capture_output=True, text=True)
    return ended.stdout.splitlines()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("target", CPUS)
def test_mask(target: str, level: str, tmp_path: Path) -> None:
    blocks, emulator = CPUS[target]
    program = compiled(target, LEVELS[level], tmp_path / "xor")
    assert said(emulator, program) == [f"equal, in blocks of {block} bytes" for block in blocks]


def test_a_cpu_without_avx2_is_noticed(tmp_path: Path) -> None:
    program = compiled("x86_64-linux-musl", LEVELS["optimised"], tmp_path / "xor")
    assert said(OLD, program) == ["equal, in blocks of 16 bytes"]
