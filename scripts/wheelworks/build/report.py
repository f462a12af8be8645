"""What the compiler driver logged, read back: progress, seconds, how it linked, and errors for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_DIAGNOSTIC = re.compile(
    r"^(?:\x1b\[[0-9;]*m)*(?P<where>(?:[A-Za-z]:)?[^\s:][^:\n]*:\d+(?::\d+)?): (?:fatal )?error: .*", re.MULTILINE
)


def read(log: Path) -> list[Event]:
    """Every whole line of the log; the one that is just being written is left for later."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def latest(events: Sequence[Event]) -> str:
    """What is being done, for someone who waits; "" before the first compiler has started."""
    started = [event for event in events if "command" in event]
    return _sentence(started[-1]) if started else ""


def _sentence(event: Event) -> str:
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


def summary(events: Sequence[Event]) -> Compilation:
    """Add up a build's log."""
    done = [event for event in events if "span" in event]
    links = [event for event in done if event["step"] == "link"]
    return Compilation(
        tuple((start, end) for start, end in (event["span"] for event in done)),
        bool(links) and all(event.get("freestanding", False) for event in links),
        tuple(sorted({name for event in links for name in event.get("calls", ())})),
        tuple(sorted({word for event in events for word in event.get("dropped", ())})),
    )


def elapsed(spans: Iterable[tuple[float, float]]) -> float:
    """The seconds in which at least one of ``spans`` was under way."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def failure(events: Sequence[Event]) -> str:
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
