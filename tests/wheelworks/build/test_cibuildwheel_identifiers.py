"""What cibuildwheel builds by pyproject.toml is what the target table says, asked of cibuildwheel itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from wheelworks.build.cibuildwheel_identifiers import architecture, host, identifier, identifiers
from wheelworks.core import targets

from tests.fixtures.commands import ROOT

SYSTEMS = ("linux", "macos", "windows")

pytestmark = pytest.mark.usefixtures("may_spawn")


def printed(system: str, *words: str, **env: str) -> set[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--platform", system, "--print-build-identifiers", *words, "."]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    ended = subprocess.run(command, cwd=ROOT, env={**clean, **env}, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def ours(system: str) -> set[str]:
    return set(identifiers((one for one in targets.all_targets() if one.os == system), targets.all_abis()))


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_that_cibuildwheel_could_build_is_the_target_table(system: str) -> None:
    assert printed(system, "--archs", "all") == ours(system) != set()


@pytest.mark.integration
@pytest.mark.parametrize("system", SYSTEMS)
def test_each_architecture_alone(system: str) -> None:
    rows = [target for target in targets.all_targets() if target.os == system]
    for name in {architecture(target) for target in rows}:
        expected = identifiers((row for row in rows if architecture(row) == name), targets.all_abis())
        assert printed(system, "--archs", name) == set(expected), name


@pytest.mark.parametrize("system", ["macos", "windows"])
def test_without_a_word_every_architecture_of_the_system_is_built(system: str) -> None:
    assert printed(system) == ours(system)


def test_the_table_is_complete() -> None:
    assert {target.os for target in targets.all_targets()} == set(SYSTEMS)
    assert sum(len(ours(system)) for system in SYSTEMS) == len(targets.all_targets()) * len(targets.all_abis())


@pytest.mark.parametrize(
    ("target", "abi", "expected"),
    [
        ("manylinux_2_17_x86_64", "cp311-abi3", "cp311-manylinux_x86_64"),
        ("musllinux_1_2_aarch64", "cp314-cp314t", "cp314t-musllinux_aarch64"),
        ("macosx_11_0_arm64", "cp315-abi3.abi3t", "cp315t-macosx_arm64"),
        ("win32", "cp311-abi3", "cp311-win32"),
        ("win_arm64", "cp314-cp314t", "cp314t-win_arm64"),
    ],
)
def test_names(target: str, abi: str, expected: str) -> None:
    assert identifier(targets.find(target), targets.find_abi(abi)) == expected


def test_hosts() -> None:
    assert [host(system) for system in ("linux", "darwin", "win32", "plan9")] == ["linux", "macos", "windows", "plan9"]
