"""What cibuildwheel writes when it fails, in the words of its own and of the engines, and what is made of it."""

from __future__ import annotations

import pytest
from wheelworks.build.cibuildwheel_failures import explain
from wheelworks.build.cibuildwheel_stages import building, stages

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
    error = explain(f"{BEGUN}{line}\n", 1)
    assert error.message.startswith("cibuildwheel failed for cp311-manylinux_i686 while building wheel: ")
    assert line in error.message and hint in error.hint


def test_an_unknown_failure_shows_the_last_lines() -> None:
    lines = [f"line {number}" for number in range(100)]
    error = explain("\n".join(lines), 9)
    assert error.message.splitlines()[0] == "cibuildwheel failed: it ended with status 9"
    assert error.message.splitlines()[1:] == [f"    {line}" for line in lines[-15:]]


def test_a_traceback_is_cut_down_to_what_it_says() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    main()\nRuntimeError: it exited\n'
    )
    error = explain(f"Starting container image a:b...\n{trace}", 1)
    assert error.message.splitlines()[1:] == ["    Starting container image a:b...", "    RuntimeError: it exited"]


def test_stages_are_read_from_what_it_says() -> None:
    output = (
        BEGUN + "gcc -c a.c\n   \x1b[32m✓ \x1b[0m30.47s\nRepairing wheel...\n   ✓ 7.23s\nTesting wheel...\n  ✓ 31.00s\n"
    )
    assert stages(output) == {
        "Setting up build environment": 0.25, "Building wheel": 30.47, "Repairing wheel": 7.23, "Testing wheel": 31.0,
    }  # fmt: skip
    assert building(output) == pytest.approx(37.95)


def test_a_stage_that_failed_has_no_time() -> None:
    assert stages("Building wheel...\n   ✕ 0.17s\nRepairing wheel...\n   ✓ 1.00s\n") == {"Repairing wheel": 1.0}
