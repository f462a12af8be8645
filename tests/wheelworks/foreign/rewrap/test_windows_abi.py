"""Test the shim where Windows' binary interface differs: a module compiled for Windows ARM64 runs in Linux' CPython.

Each case has a right function, whose results are those of a CPython on Windows, and one with a seeded fault, whose
results show it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wheelworks.foreign.rewrap.windows_modules import compile_module, rewrap_module, run_python

pytestmark = [pytest.mark.integration, pytest.mark.needs("mmdebstrap", "qemu-user")]

HERE = Path(__file__).parent
OVERFLOW = ["OverflowError", "Python int too large to convert to C long", ""]
GRIN = "\N{GRINNING FACE}"
FACES = [97, 0xD83D, 0xDE00, 122]

RIGHT: dict[str, Any] = {
    "parse": [1, 2.5, -3, "four", 5.5, 6, 77],
    "parse_overflow": "OverflowError",
    "build": [1, 2.5, "three", -4, 5.25, -6, "seven", 8.125, 9, 10.5, 11.75, None],
    "format": ["ValueError", "-1 -2 three 4 -5 6", ""],
    "snprintf": f"1 2.500 -3 four 5.25 6 7.5 \u00e9{GRIN}",
    "long": [5, -5, 2**31 - 1, -(2**31), OVERFLOW, OVERFLOW],
    "members": [
        *(-7, 77, 2**32 - 1, -7),
        *(None, 2**31 - 1, OVERFLOW, 2**31 - 1),
        OVERFLOW,
        ["TypeError", "can't delete numeric/char attribute", ""],
    ],
    "buffer": [-1, -2, 3, 4],
    "wide": [FACES, f"a{GRIN}z"],
    "thread_local": [41, 41, 42],
    "constructor": 42,
    "capsule": 3721.0,
    "datetime": "2026-11-29 01:02:03.000004",
    "thread": [0, 41, 7],
    "collected": 2,
    "error": ["PermissionError", "13", "Access is denied.", 5],
}
# What the seeded faults give: the shim doesn't hide them.
WRONG: dict[str, Any] = {
    "parse": [1, 2.5, 2**32 - 3, "four", 5.5, 6, 77],
    "build": [1, 2.5, "three", -5, 5.25, -6, "seven", 8.125, 8, 10.5, 11.75, None],
    "format": ["ValueError", "-1 -3 three 5 -5 6", ""],
    "snprintf": "1 2.500 -4 four 5.25 7 7.5 8",
    "long": [5, -5, 2**31 - 1, -(2**31), -1, -1],
    "buffer": [-1, -1, -3, -1],
    "thread_local": [41, 42, 43],
    "constructor": 0,
    "capsule": 1741.0,
    "datetime": "['ValueError', 'month must be in 1..12', '']",
    "thread": [258, 0, 259],
    "collected": 0,
    "error": ["FileNotFoundError", "2", "No such file or directory", ""],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The results of all cases, in one run."""
    folder = tmp_path_factory.mktemp("abi")
    module = compile_module(folder, HERE / "windows_abi.c")
    rewrapped = rewrap_module(module, folder, "abi")
    assert rewrapped.unresolved == ()
    ended = run_python(folder, HERE / "windows_abi_probe.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answer: dict[str, dict[str, Any]] = json.loads(ended.stdout)
    return answer


@pytest.mark.parametrize("name", RIGHT)
def test_results_are_those_of_windows(results: dict[str, dict[str, Any]], name: str) -> None:
    assert results["right"][name] == RIGHT[name]


@pytest.mark.parametrize("name", WRONG)
def test_a_seeded_fault_shows(results: dict[str, dict[str, Any]], name: str) -> None:
    assert results["wrong"][name] == WRONG[name]


def test_a_long_that_is_written_as_a_long_long_overwrites_its_neighbour(results: dict[str, dict[str, Any]]) -> None:
    assert results["wrong"]["members"][:2] == [-7, -1]


def test_texts_that_are_read_by_32_bits_are_wrong(results: dict[str, dict[str, Any]]) -> None:
    units, again = results["wrong"]["wide"]
    assert [unit % 2**32 for unit in units[:2]] == [FACES[1] << 16 | FACES[0], FACES[3] << 16 | FACES[2]]
    assert again == f"a{GRIN}z"
