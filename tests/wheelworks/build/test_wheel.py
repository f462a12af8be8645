"""What the builder refuses of a backend, and what it makes of a project that needs the compiler's own functions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wheelworks.build.wheel import check_abi
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

TARGET = targets.find("win_arm64")
DIVIDES = """
    unsigned long long number = PyLong_AsUnsignedLongLong(arg);
    return PyLong_FromUnsignedLongLong(number / (unsigned long long)Py_SIZE(self));
"""


@pytest.mark.parametrize(
    ("made", "abi"),
    [
        ("cp312-abi3-win_arm64", "cp311-abi3"),
        ("cp311-cp311-win_arm64", "cp314-cp314t"),
        ("cp315-abi3-win_arm64", "cp315-abi3.abi3t"),
    ],
)
def test_a_wheel_of_another_abi_is_refused(made: str, abi: str) -> None:
    name = parse_wheel_name(f"x-1-{made}.whl")
    with pytest.raises(WheelworksError, match=rf"win_arm64: the build backend made a wheel for {name.abi}, not {abi}"):
        check_abi(name, TARGET, targets.find_abi(abi))


def test_a_wheel_of_its_abi_is_taken() -> None:
    check_abi(parse_wheel_name("x-1-cp315-cp315t-win_arm64.whl"), TARGET, targets.find_abi("abi3t"))


@pytest.mark.integration
def test_division_on_32_bits_needs_no_libc(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.sample(tmp_path / "sample", projects.module(DIVIDES))
    chosen = [word for cpu in ("armv7l", "i686") for word in ("--target", f"manylinux_2_17_{cpu}")]
    words = ["--abi", "cp311-abi3", *chosen, "--out", str(tmp_path / "out")]
    ended = wheelworks("build-wheels", source, *words, cache=wheelworks_cache, seconds=600)
    assert ended.status == 0, ended.err
    wheels = json.loads((tmp_path / "out/manifest.json").read_text())["wheels"]
    assert [(len(wheel["targets"]), wheel["link"]) for wheel in wheels] == [(2, "freestanding")] * 2
    for wheel in wheels:
        assert [run["outcome"] for run in wheel["runs"]] == ["passed"]
        (extension,) = wheel["extensions"]
        assert all(name.startswith(("Py", "_Py")) for names in extension["imports"].values() for name in names)
