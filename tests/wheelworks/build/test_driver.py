"""Test how the compiler driver writes and reads its log."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import driver

from tests.fixtures.settings import settings

COMPILE = {"step": "compile", "file": "a.c", "command": "zig cc a.c", "dropped": ["-march=native"]}
LINK = {"step": "link", "file": "x.so", "command": "zig cc a.o", "freestanding": False, "calls": ["strlen"]}


def done(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in event.items() if key != "command"}, "span": [1.0, 1.5], "exit": 0, **more}


def test_reads_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert driver.read_log(log) == []
    log.write_text(json.dumps(COMPILE) + "\n" + json.dumps(LINK)[:20])
    assert driver.read_log(log) == [COMPILE]


@given(
    st.lists(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1)
)
def test_a_logged_command_can_be_pasted(words: list[str]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
        made = replace(settings(), log=str(Path(folder, "log")))
        assert driver._run(words, made, "compile", "a.c", []) == 0
        assert shlex.split(driver.read_log(Path(made.log))[0]["command"]) == words


def test_says_what_is_being_done() -> None:
    assert driver.describe_progress([]) == ""
    assert driver.describe_progress([COMPILE, done(COMPILE)]) == "compiling a.c"
    assert driver.describe_progress([COMPILE, LINK]) == "linking x.so"


def test_says_when_it_will_be_slow() -> None:
    assert "which zig compiles this once: up to two minutes" in driver.describe_progress(
        [{**LINK, "builds_libc": True}]
    )


def test_adds_up() -> None:
    found = driver.summarize_log([COMPILE, done(COMPILE), LINK, done(LINK)])
    assert found == driver.Compilation(((1.0, 1.5), (1.0, 1.5)), False, ("strlen",), ("-march=native",))


def test_elapsed_time_counts_what_overlaps_once() -> None:
    assert driver.count_busy_seconds([]) == 0
    assert driver.count_busy_seconds([(1.0, 2.0), (1.5, 3.0), (5.0, 6.0), (5.2, 5.4)]) == pytest.approx(3.0)


def test_freestanding_is_what_every_link_was() -> None:
    free = done(LINK, freestanding=True, calls=[])
    assert driver.summarize_log([free, free]).freestanding
    assert not driver.summarize_log([free, done(LINK)]).freestanding
    assert not driver.summarize_log([done(COMPILE)]).freestanding, "no link, no freestanding binary"


def test_a_failure_is_reported_by_its_first_error() -> None:
    error = "a.c:1:2: warning: meh\na.c:3:4: error: no such thing\n  3 | nothing\na.c:9:9: error: another\n"
    told = driver.describe_failure([COMPILE, done(COMPILE, exit=1, error=error), LINK, done(LINK)])
    assert told.splitlines() == [
        "compile of a.c failed:",
        "a.c:3:4: error: no such thing",
        "  3 | nothing",
        "a.c:9:9: error: another",
        "the command was: zig cc a.c",
    ]


def test_a_missing_header_is_an_error_with_a_place() -> None:
    error = "In file included from a.c:1:\na.h:1:10: fatal error: 'nothing.h' file not found\n"
    assert (
        "a.h:1:10: fatal error: 'nothing.h'"
        in driver.describe_failure([done(COMPILE, exit=1, error=error)]).splitlines()[1]
    )


def test_a_windows_path_has_a_place_too() -> None:
    error = "noise\n" * 30 + r"C:\Users\me\a.c:3:4: error: no such thing"
    assert r"C:\Users\me\a.c:3:4: error" in driver.describe_failure([done(COMPILE, exit=1, error=error)])


def test_an_error_without_a_place_is_reported_too() -> None:
    error = "ld.lld: error: undefined symbol: nowhere"
    assert error in driver.describe_failure([LINK, done(LINK, exit=1, error=error)])
    assert driver.describe_failure([COMPILE, done(COMPILE)]) == ""


def test_a_long_error_is_cut() -> None:
    error = "".join(f"a.c:{n}:1: error: number {n}\n" for n in range(1, 1000))
    assert len(driver.describe_failure([COMPILE, done(COMPILE, exit=1, error=error)]).splitlines()) == 14
