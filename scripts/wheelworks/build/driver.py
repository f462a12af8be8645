"""The compiler that a project's build calls: it turns each call into one for the target, and keeps a log.

It runs as a program of its own, once for each source file, so that it imports nothing slow.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.build import command_lines, objects
from wheelworks.build.arguments import DriverSettings, Invocation, iter_arguments, parse_arguments
from wheelworks.core.errors import WheelworksError


def main(settings_file: str, language: str, words: Sequence[str]) -> int:
    """Do what ``cc`` (or ``c++``) would do with ``words``, for the target; returns its exit status."""
    settings = DriverSettings.read(settings_file)
    found = parse_arguments(words, settings)
    try:
        if found.links:
            return _link(found, settings, language)
        return _compile(found, settings, language)
    except (WheelworksError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{settings.target}: {error}\n")
        _log(settings, step="link" if found.links else "compile", file=found.output, exit=1, error=str(error))
        return 1


def _compile(found: Invocation, settings: DriverSettings, language: str) -> int:
    if not found.sources and not found.objects:  # a question such as --version
        return subprocess.run([settings.zig, language, *found.flags], check=False).returncode
    file = " ".join(found.sources) or found.output
    return _run(command_lines.compile_command(found, settings, language), settings, "compile", file, found.dropped)


def _use_static_libraries(found: Invocation) -> None:
    """Make objects of the libraries that the project has built itself: what they ask for decides about libc, too."""
    folders = [
        argument[-1].removeprefix("-L") for argument in iter_arguments(found.flags) if argument[0].startswith("-L")
    ]
    for library in list(found.libraries):
        files = [Path(folder, f"lib{library.removeprefix('-l')}.a") for folder in folders]
        if own := next((file for file in files if file.is_file()), None):
            found.libraries.remove(library)
            found.objects.append(str(own))


def _link(found: Invocation, settings: DriverSettings, language: str) -> int:
    _use_static_libraries(found)
    symbols = objects.Symbols()
    for name in found.objects:
        symbols |= objects.read_symbols(Path(name).read_bytes())
    freestanding = command_lines.is_freestanding(symbols)
    libc = (
        {}
        if freestanding
        else {"calls": sorted(n for n in symbols.undefined if not command_lines.is_python_symbol(n))[:8]}
    )
    # A folder of its own: beside a .pyd the linker writes an import library, which no wheel should carry.
    with tempfile.TemporaryDirectory(dir=settings.work) as place:
        output = str(Path(place, Path(found.output).name))
        if not freestanding and settings.os != "windows":  # whose linker wants to know every symbol anyway
            python = _write_text(Path(place, "python.c"), command_lines.format_python_stub(symbols))
            rehearsal = command_lines.trial_link_command(found, settings, output, python, language)
            if status := _run(rehearsal, settings, "link", found.output, found.dropped, freestanding=False, **libc):
                return status
        command = command_lines.link_command(
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


def _stubs(
    symbols: objects.Symbols, settings: DriverSettings, output: str, place: Path, freestanding: bool
) -> list[str]:
    """What a link takes besides: the compiler's own library, what stands for the system or Python, what is exported."""
    stubs = (
        ["-rtlib=compiler-rt"] if freestanding and any(map(command_lines.is_compiler_symbol, symbols.undefined)) else []
    )
    if settings.os == "macos" and freestanding:
        stubs.append(_write_text(place / "libSystem.tbd", command_lines.LIBSYSTEM_STUB))
    if settings.os == "windows":
        library = command_lines.plan_import_library(symbols, settings, output)
        definition, path = _write_text(place / "python.def", library.definition), str(place / "python.lib")
        subprocess.run(command_lines.dlltool_command(library, settings, definition, path), check=True)
        stubs.append(path)
    name, text = command_lines.format_export_list(symbols, settings)
    if name:
        script = _write_text(place / name, text)
        # not -Wl: a temporary folder may have a comma in its name
        stubs += [script] if settings.os == "windows" else ["-Xlinker", f"--version-script={script}"]
    return stubs


def _write_text(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def _run(
    command: list[str], settings: DriverSettings, step: str, file: str, dropped: Sequence[str], **more: object
) -> int:
    cold = more.get("freestanding") is False and not Path(settings.warm).exists()
    _log(
        settings,
        step=step,
        file=file,
        command=command_lines.quote_command(command),
        cold=cold,
        dropped=list(dropped),
        **more,
    )
    start = time.time()
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    span = (start, time.time())
    sys.stderr.write(ended.stderr)
    _log(settings, step=step, file=file, span=span, exit=ended.returncode, error=ended.stderr[-20_000:], **more)
    return ended.returncode


def _log(settings: DriverSettings, **event: object) -> None:
    # One write each, so that compilers running side by side don't mix their lines.
    with open(settings.log, "a", encoding="utf-8") as log:
        log.write(json.dumps(event) + "\n")


Event = dict[str, Any]

_DIAGNOSTIC = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?P<where>(?:[A-Za-z]:)?[^\s:][^:\n]*:\d+(?::\d+)?): (?:fatal )?error: .*", re.MULTILINE
)


def read_log(log: Path) -> list[Event]:
    """Every whole line of the log; the one that is just being written is left for later."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def describe_progress(events: Sequence[Event]) -> str:
    """What is being done, for someone who waits; "" before the first compiler has started."""
    started = [event for event in events if "command" in event]
    return _describe_start(started[-1]) if started else ""


def _describe_start(event: Event) -> str:
    if event["step"] == "compile":
        return f"compiling {event['file']}"
    if event.get("cold"):
        return f"linking {event['file']} with the target's libc, which zig compiles this once: up to two minutes"
    return f"linking {event['file']}"


@dataclass(frozen=True)
class Compilation:
    """What the compiler did in one build: when it ran, whether every link was freestanding, what libc is called for.

    ``spans`` are starts and ends in seconds since 1970.
    """

    spans: tuple[tuple[float, float], ...]
    freestanding: bool
    calls: tuple[str, ...]
    dropped: tuple[str, ...]


def summarize_log(events: Sequence[Event]) -> Compilation:
    """Add up a build's log."""
    done = [event for event in events if "span" in event]
    links = [event for event in done if event["step"] == "link"]
    return Compilation(
        tuple((start, end) for start, end in (event["span"] for event in done)),
        bool(links) and all(event.get("freestanding", False) for event in links),
        tuple(sorted({name for event in links for name in event.get("calls", ())})),
        tuple(sorted({word for event in events for word in event.get("dropped", ())})),
    )


def count_busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """The seconds in which at least one of ``spans`` was under way."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def describe_failure(events: Sequence[Event]) -> str:
    """The first thing that failed: the compiler's errors with file and line, and its command; "" where nothing did."""
    for event in events:
        if event.get("exit", 0) != 0:
            error = event.get("error", "")
            lines = error.splitlines()
            first = next((n for n, line in enumerate(lines) if _DIAGNOSTIC.match(line)), 0)
            command = next((e["command"] for e in events if "command" in e and e["file"] == event["file"]), "")
            said = "\n".join(lines[first : first + 12])
            return f"{event['step']} of {event['file']} failed:\n{said}" + (
                f"\nthe command was: {command}" if command else ""
            )
    return ""
