"""Which wheels of a release are meant: targets and ABIs, as the builder takes them."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core import git, manifest, plan, process, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Target
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.reproduce import environment
from wheelworks.reproduce.environment import RebuildEnvironment
from wheelworks.reproduce.provenance import CHECKOUT, LOCKS, ToolchainMismatch
from wheelworks.reproduce.variations import Variation


@dataclass(frozen=True)
class Selection:
    """The ids of targets and of ABIs; where there is none, all are meant."""

    targets: tuple[str, ...] = ()
    abis: tuple[str, ...] = ()

    def words(self) -> Iterator[str]:
        """The builder's options."""
        for target in self.targets:
            yield from ("--target", target)
        for abi in self.abis:
            yield from ("--abi", abi)

    def covers(self, file: str) -> bool:
        """Whether a file is among what is meant: an sdist always is."""
        if not file.endswith(".whl"):
            return True
        fits = not self.abis or get_wheel_abi(file) in self.abis
        return fits and (
            is_pure(file) or not self.targets or any(row.id in self.targets for row in get_wheel_targets(file))
        )


def select_files(files: Iterable[str]) -> Selection:
    """What must be built so that these files, and perhaps some more, come about."""
    wheels = [file for file in files if file.endswith(".whl")]
    ids = dict.fromkeys(row.id for wheel in wheels for row in get_wheel_targets(wheel))
    return Selection(tuple(ids), tuple(dict.fromkeys(map(get_wheel_abi, wheels))))


def is_buildable(wheel: str) -> bool:
    """Whether the matrix has a target and an ABI for a wheel. Raises WheelworksError for what is no wheel's name."""
    known = {one.id for one in targets.all_abis()}
    return is_pure(wheel) or (bool(get_wheel_targets(wheel)) and get_wheel_abi(wheel) in known)


def is_pure(wheel: str) -> bool:
    """Whether a wheel is for any platform."""
    return parse_wheel_name(wheel).platforms == {"any"}


def get_wheel_abi(wheel: str) -> str:
    """The id of a wheel's ABI."""
    return plan.PURE if is_pure(wheel) else parse_wheel_name(wheel).abi


def get_wheel_targets(wheel: str) -> tuple[Target, ...]:
    """The targets that a wheel is for, by its tags; both of macOS for a universal one."""
    platforms = parse_wheel_name(wheel).platforms
    universal = any(tag.startswith("macosx") and tag.endswith("universal2") for tag in platforms)
    return tuple(row for row in targets.all_targets() if platforms & set(row.tags) or (universal and row.os == "macos"))


@dataclass(frozen=True)
class BuildOutput:
    """What a build left: its files by name, what its manifest says of its source and tools, and, if it failed, why."""

    files: dict[str, Path]
    record: manifest.Manifest | None
    failure: str = ""


@dataclass(frozen=True)
class BuildRecipe:
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

    recipe: BuildRecipe
    work: Path
    say: Callable[[str], None]
    builds: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, variations: Sequence[Variation], selection: Selection | None = None) -> BuildOutput:
        """One build under ``variations``, of all the recipe's selection or a part of it."""
        names = [one.name for one in variations]
        with self.lock:
            number = len(self.builds)
            self.builds.append(", ".join(names))
        varied = f"varying {', '.join(names)}" if len(names) < 4 else f"varying {len(names)} things at once"
        self.say(f"build {number + 1}, {varied if names else 'nothing varied'}")
        # two digits: nothing but a variation may change the length of a path
        now = environment.create_environment(self.work / f"{number:02}", self.recipe.source, self.recipe.seen)
        if self.recipe.epoch is not None:
            now = now.with_env(SOURCE_DATE_EPOCH=str(self.recipe.epoch))
        for variation in variations:
            now = variation.apply(now)
        now.out.mkdir()
        ended = environment.run_command(now, build_command(now, selection or self.recipe.selection))
        failure = _errors(ended.output) if ended.status else ""
        # an sdist that is the source is handed on, not made again
        made = (".whl", ".gz") if self.recipe.source.is_dir() else (".whl",)
        files = {path.name: path for path in sorted(now.out.iterdir()) if path.suffix in made}
        return BuildOutput(files, manifest.load(now.out), failure)

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


def build_command(now: RebuildEnvironment, selection: Selection) -> list[str]:
    """The words that build a selection in these surroundings."""
    words = ["build-wheels", str(now.source), "--out", str(now.out), "--no-run", *selection.words()]
    words += [word for setting in now.seen for word in ("--env", setting)]
    return [*words, "--python", now.python] if now.python else words


PACKAGES = "requirements/wheelworks.txt"


@dataclass(frozen=True)
class SuiteCheckout:
    """This suite as it was at a commit: the folder of its files, and a Python that has what it imports."""

    folder: Path
    python: Path

    def run(self, words: Sequence[str]) -> int:
        """Run one of its commands, where we are; it shows itself what comes of it. Returns its exit status."""
        env = {**os.environ, "PYTHONPATH": str(self.folder / "scripts")}
        command: list[str | Path] = [self.python, "-m", "wheelworks", *words]
        return process.run(command, env=env, seconds=7200, tied=True, shown=True).status


def install_suite(
    others: ToolchainMismatch, work: Path, say: Callable[[str], None], checkout: Path = CHECKOUT
) -> SuiteCheckout:
    """Lay down the suite of the commit that a provenance names, and install what it is locked to, some 100 MB.

    Raises ``others`` where that commit can't be had or has other lock files than the provenance states, and
    WheelworksError where the packages can't be installed.
    """
    stated = others.stated
    if not is_in_history(stated.commit, checkout):
        raise others
    folder = git.clone(checkout, work / "suite", stated.commit)
    if any(manifest.sha256(folder / name) != stated.locks.get(name) for name in LOCKS):
        raise others
    say(f"installing the tools of commit {stated.commit[:12]}")
    return SuiteCheckout(folder, _install_packages(folder, work / "tools"))


def is_in_history(commit: str, checkout: Path = CHECKOUT) -> bool:
    """Whether the commit is one of those that this checkout came from; a folder that is no clone itself has none."""
    if not re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", commit) or not (checkout / ".git").exists():
        return False
    return git.git(checkout, "merge-base", "--is-ancestor", commit, "HEAD").returncode == 0


def _install_packages(folder: Path, place: Path) -> Path:
    python = process.interpreter_in(place)
    pip: list[str | Path] = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", folder / PACKAGES]
    making: list[str | Path] = [sys.executable, "-m", "venv", place]
    for command in (making, [python, *pip]):
        ended = process.run(command, seconds=1800)
        if ended.status:
            raise WheelworksError(f"the tools of the release's commit can't be installed:\n{ended.last(5)}")
    return python
