"""Builds of one source, each as a program of its own; and the suite of an older commit, which built a release.

The older commit's code is run, so it must be in this checkout's history. Its packages are those of its lock file, each
checked by hash, and the lock files must have the hashes that the release's provenance states.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core import git, manifest, process, tags, targets, venv
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.core.targets import Target
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.reproduce import environment
from wheelworks.reproduce.environment import RebuildEnvironment
from wheelworks.reproduce.provenance import CHECKOUT, LOCKS, ToolchainMismatch
from wheelworks.reproduce.variations import Variation

# The name of `process.PARENT_VARIABLE` in commits before the manifest's schema 2.
_OLD_PARENT_VARIABLE = "WHEELWORKS_TIED"


def repeat_option(option: str, values: Iterable[str]) -> list[str]:
    """Return the words of a command line that give an option several values."""
    return [word for value in values for word in (option, value)]


def filter_prefixes(prefixes: Iterable[str], ids: Sequence[str]) -> list[str]:
    """Return the words ``TARGET=DIR`` of these targets; all if there are no ids."""
    return [word for word in prefixes if not ids or targets.find_target(word.partition("=")[0]).id in ids]


@dataclass(frozen=True)
class Selection:
    """Which wheels of a release are meant, by the ids of targets and ABIs; an empty tuple means all."""

    targets: tuple[str, ...] = ()
    abis: tuple[str, ...] = ()

    def format_options(self) -> tuple[str, ...]:
        """Return the options of ``build-wheels`` that select these wheels."""
        return (*repeat_option("--target", self.targets), *repeat_option("--abi", self.abis))

    def covers(self, file: str) -> bool:
        """Return whether a file is selected; an sdist always is."""
        if not file.endswith(".whl"):
            return True
        if self.abis and get_wheel_abi(file) not in self.abis:
            return False
        return is_pure(file) or not self.targets or any(row.id in self.targets for row in find_wheel_targets(file))


def select_files(files: Iterable[str]) -> Selection:
    """Return the smallest selection whose build creates all of these files."""
    wheels = [file for file in files if file.endswith(".whl")]
    ids = dict.fromkeys(row.id for wheel in wheels for row in find_wheel_targets(wheel))
    return Selection(tuple(ids), tuple(dict.fromkeys(map(get_wheel_abi, wheels))))


def is_buildable(wheel: str) -> bool:
    """Return whether targets.toml has a target and an ABI for a wheel. Raises WheelworksError for an invalid name."""
    known = {tags for one in targets.load_abis() for tags in (one.id, one.specific)}
    return is_pure(wheel) or (bool(find_wheel_targets(wheel)) and get_wheel_abi(wheel) in known)


def is_pure(wheel: str) -> bool:
    """Return whether a wheel is for any platform."""
    return parse_wheel_name(wheel).platforms == {"any"}


def get_wheel_abi(wheel: str) -> str:
    """Return the id of a wheel's ABI."""
    return targets.PURE if is_pure(wheel) else parse_wheel_name(wheel).abi


def find_wheel_targets(wheel: str) -> tuple[Target, ...]:
    """Return the targets that a wheel serves, both of macOS for a universal one; none for an unknown platform."""
    name = parse_wheel_name(wheel)
    try:
        return tags.find_served_targets(name)
    except WheelworksError:
        return ()


@dataclass(frozen=True)
class BuildRecipe:
    """What is built again."""

    source: Path  # an sdist or a project's folder
    selection: Selection
    epoch: int | None = None  # the timestamp of the files, in seconds since 1970; None for the source's own
    passed_env: tuple[str, ...] = ()  # the variables (NAME=VALUE) that the project's build gets
    prefixes: tuple[str, ...] = ()  # the libraries (TARGET=DIR, absolute) that the user brings


@dataclass(frozen=True)
class BuildOutput:
    """The files of a build by name, its manifest, and the error messages if it failed."""

    files: dict[str, Path]
    record: manifest.Manifest | None
    failure: str = ""


@dataclass
class Rebuilder:
    """Builds a recipe repeatedly, in numbered folders below ``work``, and reports each build to ``update``."""

    recipe: BuildRecipe
    work: Path
    update: Callable[[str], None]
    builds: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, variations: Sequence[Variation], selection: Selection | None = None) -> BuildOutput:
        """Build the recipe's selection, or a part of it, under ``variations``."""
        now = self._create_environment(variations)
        now.out.mkdir()
        ended = environment.run_command(now, self._format_command(now, selection or self.recipe.selection))
        failure = _extract_errors(ended.output) if ended.status else ""
        # An sdist that is the source is copied, not built again.
        built = (".whl", ".gz") if self.recipe.source.is_dir() else (".whl",)
        files = {path.name: path for path in sorted(now.out.iterdir()) if path.suffix in built}
        return BuildOutput(files, manifest.load(now.out), failure)

    def _create_environment(self, variations: Sequence[Variation]) -> RebuildEnvironment:
        with self.lock:
            number, self.builds = self.builds, self.builds + 1
        names = ", ".join(one.name for one in variations) or "nothing"
        varied = names if len(variations) < 4 else f"{len(variations)} things at once"
        self.update(f"build {number + 1}, varying {varied}")
        # Two digits, so that only a variation changes the length of a path.
        now = environment.create_environment(self.work / f"{number:02}", self.recipe.source, self.recipe.passed_env)
        if self.recipe.epoch is not None:
            now = now.with_env(SOURCE_DATE_EPOCH=str(self.recipe.epoch))
        for variation in variations:
            now = variation.apply(now)
        return now

    def _format_command(self, now: RebuildEnvironment, selection: Selection) -> list[str]:
        words = ["build-wheels", str(now.source), "--out", str(now.out), "--no-run", *selection.format_options()]
        words += repeat_option("--env", now.passed_env)
        words += repeat_option("--prefix", filter_prefixes(self.recipe.prefixes, selection.targets))
        return [*words, "--python", now.python] if now.python else words

    def download_inputs(self, variations: Sequence[Variation]) -> None:
        """Run a small build that downloads what the later ones need, if a variation prevents downloads.

        A failure is ignored here, because the later build fails in the same way and is reported.
        """
        if not any(one.offline for one in variations):
            return
        first = self.recipe.selection.targets or (targets.load_targets()[0].id,)
        self([one for one in variations if one.downloads], Selection(first[:1], self.recipe.selection.abis))


def _extract_errors(output: str) -> str:
    """Return a failed build's output from the first error on, shortened in the middle."""
    lines = [line for line in output.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("error:")), 0)
    errors = lines[first:]
    return "\n".join(errors if len(errors) <= 14 else [*errors[:4], "...", *errors[-9:]])


@dataclass(frozen=True)
class SuiteCheckout:
    """This suite at another commit: the folder of its files, and a Python with the packages that it imports."""

    folder: Path
    python: Path

    def run_command(self, command: Sequence[str]) -> int:
        """Run a command of that suite in the current folder, showing its output. Return its exit status.

        The command line and the variables are those that the older commit understands.
        """
        env = {**os.environ, "PYTHONPATH": str(self.folder / "scripts"), _OLD_PARENT_VARIABLE: "1"}
        words: list[str | Path] = [self.python, "-m", "wheelworks", *command]
        return process.run(words, env=env, timeout=7200, die_with_parent=True, inherit_output=True).status


def install_suite(
    mismatch: ToolchainMismatch, work: Path, update: Callable[[str], None], checkout: Path = CHECKOUT
) -> SuiteCheckout:
    """Check out the commit that a provenance names, and install its locked packages, about 100 MB.

    Raises ``mismatch`` if the commit isn't in the history or its lock files differ from the provenance, and
    WheelworksError if the packages can't be installed.
    """
    recorded = mismatch.recorded
    if not is_in_history(recorded.commit, checkout):
        raise mismatch
    folder = git.clone(checkout, work / "suite", recorded.commit)
    if any(hash_file(folder / name) != recorded.locks.get(name) for name in LOCKS):
        raise mismatch
    update(f"installing the tools of commit {recorded.commit[:12]}")
    failure = "the packages of the release's commit can't be installed"
    # With pip, which the suite runs: it asks pip for the index, and creates build environments by it.
    process.run_checked([sys.executable, "-m", "venv", work / "tools"], failure)
    python = venv.python_of(work / "tools")
    venv.install_requirements(python, failure, "--require-hashes", "-r", folder / "requirements/wheelworks.txt")
    return SuiteCheckout(folder, python)


def is_in_history(commit: str, checkout: Path = CHECKOUT) -> bool:
    """Return whether a commit is an ancestor of the checkout's HEAD; False for a folder that isn't a clone itself."""
    if not re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", commit) or not (checkout / ".git").exists():
        return False
    return git.run_git(checkout, "merge-base", "--is-ancestor", commit, "HEAD").status == 0
