"""Read the log of one build: progress, compile time, how binaries were linked, and why one is missing.

The compiler driver writes an event for each of its steps. The shim in the backend's Python writes one for the extension
modules that the project declares, and one for a program that can't be run here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wheelworks.build.arguments import explain_dropped
from wheelworks.build.driver import Event

_DIAGNOSTIC = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?P<where>(?:[A-Za-z]:)?[^\s:][^:\n]*:\d+(?::\d+)?): (?:fatal )?error: .*", re.MULTILINE
)
_MISSING_FILE = re.compile(r"'([^'\n]+)' file not found|no such file(?: or directory)?: '([^'\n]+)'", re.IGNORECASE)


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
    slow = " with the target's C or C++ runtime, which zig compiles this once: up to two minutes"
    return f"linking {event['file']}{slow if event.get('builds_libc') else ''}"


@dataclass(frozen=True)
class Compilation:
    """What the compiler did in one build.

    ``spans`` are the starts and ends of its steps in seconds since 1970. ``freestanding`` says that no link used libc,
    ``calls`` are functions of libc that the objects call, ``dropped`` the arguments that described the host.
    ``tests_libc`` says that the project linked programs to learn what the target's libc has. ``libraries`` are the
    files of the static libraries that the user brought and that were linked.
    """

    spans: tuple[tuple[float, float], ...]
    freestanding: bool
    calls: tuple[str, ...]
    dropped: tuple[str, ...]
    tests_libc: bool = False
    libraries: tuple[str, ...] = ()


def summarize_log(events: Sequence[Event]) -> Compilation:
    """Summarize the log of one build."""
    done = [event for event in events if "span" in event]
    links = [event for event in done if event["step"] == "link" and not event.get("probe")]
    return Compilation(
        tuple((start, end) for start, end in (event["span"] for event in done)),
        bool(links) and all(event.get("freestanding", False) for event in links),
        tuple(sorted({name for event in links for name in event.get("calls", ())})),
        tuple(sorted({word for event in events for word in event.get("dropped", ())})),
        any(event["step"] == "program" for event in done),
        tuple(sorted({file for event in links for file in event.get("libraries", ())})),
    )


def count_busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds covered by at least one of ``spans``."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


# --- failures ---------------------------------------------------------------------------------------------------------


def list_declared_modules(events: Sequence[Event]) -> dict[str, list[str]]:
    """Return the sources of each extension module that the project declared, by its full name."""
    declared: dict[str, list[str]] = {}
    for event in events:
        for name, sources in event.get("modules", {}).items():
            declared[name] = sorted({*declared.get(name, ()), *sources})
    return declared


def find_own_failure(events: Sequence[Event], tree: Path) -> Event | None:
    """Return the first failed step that isn't a test: a link, or the compilation of a file of ``tree``."""
    failed = [event for event in list_failures(events) if not event.get("probe")]
    return next((one for one in failed if one["step"] == "link" or (tree / str(one["file"])).exists()), None)


def find_cause(events: Sequence[Event], modules: Mapping[str, Sequence[str]]) -> Event | None:
    """Return the failed step that explains why one of ``modules`` is missing; None if no step does.

    That is the first failure of one of its sources, of a file generated from one, or of its link; else the last failure
    that isn't a test of the compiler.
    """
    failed = [event for event in list_failures(events) if not event.get("probe")]
    for name, sources in modules.items():
        stems = {_get_stem(source) for source in sources}
        for event in failed:
            wanted = {name.rpartition(".")[2]} if event["step"] == "link" else stems
            if any(_get_stem(file) in wanted for file in str(event["file"]).split()):
                return event
    return failed[-1] if failed else None


def list_failures(events: Sequence[Event]) -> list[Event]:
    """Return the failed steps of the compiler and the linker, in their order."""
    return [event for event in events if event.get("exit", 0) != 0 and event["step"] != "run"]


def find_refused_program(events: Sequence[Event]) -> str:
    """Return the message about a program that the build tried to run though it is the target's; "" without one."""
    return next((str(event["error"]) for event in events if event["step"] == "run"), "")


def _get_stem(file: str) -> str:
    """Return the name of a file without folder and suffixes."""
    return PurePosixPath(file.replace("\\", "/")).name.partition(".")[0]


def describe_failure(event: Event | None, events: Sequence[Event]) -> str:
    """Return a failed step: the errors with file and line, the last lines, its command and what was left out of it."""
    if event is None:
        return ""
    start = next((one for one in events if "command" in one and one["file"] == event["file"]), {})
    text = [f"{event['step']} of {event['file']} failed:", *_select_lines(event.get("error", "").splitlines())]
    if command := start.get("command"):
        text.append(f"the command was: {command}")
    text += [f"left out of it: {word} ({explain_dropped(word)})" for word in start.get("dropped", ())]
    return "\n".join(text)


def _select_lines(lines: Sequence[str]) -> Sequence[str]:
    """Return the lines from the first error on, and the last lines, at most 16."""
    first = next((n for n, line in enumerate(lines) if _DIAGNOSTIC.match(line)), 0)
    shown = lines[first:]
    return shown if len(shown) <= 16 else [*shown[:12], "...", *shown[-3:]]


def find_missing_file(event: Event | None, folder: Path | None, tree: Path) -> str:
    """Return the file that a step missed and that ``folder`` has but the unpacked sdist ``tree`` hasn't; "" if none."""
    match = _MISSING_FILE.search(str(event.get("error", ""))) if event and folder else None
    name = PurePosixPath((match[1] or match[2]).replace("\\", "/")).name if match else ""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob(name)) if folder and name else []
    return next((file for file in found if not (tree / file).exists()), "")
