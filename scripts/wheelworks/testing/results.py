"""What guest programs tell while they run (see ``guest/events.py``), read from the files that they write."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

EVENTS_LIMIT = 64 << 20  # bytes: what a guest writes is untrusted too

# Links and pipes are the tricks of guests that the host keeps in a root; Windows, which has neither, runs none of them.
_PLAIN_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass
class Told:
    """What guests have told.

    Every test's name, outcomes with details by test, what had begun but not ended, the files of the modules that
    matter, what came of each hook of ``install()``, and how guests died that did not end well.
    """

    tests: list[str] = field(default_factory=list)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    loaded: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)

    def having(self, outcome: str) -> list[str]:
        """The tests that ended so, in the order they ended."""
        return [test for test, (how, _) in self.ended.items() if how == outcome]

    def counted(self) -> str:
        """How far it is, in words."""
        failed = len(self.having("failed"))
        return f"{len(self.ended)} of {len(self.tests)} tests" + (f", {failed} failed" if failed else "")

    def take(self, event: dict[str, object]) -> None:
        """Note one event; raises KeyError, TypeError or ValueError for what is none."""
        match event["event"]:
            case "all":
                self.tests = [str(test) for test in _list(event["tests"])]
            case "start":
                self.begun.add(str(event["test"]))
            case "end":
                test = str(event["test"])
                self.begun.discard(test)
                self.ended[test] = (str(event["outcome"]), str(event["detail"]))
            case "modules":
                self.loaded.update(_strings(event["files"]))
            case "hooks":
                self.hooks.update(_strings(event["hooks"]))
            case other:
                raise ValueError(f"unknown event {other!r}")


def ended_by(code: int) -> str:
    """What a guest's exit code says; 128 and more is a signal's, as a shell gives it, a large one Windows'."""
    number = -code if code < 0 else code - 128
    with suppress(ValueError):
        return f"the guest died of {signal.Signals(number).name}"
    return f"the guest ended with exit code {code:#x}" if code > 255 else f"the guest ended with exit code {code}"


def read(files: Iterable[Path]) -> Told:
    """What several guests have told so far."""
    told = Told()
    for file in files:
        for line in _lines(file):
            with suppress(ValueError, KeyError, TypeError):  # a line cut short by a death, or no event at all
                told.take(json.loads(line))
    return told


def _lines(path: Path) -> list[bytes]:
    """The lines of a file that a guest may have made anything of: a link to one of the host's, a pipe."""
    try:
        file = os.open(path, os.O_RDONLY | _PLAIN_FILE)
    except OSError:
        return []
    with os.fdopen(file, "rb") as stream:
        return stream.read(EVENTS_LIMIT).splitlines() if stat.S_ISREG(os.fstat(file).st_mode) else []


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return {str(key): str(text) for key, text in value.items()}
