"""The compiler driver: a project's build calls it as its compiler; it compiles for the target and logs each step.

It runs as a program of its own, once for each source file, so that this module imports nothing slow. The log holds one
JSON object a line: one event when a step starts (with its ``command``) and one when it ends (with ``exit``). A step
that tests the compiler or the target is a ``probe``. `wheelworks.build.log` reads the log.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import Any

from wheelworks.build import command_lines, cpu_requests, leniency, msvc, object_cache
from wheelworks.build.arguments import SOURCE_SUFFIXES, DriverSettings, Invocation, iter_arguments, parse_arguments
from wheelworks.build.object_cache import Ended
from wheelworks.build.objects import Symbols, find_dllmain, read_symbols
from wheelworks.core.errors import WheelworksError

Event = dict[str, Any]

# Microsoft's C runtime, which objects of its compiler name; zig links its own.
_RUNTIMES = ("-llibcmt", "-lmsvcrt", "-loldnames", "-llibcpmt", "-lmsvcprt")


def main(settings_file: str, language: str, words: Sequence[str]) -> int:
    """Do what ``cc`` (or ``c++``) does with ``words``, for the target; return the exit status."""
    settings = DriverSettings.read(settings_file)
    parsed = Invocation()
    try:
        parsed = parse_arguments(words, settings)
        with _save_stdin(parsed, settings):
            return _STEPS[parsed.step](parsed, settings, language)
    except (WheelworksError, OSError, subprocess.CalledProcessError) as error:
        text = f"{error}\nhint: {error.hint}" if isinstance(error, WheelworksError) and error.hint else str(error)
        sys.stderr.write(f"{settings.target}: {text}\n")
        file = parsed.output or " ".join(word for word in words if word.endswith(SOURCE_SUFFIXES))
        _log(settings, step=parsed.step, file=file, exit=1, error=text)
        return 1


@contextmanager
def _save_stdin(parsed: Invocation, settings: DriverSettings) -> Iterator[None]:
    """Replace the source ``-`` by a file with standard input, which zig would compile for the host."""
    if "-" not in parsed.sources:
        yield
        return
    language = dict(pairwise(parsed.flags)).get("-x", "")
    suffix = {"c++": ".cpp", "assembler": ".s", "assembler-with-cpp": ".S"}.get(language, ".c")
    with tempfile.NamedTemporaryFile(dir=settings.work, prefix="stdin-", suffix=suffix) as file:
        file.write(sys.stdin.buffer.read())
        file.flush()
        parsed.sources = [file.name if source == "-" else source for source in parsed.sources]
        yield


def _query(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    return subprocess.run(command_lines.query_command(parsed, settings, language), check=False).returncode


def _compile(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    file = " ".join(parsed.sources) or parsed.output
    parsed, translated = _translate_requests(parsed, settings)
    command = command_lines.compile_command(parsed, settings, language)
    preprocess = command_lines.compile_command(object_cache.make_preprocessing(parsed), settings, language)
    execute = partial(object_cache.compile_once, _execute, preprocess, parsed, settings)
    return _run(command, settings, "compile", file, parsed.dropped, execute, translated=translated)


def _translate_requests(parsed: Invocation, settings: DriverSettings) -> tuple[Invocation, list[str]]:
    """Replace sources with requests for CPU features in GCC's form by their translations; return their names too."""
    into = Path(settings.work, "translated")
    sources = [cpu_requests.write_translation(source, settings.cpu, into) for source in parsed.sources]
    changed = [source for source, made in zip(parsed.sources, sources, strict=True) if made != source]
    beside = [word for source in changed for word in ("-iquote", os.path.dirname(source) or ".")]
    return replace(parsed, sources=sources, flags=[*beside, *parsed.flags]), changed


def _link_program(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    """Link a program against the target's libc: most often a test of what the target has."""
    _use_static_libraries(parsed, settings)
    parsed.output = parsed.output or ("a.exe" if settings.os == "windows" else "a.out")
    parsed, _ = _translate_requests(parsed, settings)
    command, marker = command_lines.program_command(parsed, settings, language), _find_marker(settings, language)
    status = _run(command, settings, "program", parsed.output, parsed.dropped, builds_libc=not marker.exists())
    return status or _touch(marker)


def _find_marker(settings: DriverSettings, language: str) -> Path:
    """Return the file that exists if a link in a language has had the target's libc, and C++'s runtime, compiled."""
    return Path(settings.libc_marker + ("-c++" if language == "c++" else ""))


def _touch(marker: Path) -> int:
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return 0


def _link(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    # In a separate folder: beside a .pyd the linker writes an import library, which must not get into the wheel.
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        if status := _compile_sources(parsed, settings, language, Path(folder)):
            return status
        return _link_objects(parsed, settings, language, Path(folder))


def _compile_sources(parsed: Invocation, settings: DriverSettings, language: str, folder: Path) -> int:
    """Compile the sources of an invocation that links as well; their objects decide how."""
    for number, source in enumerate(parsed.sources):
        made = str(folder / f"{number}.o")
        if status := _compile(
            replace(parsed, flags=[*parsed.flags, "-c"], sources=[source], output=made), settings, language
        ):
            return status
        parsed.objects.append(made)
    return 0


def _link_objects(parsed: Invocation, settings: DriverSettings, language: str, folder: Path) -> int:
    _use_static_libraries(parsed, settings)
    symbols = Symbols()
    for name in parsed.objects:
        symbols |= _read_file_symbols(name)
    named = map(msvc.plain_library, sorted(symbols.libraries))
    parsed.libraries += [library for library in named if library not in (*_RUNTIMES, *parsed.libraries)]
    calls = sorted(name for name in symbols.undefined if not command_lines.is_python_symbol(name))[:8]
    marker = _find_marker(settings, language)
    with_libc: Event = {"freestanding": False, "calls": calls, "builds_libc": not marker.exists()}
    event: Event = {"freestanding": True} if command_lines.is_freestanding(symbols) else with_libc
    brought = [one for one in parsed.objects if any(Path(one).is_relative_to(folder) for folder in settings.prefixes)]
    event["libraries"] = brought
    output = str(folder / Path(parsed.output).name)
    for command in _link_commands(parsed, settings, language, symbols, output):
        if status := _run(command, settings, "link", parsed.output, parsed.dropped, **event):
            return status
    os.replace(output, parsed.output)
    return 0 if event["freestanding"] else _touch(marker)


def _read_file_symbols(name: str) -> Symbols:
    try:
        return read_symbols(Path(name).read_bytes())
    except WheelworksError as error:
        raise WheelworksError(f"{name}: {error.message}", error.hint) from error


def _use_static_libraries(parsed: Invocation, settings: DriverSettings) -> None:
    """Replace libraries that the project or the user built by their files: their symbols decide about libc too.

    Names of Windows' own libraries are put into lower case, as zig has them. Raises WheelworksError for a library that
    a prefix has as a shared one only.
    """
    folders = [words[-1].removeprefix("-L") for words in iter_arguments(parsed.flags) if words[0].startswith("-L")]
    folders += settings.prefix_libraries
    for number, library in enumerate(list(parsed.libraries)):
        name = library.removeprefix("-l")
        files = [Path(folder, file) for folder in folders for file in (f"lib{name}.a", *_windows_files(parsed, name))]
        if own := next((file for file in files if file.is_file()), None):
            parsed.libraries[number] = ""
            parsed.objects.append(str(own))
        elif shared := _find_shared_library(name, settings):
            hint = "build it as a static library: --disable-shared --enable-static, or -DBUILD_SHARED_LIBS=OFF"
            raise WheelworksError(f"{shared} is a shared library, which the wheel won't have", hint)
        elif parsed.for_windows:
            parsed.libraries[number] = msvc.plain_library(library)
    parsed.libraries = list(filter(None, parsed.libraries))


def _find_shared_library(name: str, settings: DriverSettings) -> Path | None:
    """Return the shared library, or its import library, that a prefix has in place of a static one."""
    files = (f"lib{name}.so", f"lib{name}.dylib", f"lib{name}.dll.a", f"{name}.dll.lib")
    paths = (Path(folder, file) for folder in settings.prefix_libraries for file in files)
    return next((path for path in paths if path.exists()), None)


def _windows_files(parsed: Invocation, name: str) -> tuple[str, ...]:
    return (f"{name}.lib", f"{name}.a", name) if parsed.for_windows else ()


def _link_commands(
    parsed: Invocation, settings: DriverSettings, language: str, symbols: Symbols, output: str
) -> Iterable[list[str]]:
    freestanding, folder = command_lines.is_freestanding(symbols), Path(output).parent
    if not freestanding and settings.os != "windows":  # the linker for Windows refuses undefined symbols by itself
        python = _write_text(folder / "python.c", command_lines.format_python_stub(symbols))
        yield command_lines.trial_link_command(parsed, settings, output, python, language)
    stubs = _make_stubs(symbols, settings, parsed.output, folder, freestanding)
    language = "cc" if freestanding else language
    yield command_lines.link_command(parsed, settings, output, stubs, freestanding=freestanding, language=language)


def _make_stubs(symbols: Symbols, settings: DriverSettings, output: str, folder: Path, freestanding: bool) -> list[str]:
    """Return the arguments for the compiler's library, the stubs of the system and Python, and the export list."""
    own = _add_pragma_libraries(symbols, folder)
    needs_library = freestanding and any(map(command_lines.is_compiler_symbol, symbols.undefined))
    stubs = [*own, *(["-rtlib=compiler-rt"] if needs_library else [])]
    if settings.os == "macos" and freestanding:
        stubs.append(_write_text(folder / "libSystem.tbd", command_lines.LIBSYSTEM_STUB))
    if settings.os == "windows":
        library, path = command_lines.format_import_library(symbols, settings, output), str(folder / "python.lib")
        definition = _write_text(folder / "python.def", library)
        subprocess.run(command_lines.dlltool_command(settings, definition, path), check=True)
        stubs.append(path)
    if settings.os == "windows" and freestanding and symbols.starts:
        stubs += _compile_entry(symbols, settings, folder)
    name, text = command_lines.format_export_list(symbols, settings)
    if name:
        script = _write_text(folder / name, text)
        # not -Wl: a temporary folder may have a comma in its name
        stubs += [script] if settings.os == "windows" else ["-Xlinker", f"--version-script={script}"]
    return stubs


def _add_pragma_libraries(symbols: Symbols, folder: Path) -> list[str]:
    """Write an empty library for each one that a source names, so that the linker finds it; return where it searches.

    What they stand for is linked by the names that zig has for them.
    """
    for name in symbols.libraries:
        file = PureWindowsPath(name).name
        (folder / (file if file.lower().endswith(".lib") else f"{file}.lib")).write_bytes(b"!<arch>\n")
    return [f"-L{folder}"] if symbols.libraries else []


def _compile_entry(symbols: Symbols, settings: DriverSettings, folder: Path) -> list[str]:
    """Compile the entry point that calls the functions which a C runtime would; return the arguments that link it."""
    made = str(folder / "entry.o")
    command = command_lines.entry_command(settings, made, has_dllmain=find_dllmain(symbols))
    subprocess.run(command, check=True)
    return [made, command_lines.ENTRY_FLAG]


_STEPS = {"query": _query, "compile": _compile, "link": _link, "program": _link_program}


def _write_text(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def is_probe(step: str, file: str, settings: DriverSettings) -> bool:
    """Return whether a step tests the compiler or the target, so that its failure is an answer."""
    folder, name = os.path.split(file.split(" ")[0])
    temporary = os.path.join(os.path.realpath(settings.work), "tmp")
    of_a_test = name.startswith(("conftest", "_configtest", "testCCompiler", "CMakeC"))
    return step == "program" or of_a_test or (bool(folder) and os.path.realpath(folder).startswith(temporary))


def _execute(command: list[str]) -> Ended:
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    return ended.returncode, ended.stderr


def _run(
    command: list[str],
    settings: DriverSettings,
    step: str,
    file: str,
    dropped: Sequence[str],
    execute: Callable[[list[str]], Ended] = _execute,
    **more: object,
) -> int:
    more["probe"] = is_probe(step, file, settings)
    _log(settings, step=step, file=file, command=shlex.join(command), dropped=list(dropped), **more)
    start = time.time()
    status, errors = execute(command)
    span = (start, time.time())
    wrong = leniency.find_wrong_call(errors)
    status = status or int(bool(wrong))
    sys.stderr.write(errors + wrong)
    _log(settings, step=step, file=file, span=span, exit=status, error=wrong + errors[-20_000:], **more)
    return status


def _log(settings: DriverSettings, **event: object) -> None:
    # One write for each event, so that compilers running in parallel don't mix their lines.
    with open(settings.log, "a", encoding="utf-8") as log:
        log.write(json.dumps(event) + "\n")
