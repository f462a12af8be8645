"""Builds of one source in chosen surroundings, each a program of its own in a folder of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks import manifest
from wheelworks.reproduce import surroundings
from wheelworks.reproduce.surroundings import Surroundings
from wheelworks.reproduce.variations import Variation


@dataclass(frozen=True)
class Build:
    """What a build left: its files by name, what its manifest says of its source and tools, and, if it failed, why."""

    files: dict[str, Path]
    record: manifest.Record
    failure: str = ""


@dataclass(frozen=True)
class Recipe:
    """What is built: an sdist, for ``targets`` ("": all), dated ``epoch`` (seconds since 1970; None: its own time).

    ``seen`` are variables (NAME=VALUE) that the project's build is shown, as they were when the wheels were made.
    """

    source: Path
    targets: tuple[str, ...] = ()
    epoch: int | None = None
    seen: tuple[str, ...] = ()


@dataclass
class Rebuilder:
    """Builds a recipe over and over, within the folder ``work``; ``say`` hears what is under way."""

    recipe: Recipe
    work: Path
    say: Callable[[str], None]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __call__(self, variations: Sequence[Variation], targets: Sequence[str] = ()) -> Build:
        """One build under ``variations``, of all the recipe's targets or some."""
        number = next(self._numbers)
        names = [one.name for one in variations]
        varied = f"varying {', '.join(names)}" if len(names) < 4 else f"varying {len(names)} things at once"
        self.say(f"build {number + 1}, {varied if names else 'nothing varied'}")
        # two digits: nothing but a variation may change the length of a path
        now = surroundings.plain(self.work / f"{number:02}", self.recipe.source, self.recipe.seen)
        if self.recipe.epoch is not None:
            now = now.with_env(SOURCE_DATE_EPOCH=str(self.recipe.epoch))
        for variation in variations:
            now = variation.apply(now)
        now.out.mkdir()
        ended = surroundings.run(now, command(now, targets or self.recipe.targets))
        failure = "\n".join(ended.output.strip().splitlines()[-12:]) if ended.status else ""
        files = {path.name: path for path in sorted(now.out.iterdir()) if path.suffix in (".whl", ".gz")}
        return Build(files, manifest.load(now.out) or {}, failure)


def command(now: Surroundings, targets: Sequence[str]) -> list[str]:
    """The words that build ``targets`` in these surroundings."""
    words = ["cross-arm64", str(now.source), "--out", str(now.out), "--no-run"]
    words += [word for target in targets for word in ("--target", target)]
    words += [word for setting in now.seen for word in ("--env", setting)]
    return [*words, "--python", now.python] if now.python else words
