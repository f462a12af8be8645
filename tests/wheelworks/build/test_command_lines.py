"""Test command lines of the compiler and the linker, import libraries and export lists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from wheelworks.build import command_lines
from wheelworks.build.arguments import parse_arguments
from wheelworks.build.objects import Symbols
from wheelworks.core import targets

from tests.fixtures.settings import HOSTS, settings

EVERY_TARGET = [target.id for target in targets.load_targets()]
PYTHONS = Symbols(undefined=frozenset({"PyLong_FromLong", "_Py_Dealloc"}), imported=frozenset({"PyExc_ValueError"}))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("target", EVERY_TARGET)
def test_compiles_for_the_target_whatever_the_host(target: str, host: str) -> None:
    made = settings(target, host)
    found = parse_arguments(["-O3", "-DX", "-march=native", "-c", "a.c", "-o", "a.o"], made)
    command = command_lines.compile_command(found, made)
    assert command[:4] == [made.zig, "cc", "-target", made.compiler]
    assert {f"-mcpu={made.model}", "-g0", "-fPIC", f"-I{made.include}", f"-ffile-prefix-map={made.source}=."} <= set(
        command
    )
    assert command.index("-O2") < command.index("-O3"), "the project's optimisation is the one that counts"
    assert "-march=native" not in command
    assert command[command.index("-o") + 1] == "a.o"


def test_compiles_c_plus_plus_with_its_own_driver() -> None:
    found = parse_arguments(["-c", "a.cpp"], settings())
    assert command_lines.compile_command(found, settings(), "c++")[1] == "c++"


@pytest.mark.parametrize("host", HOSTS)
def test_a_projects_mapping_to_its_source_is_ours(host: str) -> None:
    """As yarl's backend maps its temporary folder."""
    made = settings(host=host)
    kept = [f"-ffile-prefix-map={made.source}=/usr/src", f"-fmacro-prefix-map=/t={made.source}2", "-DX=1"]
    given = [f"-ffile-prefix-map=/t={made.source}", f"-fdebug-prefix-map=/t={made.source}/src", *kept]
    command = command_lines.compile_command(parse_arguments([*given, "-c", "a.c", "-o", "a.o"], made), made)
    assert {"-ffile-prefix-map=/t=.", "-fdebug-prefix-map=/t=./src", *kept} <= set(command)
    assert not any(f"={made.source}" in word and word.endswith(made.source) for word in command)


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_a_freestanding_link_names_no_library(target: str) -> None:
    made = settings(target)
    found = parse_arguments(["-shared", "a.o", "-o", "dir/x.so", "-lm", "-O2", "-Wall", "-Wl,-z,now"], made)
    command = command_lines.link_command(found, made, "out", "", freestanding=True)
    assert "-nostdlib" in command and not [word for word in command if word.startswith("-l")]
    assert ("-Wl,--no-entry" in command) is (made.os == "windows")
    assert command[-2:] == ["-o", "out"] and "a.o" in command
    assert "-Wall" not in command and "-O2" not in command and "-Wl,-z,now" in command


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_a_link_with_libc_keeps_the_projects_libraries(target: str) -> None:
    made = settings(target)
    found = parse_arguments(["-shared", "a.o", "-o", "x.so", "-lm"], made)
    command = command_lines.link_command(found, made, "out", ["the.lib"], freestanding=False)
    assert "-nostdlib" not in command and "-Wl,--no-entry" not in command
    assert command.index("the.lib") < command.index("-lm")


@pytest.mark.parametrize("language", ["cc", "c++"])
@pytest.mark.parametrize("target", EVERY_TARGET)
def test_a_link_compiles_the_runtimes_for_the_targets_lowest_cpu(target: str, language: str) -> None:
    """The compiler's default is higher on 32-bit Arm: C++'s runtime then used NEON."""
    made = settings(target)
    found = parse_arguments(["-shared", "a.o", "-o", "x.so"], made)
    commands = [
        command_lines.link_command(found, made, "out", (), freestanding=False, language=language),
        command_lines.trial_link_command(found, made, "out", "python.c", language),
        command_lines.program_command(found, made, language),
    ]
    for command in commands:
        assert [word for word in command if word.startswith("-mcpu=")] == [f"-mcpu={made.model}"]


@pytest.mark.parametrize("output", ["build/x.so", "/tmp/some where/x.so", r"C:\build\x.so"])
def test_the_install_name_is_no_path_of_the_host(output: str) -> None:
    made = settings("macosx_11_0_arm64")
    found = parse_arguments(["-shared", "a.o", "-o", output], made)
    command = command_lines.link_command(found, made, "out", "", freestanding=True)
    assert "-Wl,-install_name,@rpath/x.so" in command


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], True),
        (["PyLong_FromLong", "_Py_Dealloc", "_GLOBAL_OFFSET_TABLE_", "__ImageBase"], True),
        (["PyLong_FromLong", "memcpy"], False),
        (["__stack_chk_fail"], False),
        (["pyramid"], False),
    ],
)
def test_freestanding_is_what_asks_only_cpython(names: list[str], expected: bool) -> None:
    assert command_lines.is_freestanding(Symbols(undefined=frozenset(names))) is expected
    assert command_lines.is_freestanding(Symbols(imported=frozenset(names))) is expected


@pytest.mark.parametrize(
    ("output", "dll"),
    [
        ("x.pyd", "python3.dll"),
        (r"build\lib.win-arm64\x.pyd", "python3.dll"),
        ("x.cp311-win_arm64.pyd", "python311.dll"),
        (r"build.cp311-\x.pyd", "python3.dll"),
        (r"build\x.cp311-win_arm64.pyd", "python311.dll"),
    ],
)
def test_the_dll_is_the_one_of_the_file_name(output: str, dll: str) -> None:
    library = command_lines.format_import_library(PYTHONS, settings("win_arm64"), output)
    assert library.splitlines()[0] == f"LIBRARY {dll}"


def test_the_definition_file_marks_data_and_is_sorted() -> None:
    foreign = PYTHONS | Symbols(undefined=frozenset({"memcpy"}), imported=frozenset({"CreateFileW"}))
    library = command_lines.format_import_library(foreign, settings("win_arm64"), "x.pyd")
    lines = library.splitlines()[2:]
    assert lines == [" PyExc_ValueError DATA", " PyLong_FromLong", " _Py_Dealloc"]
    command = command_lines.dlltool_command(settings("win_arm64"), "p.def", "p.lib")
    assert command[1:] == ["dlltool", "-d", "p.def", "-m", "arm64", "-l", "p.lib"]


@pytest.mark.parametrize(
    ("target", "name", "text"),
    [
        ("win_arm64", "exports.def", "EXPORTS\n PyInit_x\n"),
        ("manylinux_2_17_aarch64", "exports.map", "{ global: PyInit_x; local: *; };\n"),
        ("macosx_11_0_arm64", "", ""),
    ],
)
def test_the_entry_point_alone_is_exported(target: str, name: str, text: str) -> None:
    symbols = Symbols(defined=frozenset({"PyInit_x", "helper"}))
    assert command_lines.format_export_list(symbols, settings(target)) == (name, text)


def test_a_plain_library_exports_what_it_defines() -> None:
    assert command_lines.format_export_list(
        Symbols(defined=frozenset({"helper"})), settings("manylinux_2_17_aarch64")
    ) == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        *("__aeabi_uldivmod", "__aeabi_unwind_cpp_pr0", "__udivdi3", "__divti3", "__muldi3", "__floatundidf"),
        *("__fixunsdfdi", "__extendsfdf2", "__popcountsi2", "__divdf3", "__unordtf2"),
    ],
)
def test_the_compilers_own_functions_need_no_libc(name: str) -> None:
    assert command_lines.is_compiler_symbol(name)
    assert command_lines.is_freestanding(Symbols(undefined=frozenset({"PyList_New", name})))


@pytest.mark.parametrize("name", ["memcpy", "__stack_chk_fail", "__errno_location", "__cxa_atexit", "_Unwind_Resume"])
def test_other_functions_are_libcs(name: str) -> None:
    assert not command_lines.is_compiler_symbol(name)
    assert not command_lines.is_freestanding(Symbols(undefined=frozenset({"PyList_New", name})))


@pytest.mark.parametrize(
    ("python", "file", "dll"),
    [
        ("311", "x.pyd", "python3.dll"),
        ("311", "x.cp311-win32.pyd", "python311.dll"),
        ("314t", "x.cp314t-win32.pyd", "python314t.dll"),
        ("314t", "x.pyd", "python314t.dll"),
        ("315t", "x.pyd", "python3t.dll"),
        ("315t", "x.cp315t-win32.pyd", "python315t.dll"),
    ],
)
def test_the_dll_of_each_abi(python: str, file: str, dll: str) -> None:
    made = replace(settings("win32"), python=python)
    assert command_lines.format_import_library(Symbols(), made, f"build/x/{file}").startswith(f"LIBRARY {dll}\n")


def test_32_bit_arm_is_compiled_without_tables_of_exceptions() -> None:
    found = parse_arguments(["-c", "a.c", "-o", "a.o"], settings("manylinux_2_17_armv7l"))
    flags = {"-fno-unwind-tables", "-fno-asynchronous-unwind-tables"}
    assert flags <= set(command_lines.compile_command(found, settings("manylinux_2_17_armv7l")))
    assert not flags & set(command_lines.compile_command(found, settings("manylinux_2_17_armv7l"), "c++"))
    assert not flags & set(command_lines.compile_command(found, settings("manylinux_2_17_aarch64")))
