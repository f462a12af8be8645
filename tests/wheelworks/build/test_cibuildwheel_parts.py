"""Test cibuildwheel's identifiers, container engines and error messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.build import cibuildwheel
from wheelworks.build.cibuildwheel import explain_failure, host_system, map_identifiers
from wheelworks.core import targets
from wheelworks.core.cibuildwheel import format_identifier, name_arch
from wheelworks.core.errors import WheelworksError

from tests.fixtures.commands import ROOT
from tests.fixtures.package import RELEASE_ABIS

BEGUN = """\
Building cp311-manylinux_i686 wheel
CPython 3.11 manylinux i686

\x1b[0mSetting up build environment...
                                                                       \x1b[32m✓ \x1b[0m0.25s
Building wheel...
"""
CASES = {
    "exec format error": ("exec container process `/bin/bash`: Exec format error", "qemu-user-static"),
    "fetched": ("initializing source docker://q/a: pinging container registry: dial tcp: no such host", "network"),
    "may not use": ("permission denied while trying to connect to the Docker daemon socket", "group"),
    "lacks a Python": ("'/opt/python/cp314-cp314t/bin/python' executable doesn't exist in image 'a'", "--abi"),
    "pure wheel": ("Build failed because a pure Python wheel was generated.", "[tool.cibuildwheel]"),
    "builds nothing": ("cibuildwheel: No build identifiers selected: BuildSelector()", "archs"),
    "disk is full": ("OSError: [Errno 28] No space left on device", "prune"),
}


@pytest.mark.parametrize(("line", "hint"), CASES.values(), ids=CASES)
def test_known_failures_have_a_cause_and_a_way_out(line: str, hint: str) -> None:
    error = explain_failure(f"{BEGUN}{line}\n", 1)
    assert error.message.startswith("cibuildwheel failed for cp311-manylinux_i686 while building wheel: ")
    assert line in error.message and hint in error.hint


def test_an_unknown_failure_shows_the_last_lines() -> None:
    lines = [f"line {number}" for number in range(100)]
    error = explain_failure("\n".join(lines), 9)
    assert error.message.splitlines()[0] == "cibuildwheel failed: it ended with status 9"
    assert error.message.splitlines()[1:] == [f"    {line}" for line in lines[-15:]]


def test_a_traceback_is_shortened_to_its_message() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    main()\nRuntimeError: it exited\n'
    )
    error = explain_failure(f"Starting container image a:b...\n{trace}", 1)
    assert error.message.splitlines()[1:] == ["    Starting container image a:b...", "    RuntimeError: it exited"]


SYSTEMS = ("linux", "macos", "windows")

pytestmark = pytest.mark.usefixtures("may_spawn")


def printed(system: str, *words: str, **env: str) -> set[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--platform", system, "--print-build-identifiers", *words, "."]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    ended = subprocess.run(command, cwd=ROOT, env={**clean, **env}, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def ours(system: str) -> set[str]:
    return set(map_identifiers((one for one in targets.load_targets() if one.os == system), RELEASE_ABIS))


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_that_cibuildwheel_could_build_is_the_target_table(system: str) -> None:
    assert printed(system, "--archs", "all") == ours(system) != set()


@pytest.mark.integration
@pytest.mark.parametrize("system", SYSTEMS)
def test_each_architecture_alone(system: str) -> None:
    rows = [target for target in targets.load_targets() if target.os == system]
    for name in {name_arch(target) for target in rows}:
        expected = map_identifiers((row for row in rows if name_arch(row) == name), RELEASE_ABIS)
        assert printed(system, "--archs", name) == set(expected), name


@pytest.mark.parametrize("system", ["macos", "windows"])
def test_without_a_word_every_architecture_of_the_system_is_built(system: str) -> None:
    assert printed(system) == ours(system)


def test_the_table_is_complete() -> None:
    assert {target.os for target in targets.load_targets()} == set(SYSTEMS)
    assert sum(len(ours(system)) for system in SYSTEMS) == len(targets.load_targets()) * len(RELEASE_ABIS)


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
    assert format_identifier(targets.find_target(target), targets.find_abi(abi)) == expected


def test_hosts() -> None:
    assert [host_system(system) for system in ("linux", "darwin", "win32", "plan9")] == [
        "linux",
        "macos",
        "windows",
        "plan9",
    ]


def program(folder: Path, name: str, status: int, says: str = "") -> None:
    if sys.platform == "win32":
        pytest.skip("the programs are shell scripts")
    (folder / name).write_text(f'#!/bin/sh\necho "{says}"\nexit {status}\n')
    (folder / name).chmod(0o755)


def test_what_the_environment_says_is_taken(tmp_path: Path) -> None:
    assert (
        cibuildwheel.find_engine({"PATH": str(tmp_path), cibuildwheel.ENGINE_VARIABLE: "podman; create_args: -v"})
        == "podman; create_args: -v"
    )


def test_docker_first(tmp_path: Path) -> None:
    program(tmp_path, "docker", 0)
    program(tmp_path, "podman", 0)
    assert cibuildwheel.find_engine({"PATH": str(tmp_path)}) == "docker"


def test_docker_without_its_service_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "docker", 1, "Cannot connect to the Docker daemon")
    program(tmp_path, "podman", 0)
    assert cibuildwheel.find_engine({"PATH": str(tmp_path)}) == "podman"


def test_none(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no container engine, and cibuildwheel builds") as raised:
        cibuildwheel.find_engine({"PATH": str(tmp_path)})
    assert "apt install podman" in raised.value.hint and "`cross`" in raised.value.hint


def test_none_that_works(tmp_path: Path) -> None:
    program(tmp_path, "docker", 1, "Cannot connect to the Docker daemon")
    with pytest.raises(WheelworksError, match="docker: Cannot connect to the Docker daemon") as raised:
        cibuildwheel.find_engine({"PATH": str(tmp_path)})
    assert "start the docker service" in raised.value.hint
