"""Builds of one source in chosen surroundings, each a program of its own in a folder of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core import manifest, targets
from wheelworks.reproduce import environment
from wheelworks.reproduce.environment import Surroundings
from wheelworks.reproduce.selection import Selection
from wheelworks.reproduce.variations import Variation


@dataclass(frozen=True)
class Build:
    """What a build left: its files by name, what its manifest says of its source and tools, and, if it failed, why."""

    files: dict[str, Path]
    record: manifest.Manifest | None
    failure: str = ""


@dataclass(frozen=True)
class Recipe:
    """What is built: an sdist or a project, the wheels of ``selection``, dated ``epoch`` (seconds since 1970).

    Where there is no epoch the source has its own time.

    ``seen`` are variables (NAME=VALUE) that the project's build is shown, as they were when the wheels were made.
    """

    source: Path
    selection: Selection
    epoch: int | None = None
    seen: tuple[str, ...] = ()


@dataclass
class Rebuilder:
    """Builds a recipe over and over, within the folder ``work``; ``say`` hears what is under way."""

    recipe: Recipe
    work: Path
    say: Callable[[str], None]
    builds: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, variations: Sequence[Variation], selection: Selection | None = None) -> Build:
        """One build under ``variations``, of all the recipe's selection or a part of it."""
        names = [one.name for one in variations]
        with self.lock:
            number = len(self.builds)
            self.builds.append(", ".join(names))
        varied = f"varying {', '.join(names)}" if len(names) < 4 else f"varying {len(names)} things at once"
        self.say(f"build {number + 1}, {varied if names else 'nothing varied'}")
        # two digits: nothing but a variation may change the length of a path
        now = environment.plain(self.work / f"{number:02}", self.recipe.source, self.recipe.seen)
        if self.recipe.epoch is not None:
            now = now.with_env(SOURCE_DATE_EPOCH=str(self.recipe.epoch))
        for variation in variations:
            now = variation.apply(now)
        now.out.mkdir()
        ended = environment.run(now, command(now, selection or self.recipe.selection))
        failure = _errors(ended.output) if ended.status else ""
        # an sdist that is the source is handed on, not made again
        made = (".whl", ".gz") if self.recipe.source.is_dir() else (".whl",)
        files = {path.name: path for path in sorted(now.out.iterdir()) if path.suffix in made}
        return Build(files, manifest.load(now.out), failure)

    def fetch(self, variations: Sequence[Variation]) -> None:
        """Let a small build download what those under ``variations`` need, where one of these keeps them offline.

        What fails here will fail there, and be told.
        """
        if not any(one.offline for one in variations):
            return
        first = self.recipe.selection.targets or (targets.all_targets()[0].id,)
        self([one for one in variations if one.downloads], Selection(first[:1], self.recipe.selection.abis))


def _errors(output: str) -> str:
    """What a build said of its failure: from the first error on, and of that the beginning and the end."""
    lines = [line for line in output.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("error:")), 0)
    said = lines[first:]
    return "\n".join(said if len(said) <= 14 else [*said[:4], "...", *said[-9:]])


def command(now: Surroundings, selection: Selection) -> list[str]:
    """The words that build a selection in these surroundings."""
    words = ["build-wheels", str(now.source), "--out", str(now.out), "--no-run", *selection.words()]
    words += [word for setting in now.seen for word in ("--env", setting)]
    return [*words, "--python", now.python] if now.python else words
