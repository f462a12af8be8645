"""Parts of the wheels that tests generate, and wheels that they download."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TAG = "cp311-abi3-manylinux_2_17_aarch64"
WheelMaker = Callable[..., Path]


def record_row(name: str, content: bytes) -> str:
    """Return a file's row in RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}"


def compile_module(source: str, folder: Path, target: str = "aarch64-linux-gnu.2.17") -> bytes:
    """Compile C source without libraries, for a compiler target of Zig, into an extension module."""
    code, module = folder / "module.c", folder / "module.so"
    code.write_text(source)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-shared", "-O1"]
    command += ["-fno-sanitize=undefined", "-nostdlib", "-Wl,--allow-shlib-undefined"]
    subprocess.run([*command, str(code), "-o", str(module)], check=True, timeout=300)
    return module.read_bytes()


def download_wheel(requirement: str, platform: str, folder: Path, *options: str) -> Path:
    """Download a project's own wheel for a platform into an empty folder; pip's ``options`` name the CPython."""
    what = ["--only-binary=:all:", "--no-deps", f"--dest={folder}", f"--platform={platform}", "--implementation=cp"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *what, *options, requirement]
    subprocess.run(command, check=True, timeout=120)
    return next(folder.glob("*.whl"))
