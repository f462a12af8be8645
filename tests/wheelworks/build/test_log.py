"""Test the log of a build: progress, sums, and the causes of failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wheelworks.build import log as build_log

COMPILE = {"step": "compile", "file": "a.c", "command": "zig cc a.c", "dropped": ["-march=native"]}
LINK = {"step": "link", "file": "x.so", "command": "zig cc a.o", "freestanding": False, "calls": ["strlen"]}


def done(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in event.items() if key != "command"}, "span": [1.0, 1.5], "exit": 0, **more}


def explain(events: list[dict[str, Any]]) -> str:
    """Return the description of the first failed step."""
    return build_log.describe_failure(next(iter(build_log.list_failures(events)), None), events)


def test_reads_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert build_log.read_log(log) == []
    log.write_text(json.dumps(COMPILE) + "\n" + json.dumps(LINK)[:20])
    assert build_log.read_log(log) == [COMPILE]


def test_says_what_is_being_done() -> None:
    assert build_log.describe_progress([]) == ""
    assert build_log.describe_progress([COMPILE, done(COMPILE)]) == "compiling a.c"
    assert build_log.describe_progress([COMPILE, LINK]) == "linking x.so"


def test_says_when_it_will_be_slow() -> None:
    assert "which zig compiles this once: up to two minutes" in build_log.describe_progress(
        [{**LINK, "builds_libc": True}]
    )


def test_adds_up() -> None:
    found = build_log.summarize_log([COMPILE, done(COMPILE), LINK, done(LINK)])
    assert found == build_log.Compilation(((1.0, 1.5), (1.0, 1.5)), False, ("strlen",), ("-march=native",))


def test_tests_of_libc_are_told() -> None:
    probe = done({"step": "program", "file": "a.out"}, exit=1)
    assert build_log.summarize_log([done(LINK, freestanding=True), probe]).tests_libc
    assert not build_log.summarize_log([done(LINK, freestanding=True)]).tests_libc


def test_elapsed_time_counts_what_overlaps_once() -> None:
    assert build_log.count_busy_seconds([]) == 0
    assert build_log.count_busy_seconds([(1.0, 2.0), (1.5, 3.0), (5.0, 6.0), (5.2, 5.4)]) == pytest.approx(3.0)


def test_freestanding_is_what_every_link_was() -> None:
    free = done(LINK, freestanding=True, calls=[])
    assert build_log.summarize_log([free, free]).freestanding
    assert not build_log.summarize_log([free, done(LINK)]).freestanding
    assert not build_log.summarize_log([done(COMPILE)]).freestanding, "no link, no freestanding binary"


def test_a_failure_is_shown_from_its_first_error() -> None:
    error = "a.c:1:2: warning: meh\na.c:3:4: error: no such thing\n  3 | nothing\na.c:9:9: error: another\n"
    shown = explain([COMPILE, done(COMPILE, exit=1, error=error), LINK, done(LINK)])
    assert shown.splitlines() == [
        "compile of a.c failed:",
        "a.c:3:4: error: no such thing",
        "  3 | nothing",
        "a.c:9:9: error: another",
        "the command was: zig cc a.c",
        "left out of it: -march=native (it is about this machine's CPU)",
    ]


def test_a_missing_header_is_an_error_with_a_place() -> None:
    error = "In file included from a.c:1:\na.h:1:10: fatal error: 'nothing.h' file not found\n"
    assert "a.h:1:10: fatal error: 'nothing.h'" in explain([done(COMPILE, exit=1, error=error)]).splitlines()[1]


def test_a_windows_path_has_a_place_too() -> None:
    error = "noise\n" * 30 + r"C:\Users\me\a.c:3:4: error: no such thing"
    assert r"C:\Users\me\a.c:3:4: error" in explain([done(COMPILE, exit=1, error=error)])


def test_an_error_without_a_place_is_shown_too() -> None:
    error = "ld.lld: error: undefined symbol: nowhere"
    assert error in explain([LINK, done(LINK, exit=1, error=error)])
    assert explain([COMPILE, done(COMPILE)]) == ""


def test_a_long_error_is_cut() -> None:
    error = "".join(f"a.c:{n}:1: error: number {n}\n" for n in range(1, 1000))
    assert len(explain([COMPILE, done(COMPILE, exit=1, error=error)]).splitlines()) == 1 + 16 + 2


NOISE = [
    done({"step": "compile", "file": "/var/probe/pthread_np.c"}, exit=1, error="x.c:1:1: error: noise", probe=True),
    done({"step": "program", "file": "a.out"}, exit=1, error="error: undefined symbol: pthread_np", probe=True),
]


def failed(step: str, file: str) -> dict[str, Any]:
    return done({"step": step, "file": file}, exit=1, error=f"{file}:1:1: error: here")


@pytest.mark.parametrize(
    ("events", "modules", "cause"),
    [
        ([*NOISE, failed("compile", "src/b.c")], {"p.a": ["src/a.c"], "p.b": ["src/b.c"]}, "src/b.c"),
        ([failed("compile", "try.c"), failed("compile", "src/_b.c")], {"p._b": ["src/_b.pyx"]}, "src/_b.c"),
        ([failed("compile", "build/x.c"), failed("link", "lib/p/_b.abi3.so")], {"p._b": ["b.c"]}, "lib/p/_b.abi3.so"),
        ([failed("compile", "vendored/z.c"), *NOISE], {"p._b": ["b.c"]}, "vendored/z.c"),
        (NOISE, {"p._b": ["b.c"]}, None),
        ([COMPILE, done(COMPILE)], {}, None),
    ],
)
def test_the_cause_is_the_modules_own_failure(events: list[Any], modules: Any, cause: str | None) -> None:
    found = build_log.find_cause(events, modules)
    assert (found["file"] if found else None) == cause


def test_a_projects_own_failure_is_no_test_of_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "a.c").touch()
    assert build_log.find_own_failure([*NOISE, failed("compile", "generated.c")], tmp_path) is None
    assert build_log.find_own_failure([*NOISE, failed("compile", "a.c")], tmp_path)
    assert build_log.find_own_failure([*NOISE, failed("link", "x.so")], tmp_path)


def test_declarations_add_up() -> None:
    events = [{"step": "declare", "modules": {"a": ["a.pyx"]}}, {"step": "declare", "modules": {"a": ["a.c"], "b": []}}]
    assert build_log.list_declared_modules(events) == {"a": ["a.c", "a.pyx"], "b": []}


@pytest.mark.parametrize(
    "error", ["a.c:1:10: fatal error: 'deep/own.h' file not found", "error: no such file or directory: 'own.h'"]
)
def test_a_file_that_the_sdist_lacks_is_found(error: str, tmp_path: Path) -> None:
    folder, tree = tmp_path / "folder", tmp_path / "tree"
    (folder / "src/deep").mkdir(parents=True)
    (folder / "src/deep/own.h").touch()
    event = failed("compile", "a.c") | {"error": error}
    assert build_log.find_missing_file(event, folder, tree) == "src/deep/own.h"
    assert build_log.find_missing_file(event, None, tree) == ""
    assert build_log.find_missing_file(event | {"error": "other"}, folder, tree) == ""
    (tree / "src/deep").mkdir(parents=True)
    (tree / "src/deep/own.h").touch()
    assert build_log.find_missing_file(event, folder, tree) == "", (
        "the sdist has it: the compiler just doesn't look there"
    )
