"""The compiler that a project's build calls: it turns each call into one for the target, and keeps a log.

It runs as a program of its own, once for each source file, so that it imports nothing slow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build import commandlines, objects
from wheelworks.build.arguments import Arguments, pairs, parse
from wheelworks.build.settings import Settings
from wheelworks.core.errors import WheelworksError


def main(settings_file: str, language: str, words: Sequence[str]) -> int:
    """Do what ``cc`` (or ``c++``) would do with ``words``, for the target; returns its exit status."""
    settings = Settings.read(settings_file)
    found = parse(words, settings)
    try:
        if found.links:
            return _link(found, settings, language)
        return _compile(found, settings, language)
    except (WheelworksError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{settings.target}: {error}\n")
        _log(settings, step="link" if found.links else "compile", file=found.output, exit=1, error=str(error))
        return 1


def _compile(found: Arguments, settings: Settings, language: str) -> int:
    if not found.sources and not found.objects:  # a question such as --version
        return subprocess.run([settings.zig, language, *found.flags], check=False).returncode
    file = " ".join(found.sources) or found.output
    return _run(commandlines.compile_command(found, settings, language), settings, "compile", file, found.dropped)


def _take_own_libraries(found: Arguments) -> None:
    """Make objects of the libraries that the project has built itself: what they ask for decides about libc, too."""
    folders = [argument[-1].removeprefix("-L") for argument in pairs(found.flags) if argument[0].startswith("-L")]
    for library in list(found.libraries):
        files = [Path(folder, f"lib{library.removeprefix('-l')}.a") for folder in folders]
        if own := next((file for file in files if file.is_file()), None):
            found.libraries.remove(library)
            found.objects.append(str(own))


def _link(found: Arguments, settings: Settings, language: str) -> int:
    _take_own_libraries(found)
    symbols = objects.Symbols()
    for name in found.objects:
        symbols |= objects.read(Path(name).read_bytes())
    freestanding = commandlines.is_freestanding(symbols)
    libc = {} if freestanding else {"calls": sorted(n for n in symbols.undefined if not commandlines.is_pythons(n))[:8]}
    # A folder of its own: beside a .pyd the linker writes an import library, which no wheel should carry.
    with tempfile.TemporaryDirectory(dir=settings.work) as place:
        output = str(Path(place, Path(found.output).name))
        if not freestanding and settings.os != "windows":  # whose linker wants to know every symbol anyway
            python = _written(Path(place, "python.c"), commandlines.stand_in(symbols))
            rehearsal = commandlines.rehearsal_command(found, settings, output, python, language)
            if status := _run(rehearsal, settings, "link", found.output, found.dropped, freestanding=False, **libc):
                return status
        command = commandlines.link_command(
            found,
            settings,
            output,
            _stubs(symbols, settings, found.output, Path(place), freestanding),
            freestanding=freestanding,
            language="cc" if freestanding else language,
        )
        status = _run(command, settings, "link", found.output, found.dropped, freestanding=freestanding, **libc)
        if status == 0:
            os.replace(output, found.output)
    if status == 0 and not freestanding:
        Path(settings.warm).parent.mkdir(parents=True, exist_ok=True)
        Path(settings.warm).touch()
    return status


def _stubs(symbols: objects.Symbols, settings: Settings, output: str, place: Path, freestanding: bool) -> list[str]:
    """What a link takes besides: the compiler's own library, what stands for the system or Python, what is exported."""
    stubs = ["-rtlib=compiler-rt"] if freestanding and any(map(commandlines.is_compilers, symbols.undefined)) else []
    if settings.os == "macos" and freestanding:
        stubs.append(_written(place / "libSystem.tbd", commandlines.LIBSYSTEM_STUB))
    if settings.os == "windows":
        library = commandlines.import_library(symbols, settings, output)
        definition, path = _written(place / "python.def", library.definition), str(place / "python.lib")
        subprocess.run(commandlines.dlltool_command(library, settings, definition, path), check=True)
        stubs.append(path)
    name, text = commandlines.exports(symbols, settings)
    if name:
        script = _written(place / name, text)
        # not -Wl: a temporary folder may have a comma in its name
        stubs += [script] if settings.os == "windows" else ["-Xlinker", f"--version-script={script}"]
    return stubs


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def _run(command: list[str], settings: Settings, step: str, file: str, dropped: Sequence[str], **more: object) -> int:
    cold = more.get("freestanding") is False and not Path(settings.warm).exists()
    _log(
        settings, step=step, file=file, command=commandlines.reads_as(command), cold=cold, dropped=list(dropped), **more
    )
    start = time.time()
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    span = (start, time.time())
    sys.stderr.write(ended.stderr)
    _log(settings, step=step, file=file, span=span, exit=ended.returncode, error=ended.stderr[-20_000:], **more)
    return ended.returncode


def _log(settings: Settings, **event: object) -> None:
    # One write each, so that compilers running side by side don't mix their lines.
    with open(settings.log, "a", encoding="utf-8") as log:
        log.write(json.dumps(event) + "\n")
