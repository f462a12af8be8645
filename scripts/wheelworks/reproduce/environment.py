"""What a rebuild could depend on beside its source and tools, as one value that variations change."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import cache, process

SUITE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of one build.

    ``place`` is a folder of this build's own, ``folder`` the one it runs in, ``source`` the sdist or project,
    ``before`` the programs that start it, one inside the other, ``seen`` what the project's build is shown
    (NAME=VALUE), ``python`` the CPython whose headers are used ("": whichever is found), ``suite`` the
    folder that this suite's package lies in.
    """

    place: Path
    folder: Path
    source: Path
    env: Mapping[str, str]
    before: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    python: str = ""
    suite: Path = SUITE

    def with_env(self, **more: str) -> Surroundings:
        """The same with more environment variables."""
        return replace(self, env={**self.env, **more})

    def inside(self, *words: str) -> Surroundings:
        """The same, started by one more program, which those there already start."""
        return replace(self, before=(*self.before, *words))

    @property
    def out(self) -> Path:
        """Where the wheels go."""
        return self.folder / "dist"


def plain(place: Path, source: Path, seen: Sequence[str] = ()) -> Surroundings:
    """The surroundings that this process has, with a folder and a temporary folder of the build's own.

    The hash seed is one number for all builds: of a random one, whatever depends on it would seem to be chance.
    """
    folder, temporary = place / "run", place / "tmp"
    folder.mkdir(parents=True)
    temporary.mkdir()
    own = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    env = {"PYTHONHASHSEED": "0", **os.environ, **own, "WHEELWORKS_CACHE": str(cache.folder())}
    return Surroundings(place, folder, source, env, seen=tuple(seen))


def run(surroundings: Surroundings, command: Sequence[str], seconds: float = 3600) -> process.Result:
    """Run a command of wheelworks in these surroundings, as a program of its own, for at most so many seconds."""
    paths = [str(surroundings.suite), surroundings.env.get("PYTHONPATH", "")]
    env = {**surroundings.env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = [*surroundings.before, sys.executable, "-m", "wheelworks", *command]
    return process.run(words, env=env, cwd=surroundings.folder, seconds=seconds)
