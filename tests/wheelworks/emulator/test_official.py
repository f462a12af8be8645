"""Tornado's official wheels, which other compilers have built, run and mask correctly."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.core.errors import Unsupported
from wheelworks.emulator import load
from wheelworks.emulator.wheel_tests import smoke_test

pytestmark = pytest.mark.integration

PLATFORMS = {
    "win_arm64": ("aarch64",),
    "win_amd64": ("x86_64",),
    "win32": ("x86",),
    "macosx_11_0_universal2": ("aarch64", "x86_64"),
    "manylinux_2_28_x86_64": ("x86_64",),
    "manylinux_2_28_aarch64": ("aarch64",),
    "manylinux_2_39_riscv64": ("riscv64",),
    "manylinux_2_28_s390x": ("s390x",),
    "musllinux_1_2_x86_64": ("x86_64",),
    "musllinux_1_2_aarch64": ("aarch64",),
    "musllinux_1_2_riscv64": ("riscv64",),
    "musllinux_1_2_s390x": ("s390x",),
}
ABIS = {"abi3": "3.11", "cp314t": "3.14", "cp315t": "3.15"}
MACOS = {"abi3": "macosx_11_0_universal2", "cp314t": "macosx_10_15_universal2", "cp315t": "macosx_10_15_universal2"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Return a function that downloads the official wheel for a platform and an ABI."""
    folder = tmp_path_factory.mktemp("official")

    def download(platform: str, abi: str) -> Path:
        tag = MACOS[abi] if platform.startswith("macosx") else platform
        return fetch(folder / f"{platform}-{abi}", tag, abi, ABIS[abi], "tornado==6.6.1")

    return download


def fetch(place: Path, tag: str, abi: str, version: str, requirement: str) -> Path:
    """Download the wheel that pip chooses for a platform and an ABI."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--platform={tag}", f"--abi={abi}", f"--python-version={version}"]
    done = subprocess.run([*command, f"--dest={place}", requirement], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(place.iterdir())


def mask(key: bytes, data: bytes) -> bytes:
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data))


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_official_wheel_masks_right(platform: str, abi: str, wheel: object) -> None:
    path = wheel(platform, abi)  # type: ignore[operator]  # the fixture is a function
    source = random.Random(platform + abi)
    for cpu in PLATFORMS[platform]:
        module = load(path, cpu=cpu)
        assert module.abi_.cpu == cpu
        assert module.abi_.python.free_threaded == abi.endswith("t")
        for size in (*range(301), 65_537):
            key, data = source.randbytes(4), source.randbytes(size)
            assert module.websocket_mask(key, data) == mask(key, data)
        assert module.websocket_mask("keys", "text") == mask(b"keys", b"text")
        with pytest.raises(ValueError, match="mask must be 4 bytes"):
            module.websocket_mask(b"abc", b"")
        with pytest.raises(TypeError, match="must be read-only bytes-like object"):
            module.websocket_mask(b"abcd", bytearray())
    assert smoke_test(path).outcome == "passed"


def test_power_is_reported_as_not_emulated(wheel: object) -> None:
    path = wheel("manylinux2014_ppc64le", "abi3")  # type: ignore[operator]  # the fixture is a function
    with pytest.raises(Unsupported, match="PPC64, which no emulated CPU runs"):
        load(path)
    assert smoke_test(path).outcome == "unsupported"


@pytest.mark.parametrize(
    "platform", ["win_arm64", "win32", "macosx_11_0_arm64", "manylinux_2_28_x86_64", "musllinux_1_2_aarch64"]
)
def test_a_wheel_of_another_project_for_one_cpython_version(platform: str, tmp_path: Path) -> None:
    """Code that doesn't use the stable ABI may read the fields of bytes objects directly."""
    path = fetch(tmp_path, platform, "cp313", "3.13", "websockets==17.4")
    module = load(path)
    assert str(module.abi_.python) == "CPython 3.13"
    source = random.Random(platform)
    for size in (*range(100), 5000):
        key, data = source.randbytes(4), source.randbytes(size)
        assert module.apply_mask(data, key) == mask(key, data)
    with pytest.raises(ValueError, match="mask must contain 4 bytes"):
        module.apply_mask(b"data", b"abc")
    with pytest.raises(Unsupported, match="reads the inside of the object header of a bytearray"):
        module.apply_mask(bytearray(b"data"), b"abcd")


@pytest.mark.parametrize(
    "requirement",
    ["bcrypt==5.0.0", "cryptography==46.0.3", "lxml==6.1.3", "orjson==3.13.0", "pycryptodome==4.4.0",
     "rpds_py==2026.9.1", "charset_normalizer==3.5.3"],
)  # fmt: skip
def test_good_wheels_of_other_projects_are_not_called_failed(requirement: str, tmp_path: Path) -> None:
    """They import by ordinal, need start-up code or thread-local variables, or aren't for Python to import."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--abi=abi3"]
    command += ["--implementation=cp", "--platform=win_arm64", "--abi=cp313", "--python-version=3.13"]
    done = subprocess.run([*command, f"--dest={tmp_path}", requirement], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdict = smoke_test(next(tmp_path.iterdir()))
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert "emulated" in verdict.why or "isn't a Python module" in verdict.why
