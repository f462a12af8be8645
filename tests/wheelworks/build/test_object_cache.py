"""Test the cache of objects: which compilations it serves, and that it never serves another one's object."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.build import driver, object_cache
from wheelworks.build.arguments import DriverSettings, Invocation
from wheelworks.build.log import read_log
from wheelworks.core.zig import FRESH_VARIABLE, find_object_cache, find_zig, make_cache_variables

from tests.fixtures.settings import settings

SOURCE = '#include "value.h"\nint value(void) { return VALUE; }\nconst char *date(void) { return DATE; }\n'

Compile = Callable[..., bytes]


@pytest.fixture
def compile_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compile:
    """Return a function that compiles SOURCE in a new copy of its folder, as each build does."""
    for name, value in {**make_cache_variables(tmp_path / "zig"), "SOURCE_DATE_EPOCH": "1000000000"}.items():
        monkeypatch.setenv(name, value)
    objects = tmp_path / "objects"
    objects.mkdir()

    def run(*words: str, value: str = "1", source: str = SOURCE, date: str = '"none"', name: str = "a.c") -> bytes:
        work = tmp_path / f"build-{len(list(tmp_path.glob('build-*')))}"
        (work / "source").mkdir(parents=True)
        (work / "source" / "value.h").write_text(f"#define VALUE {value}\n#define DATE {date}\n")
        (work / "source" / name).write_text(source)
        monkeypatch.chdir(work / "source")
        own = replace(_make_settings(work, objects), log=str(tmp_path / "log"))
        own.write(work / "settings.json")
        assert driver.main(str(work / "settings.json"), "cc", ["-c", name, "-o", "a.o", *words]) == 0
        shutil.rmtree(work / "source" / "zig", ignore_errors=True)
        return (work / "source" / "a.o").read_bytes()

    return run


def _make_settings(work: Path, objects: Path) -> DriverSettings:
    return replace(
        settings(), zig=find_zig(), source=str(work / "source"), work=str(work), objects=str(objects),
        include=str(objects), compiler_version="1",
    )  # fmt: skip


@pytest.fixture
def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the compiler's command lines, to which each compilation adds its own."""
    commands: list[list[str]] = []
    execute = driver._execute

    def record(command: list[str]) -> object_cache.Ended:
        commands.append(command)
        return execute(command)

    monkeypatch.setattr(driver, "_execute", record)
    return commands


@pytest.mark.usefixtures("may_spawn")
def test_the_same_source_in_another_folder_is_compiled_once(
    compile_in: Compile, count_compilations: list[list[str]]
) -> None:
    first, second = compile_in(), compile_in()
    assert first == second
    assert len(count_compilations) == 1


@pytest.mark.usefixtures("may_spawn")
@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ((), {"value": "2"}),
        (("-O0",), {}),
        ((), {"source": SOURCE.replace("int value", "\nint value")}),
        ((), {"name": "b.c"}),
    ],
    ids=["header", "option", "line", "name"],
)
def test_what_can_change_the_object_compiles_again(
    words: tuple[str, ...], changes: dict[str, str], compile_in: Compile, count_compilations: list[list[str]]
) -> None:
    compile_in()
    compile_in(*words, **changes)
    assert len(count_compilations) == 2


@pytest.mark.usefixtures("may_spawn")
@pytest.mark.parametrize(("date", "count"), [("__DATE__", 2), ('"none"', 1)])
def test_the_time_of_the_source_counts_only_where_the_source_has_it(
    date: str, count: int, compile_in: Compile, count_compilations: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_in(date=date)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = compile_in(date=date)
    assert len(count_compilations) == count
    assert (b"Nov 14 2023" in made) is (date == "__DATE__")


@pytest.mark.usefixtures("may_spawn")
def test_a_variable_that_the_compiler_may_read_counts(
    compile_in: Compile, count_compilations: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_in()
    monkeypatch.setenv("CCC_OVERRIDE_OPTIONS", "+-O0")
    compile_in()
    assert len(count_compilations) == 2


@pytest.mark.usefixtures("may_spawn")
def test_a_damaged_entry_is_compiled_again(
    compile_in: Compile, count_compilations: list[list[str]], tmp_path: Path
) -> None:
    first = compile_in()
    (entry,) = (tmp_path / "objects").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert compile_in() == first
    assert len(count_compilations) == 2


@pytest.mark.usefixtures("may_spawn")
def test_warnings_are_repeated(compile_in: Compile, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = '#warning "as before"\n' + SOURCE
    compile_in(source=source)
    before = capfd.readouterr().err
    compile_in(source=source)
    assert "as before" in before
    assert capfd.readouterr().err == before
    assert sum("as before" in event.get("error", "") for event in read_log(tmp_path / "log")) == 2


@pytest.mark.usefixtures("may_spawn")
def test_an_assembled_file_is_read_each_time(compile_in: Compile, count_compilations: list[list[str]]) -> None:
    source = '__asm__(".data; .incbin \\"value.h\\"");\n'
    assert b"VALUE 1" in compile_in(source=source)
    assert b"VALUE 2" in compile_in(source=source, value="2")
    assert len(count_compilations) == 2


@pytest.mark.parametrize(
    "flags", [["-MD"], ["-MF", "x"], ["-fprofile-use=x"], ["-save-temps"], ["-S"], ["-x", "assembler"], ["@words"]]
)
def test_a_compilation_with_more_files_is_not_cached(flags: list[str]) -> None:
    plain = Invocation(output="a.o", flags=["-c", "-O2", "-fno-strict-aliasing"], sources=["a.c"])
    assert object_cache.is_cacheable(plain)
    assert not object_cache.is_cacheable(replace(plain, flags=["-c", *flags]))
    assert not object_cache.is_cacheable(replace(plain, sources=["a.S"]))
    assert not object_cache.is_cacheable(replace(plain, sources=["a.c", "b.c"]))


def test_unused_and_too_many_objects_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_cache, "_KEPT_BYTES", 25)
    now = time.time()
    for name, age in (("old", 15 * 24 * 3600), ("used", 30), ("newer", 20), ("newest", 10)):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (now - age, now - age))
    object_cache.remove_old_objects(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"newer", "newest"}


def test_an_object_in_use_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Windows while another session reads it."""

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "in use", str(path))

    monkeypatch.setattr(object_cache, "_KEPT_BYTES", 0)
    monkeypatch.setattr(Path, "unlink", refuse)
    (tmp_path / "read").write_bytes(b"x")
    object_cache.remove_old_objects(tmp_path)


def test_a_rebuild_compiles_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path))
    assert find_object_cache() == tmp_path / "objects"
    monkeypatch.setenv(FRESH_VARIABLE, "1")
    assert find_object_cache() is None
