"""Test the compiler driver: what it logs, and which steps are tests of the compiler."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import driver
from wheelworks.build.log import describe_progress, read_log
from wheelworks.build.objects import Symbols

from tests.fixtures.settings import settings


@given(
    st.lists(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1)
)
def test_a_logged_command_can_be_pasted(words: list[str]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
        made = replace(settings(), log=str(Path(folder, "log")))
        assert driver._run(words, made, "compile", "a.c", []) == 0
        assert shlex.split(read_log(Path(made.log))[0]["command"]) == words


@pytest.mark.parametrize(
    ("step", "file", "probe"),
    [
        ("program", "anything", True),
        ("compile", "conftest.c", True),
        ("compile", "_configtest.c", True),
        ("compile", "{work}/tmp/malloc_x1.c", True),
        ("link", "{work}/tmp/test.so", True),
        ("compile", "src/conf.c", False),
        ("compile", "tmp/generated.c", False),
        ("link", "build/lib/sample.abi3.so", False),
    ],
)
def test_a_test_of_the_compiler_is_recognised_by_its_file(step: str, file: str, probe: bool, tmp_path: Path) -> None:
    made = replace(settings(), work=str(tmp_path))
    assert driver.is_probe(step, file.format(work=tmp_path), made) is probe


@pytest.mark.parametrize("step", ["program", "link"])
@pytest.mark.parametrize("language", ["cc", "c++"])
def test_the_first_link_of_a_runtime_is_announced_once(step: str, language: str, tmp_path: Path) -> None:
    """In each language: C++'s runtime takes longer than the libc, which a link of C has compiled before."""
    made = replace(settings(), work=str(tmp_path), log=str(tmp_path / "log"), libc_marker=str(tmp_path / "cache/warm"))
    words = ["a.o", "-o", str(tmp_path / "made"), *(["-shared"] if step == "link" else [])]
    undefined = Symbols(undefined=frozenset({"malloc"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_read_file_symbols", lambda name: undefined)
        patch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
        patch.setattr(driver, "_link_commands", lambda *_: [["zig"]])
        patch.setattr(os, "replace", lambda *_: None)
        for before in ("cc", language, language):
            made.write(tmp_path / "settings.json")
            assert driver.main(str(tmp_path / "settings.json"), before, words) == 0
    said = [
        "compiles this once" in describe_progress([event]) for event in read_log(Path(made.log)) if "command" in event
    ]
    assert said == [True, language == "c++", False]
