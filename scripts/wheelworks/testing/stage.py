"""This machine as the place where guest programs run: each a process in an empty folder of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.testing.environments import Environment, variables
from wheelworks.testing.outcomes import GUEST_PACKAGE, Piece, Progress
from wheelworks.testing.results import Told, ended_by, read

TELL_EVERY = 5.0  # seconds
TAIL = 2000  # characters


@dataclass(frozen=True)
class Here:
    """An environment, a folder that is ours, the modules whose files are told; cores, and the longest time (s)."""

    environment: Environment
    work: Path
    modules: tuple[str, ...]
    with_c: bool
    jobs: int
    limit: float
    progress: Progress

    def run(self, pieces: Sequence[Piece]) -> Told:
        """Run guest programs at the same time; all are gone when this returns or raises."""
        files = [self.work / piece.work / "events" for piece in pieces]
        with process.thread_pool(len(pieces)) as pool:
            running = [pool.submit(self._one, piece) for piece in pieces]
            while wait(running, timeout=TELL_EVERY).not_done:
                self.progress(read(files).counted())
        told = read(files)
        told.deaths += [death for future in running if (death := future.result())]
        return told

    def _one(self, piece: Piece) -> str:
        """Run one guest; returns how it died, or "" if it ended well."""
        folder, empty = self.work / piece.work, self.work / piece.work / "empty"
        empty.mkdir(parents=True)
        words = ["-m", f"{GUEST_PACKAGE}.{piece.program}", str(folder / "events"), *piece.arguments, *self.modules]
        env = variables(dict(os.environ), self.environment.guests, self.with_c)
        try:
            ended = process.run([self.environment.python, *words], env=env, cwd=empty, timeout=self.limit)
        except WheelworksError as error:
            return error.message
        return f"{ended_by(ended.status)}\n{ended.output[-TAIL:]}".strip() if ended.status else ""
