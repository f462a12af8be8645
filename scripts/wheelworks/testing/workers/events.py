"""How a guest program tells the host what it does: one JSON object a line, in a file of the work folder."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Events:
    """Writes events; each is on its way to the host before the next thing happens, so a crash loses none."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._began = 0.0

    def all(self, tests: list[str]) -> None:
        """Name every test there is, of all shards."""
        self._write(event="all", tests=tests)

    def start(self, test: str) -> None:
        """A test begins."""
        self._began = time.monotonic()
        self._write(event="start", test=test)

    def end(self, test: str, outcome: str, detail: str = "") -> None:
        """A test has ended: ``passed``, ``failed`` or ``skipped``."""
        seconds = round(time.monotonic() - self._began, 3)
        self._write(event="end", test=test, outcome=outcome, detail=detail[-4000:], seconds=seconds)

    def hooks(self, status: dict[str, str]) -> None:
        """``install()`` has been called: tell what has come of each of its hooks."""
        self._write(event="hooks", hooks=status)

    def modules(self, names: list[str]) -> None:
        """The tests are over: tell the files of those modules among ``names`` that are loaded."""
        loaded = {name: sys.modules[name] for name in names if name in sys.modules}
        self._write(event="modules", files={name: str(module.__file__) for name, module in loaded.items()})

    def _write(self, **event: object) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
