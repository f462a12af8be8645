"""Test W403: with debug information, compilers write the build machine's folders into a binary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.audit.inspection import inspect_wheel

from tests.fixtures import wheels

pytestmark = pytest.mark.integration


def compiled(folder: Path, target: str, file: str, *options: str) -> bytes:
    source, made = folder / "sample.c", folder / file
    source.write_text("int sample(int a) { return a ^ 1; }\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-shared", "-fno-sanitize=all", *options]
    subprocess.run([*command, "-o", str(made), str(source)], check=True, capture_output=True)
    return made.read_bytes()


def told(folder: Path, platform: str, file: str, data: bytes) -> list[str]:
    """Return the evidence of each W403 in a wheel with this extension."""
    wheel = wheels.wheel(folder / "dist", f"cp311-abi3-{platform}", {file: data})
    return [one.evidence for one in inspect_wheel(wheel).findings if one.code == "W403"]


def test_an_object_file_that_mach_o_names(tmp_path: Path) -> None:
    target, platform, file = "aarch64-macos.11.0", "macosx_11_0_arm64", "sample.abi3.so"
    (found,) = told(tmp_path, platform, file, compiled(tmp_path, target, file, "-g"))
    assert "sample.o" in found
    assert told(tmp_path, platform, file, compiled(tmp_path, target, file, "-g0", "-s")) == []


def test_a_pdb_that_pe_names(tmp_path: Path) -> None:
    data = compiled(tmp_path, "x86_64-windows-gnu", "sample_with_a_long_name.dll", "-g")
    plain, path = b"sample_with_a_long_name.pdb\0", rb"C:\build\a_project\temp.pdb" + b"\0"
    assert data.count(plain) == 1 and len(plain) == len(path)
    assert told(tmp_path, "win_amd64", "sample.pyd", data) == []  # a name without a folder is harmless
    (found,) = told(tmp_path, "win_amd64", "sample.pyd", data.replace(plain, path))
    assert path[:-1].decode() in found
