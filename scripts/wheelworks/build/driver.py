"""The compiler driver: a project's build calls it as its compiler; it compiles for the target and logs each step.

It runs as a program of its own, once for each source file, so that this module imports nothing slow. The log holds one
JSON object a line: one event when a step starts (with its ``command``) and one when it ends (with ``exit``). The second
half of this module reads the log: progress, compile time, how binaries were linked, and errors.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.build import command_lines
from wheelworks.build.arguments import DriverSettings, Invocation, iter_arguments, parse_arguments
from wheelworks.build.objects import Symbols, read_symbols
from wheelworks.core.errors import WheelworksError

Event = dict[str, Any]

_DIAGNOSTIC = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?P<where>(?:[A-Za-z]:)?[^\s:][^:\n]*:\d+(?::\d+)?): (?:fatal )?error: .*", re.MULTILINE
)


def main(settings_file: str, language: str, words: Sequence[str]) -> int:
    """Do what ``cc`` (or ``c++``) does with ``words``, for the target; return the exit status."""
    settings = DriverSettings.read(settings_file)
    parsed = parse_arguments(words, settings)
    try:
        return (_link if parsed.links else _compile)(parsed, settings, language)
    except (WheelworksError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{settings.target}: {error}\n")
        _log(settings, step="link" if parsed.links else "compile", file=parsed.output, exit=1, error=str(error))
        return 1


def _compile(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    if not parsed.sources and not parsed.objects:  # a query such as --version
        return subprocess.run([settings.zig, language, *parsed.flags], check=False).returncode
    file = " ".join(parsed.sources) or parsed.output
    return _run(command_lines.compile_command(parsed, settings, language), settings, "compile", file, parsed.dropped)


def _link(parsed: Invocation, settings: DriverSettings, language: str) -> int:
    _use_static_libraries(parsed)
    symbols = Symbols()
    for name in parsed.objects:
        symbols |= read_symbols(Path(name).read_bytes())
    calls = sorted(name for name in symbols.undefined if not command_lines.is_python_symbol(name))[:8]
    marker = Path(settings.libc_marker)
    with_libc: Event = {"freestanding": False, "calls": calls, "builds_libc": not marker.exists()}
    event: Event = {"freestanding": True} if command_lines.is_freestanding(symbols) else with_libc
    # In a separate folder: beside a .pyd the linker writes an import library, which must not get into the wheel.
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        output = str(Path(folder, Path(parsed.output).name))
        for command in _link_commands(parsed, settings, language, symbols, output):
            if status := _run(command, settings, "link", parsed.output, parsed.dropped, **event):
                return status
        os.replace(output, parsed.output)
    if not event["freestanding"]:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return 0


def _use_static_libraries(parsed: Invocation) -> None:
    """Replace libraries that the project built itself by their files, because their symbols decide about libc too."""
    folders = [words[-1].removeprefix("-L") for words in iter_arguments(parsed.flags) if words[0].startswith("-L")]
    for library in list(parsed.libraries):
        files = [Path(folder, f"lib{library.removeprefix('-l')}.a") for folder in folders]
        if own := next((file for file in files if file.is_file()), None):
            parsed.libraries.remove(library)
            parsed.objects.append(str(own))


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
    needs_library = freestanding and any(map(command_lines.is_compiler_symbol, symbols.undefined))
    stubs = ["-rtlib=compiler-rt"] if needs_library else []
    if settings.os == "macos" and freestanding:
        stubs.append(_write_text(folder / "libSystem.tbd", command_lines.LIBSYSTEM_STUB))
    if settings.os == "windows":
        library, path = command_lines.format_import_library(symbols, settings, output), str(folder / "python.lib")
        definition = _write_text(folder / "python.def", library)
        subprocess.run(command_lines.dlltool_command(settings, definition, path), check=True)
        stubs.append(path)
    name, text = command_lines.format_export_list(symbols, settings)
    if name:
        script = _write_text(folder / name, text)
        # not -Wl: a temporary folder may have a comma in its name
        stubs += [script] if settings.os == "windows" else ["-Xlinker", f"--version-script={script}"]
    return stubs


def _write_text(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def _run(
    command: list[str], settings: DriverSettings, step: str, file: str, dropped: Sequence[str], **more: object
) -> int:
    _log(settings, step=step, file=file, command=shlex.join(command), dropped=list(dropped), **more)
    start = time.time()
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    span = (start, time.time())
    sys.stderr.write(ended.stderr)
    _log(settings, step=step, file=file, span=span, exit=ended.returncode, error=ended.stderr[-20_000:], **more)
    return ended.returncode


def _log(settings: DriverSettings, **event: object) -> None:
    # One write for each event, so that compilers running in parallel don't mix their lines.
    with open(settings.log, "a", encoding="utf-8") as log:
        log.write(json.dumps(event) + "\n")


def read_log(log: Path) -> list[Event]:
    """Return the events of a log; a last line that is incomplete is left out."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def describe_progress(events: Sequence[Event]) -> str:
    """Return what is being done, as a progress message; "" before the first compiler has started."""
    event = next((event for event in reversed(events) if "command" in event), None)
    if event is None:
        return ""
    if event["step"] == "compile":
        return f"compiling {event['file']}"
    slow = " with the target's libc, which zig compiles this once: up to two minutes"
    return f"linking {event['file']}{slow if event.get('builds_libc') else ''}"


@dataclass(frozen=True)
class Compilation:
    """What the compiler did in one build.

    ``spans`` are the starts and ends of its steps in seconds since 1970. ``freestanding`` says that no link used libc,
    ``calls`` are functions of libc that the objects call, ``dropped`` the arguments that described the host.
    """

    spans: tuple[tuple[float, float], ...]
    freestanding: bool
    calls: tuple[str, ...]
    dropped: tuple[str, ...]


def summarize_log(events: Sequence[Event]) -> Compilation:
    """Summarize the log of one build."""
    done = [event for event in events if "span" in event]
    links = [event for event in done if event["step"] == "link"]
    return Compilation(
        tuple((start, end) for start, end in (event["span"] for event in done)),
        bool(links) and all(event.get("freestanding", False) for event in links),
        tuple(sorted({name for event in links for name in event.get("calls", ())})),
        tuple(sorted({word for event in events for word in event.get("dropped", ())})),
    )


def count_busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds covered by at least one of ``spans``."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def describe_failure(events: Sequence[Event]) -> str:
    """Return the first failed step: the compiler's errors with file and line, and its command; "" if none failed."""
    event = next((event for event in events if event.get("exit", 0) != 0), None)
    if event is None:
        return ""
    lines = event.get("error", "").splitlines()
    first = next((n for n, line in enumerate(lines) if _DIAGNOSTIC.match(line)), 0)
    command = next((e["command"] for e in events if "command" in e and e["file"] == event["file"]), "")
    text = "\n".join([f"{event['step']} of {event['file']} failed:", *(lines[first : first + 12] or [""])])
    return f"{text}\nthe command was: {command}" if command else text
