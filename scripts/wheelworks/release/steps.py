"""The steps of a release in their order, the record of those that are done, and the checksums of the files.

Each step does one thing and names the files that it is about. A step is done if the record holds the current hashes of
these files, so that a release that was killed continues where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from wheelworks.core import manifest, process, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, remove_leftovers, write_file
from wheelworks.core.project import read_stated_abis
from wheelworks.release import rehearsal
from wheelworks.reproduce import provenance
from wheelworks.reproduce.provenance import PROVENANCE_FILE
from wheelworks.reproduce.rebuild import Selection, repeat_option

STATE_FILE = ".release.json"
CHECKSUMS_FILE = "SHA256SUMS"
FRAMEWORKS = "test-frameworks"
SKIPPABLE = (FRAMEWORKS,)  # steps that --skip leaves out of a rehearsal


@dataclass(frozen=True)
class ReleaseSubset:
    """What a rehearsal is limited to: wheels, CPythons and Tornados, variations, without some steps. Empty: all."""

    selection: Selection = field(default_factory=Selection)
    pythons: tuple[str, ...] = ()
    tornados: tuple[str, ...] = ()
    variations: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # steps

    def format_options(self) -> tuple[str, ...]:
        """Return the options in a fixed order, which also identify the subset in the record."""
        chosen = (*self.selection.format_options(), *self.test_options(), *repeat_option("--vary", self.variations))
        return (*chosen, *repeat_option("--skip", self.skipped))

    def test_options(self) -> tuple[str, ...]:
        """Return the options of test-native."""
        return (*repeat_option("--python", self.pythons), *repeat_option("--tornado", self.tornados))


@dataclass(frozen=True)
class Release:
    """A release, or the part of it that is rehearsed."""

    root: Path  # the checkout
    dist: Path  # the folder for the files
    version: str
    commit: str
    stem: str  # NAME-VERSION, as file names begin
    subset: ReleaseSubset = field(default_factory=ReleaseSubset)

    @property
    def planned(self) -> tuple[targets.PlannedWheel, ...]:
        """The wheels."""
        chosen = self.subset.selection
        rows = targets.select_targets(chosen.targets) or targets.load_targets()
        named = [abi for abi in targets.load_abis() if abi.id in chosen.abis]
        abis = named if chosen.abis else read_stated_abis(self.root)
        pure = targets.PURE in chosen.abis if chosen.abis else not chosen.targets
        return targets.plan_wheels(self.stem, rows, abis, pure=pure)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of exactly the files that the release consists of."""
        return (f"{self.stem}.tar.gz", *(one.name for one in self.planned))

    @property
    def files(self) -> list[Path]:
        """The paths of these files."""
        return [self.dist / name for name in self.names]

    @property
    def attested(self) -> list[Path]:
        """The files that ``SHA256SUMS`` lists: the release's files and their provenance."""
        return [*self.files, self.dist / PROVENANCE_FILE]


def check_files(release: Release) -> None:
    """Check that the folder holds every file of the release and no other wheel or sdist. Raises WheelworksError."""
    if missing := sorted(set(release.names) - _list_files(release)):
        raise WheelworksError(f"{missing[0]} is missing", "nox -s build-wheels")
    _check_no_other_files(release)


def _check_no_other_files(release: Release) -> None:
    if extra := sorted(_list_files(release) - set(release.names)):
        raise WheelworksError(f"{extra[0]} is not a file of this release", f"move it out of {release.dist}")


def _list_files(release: Release) -> set[str]:
    return {path.name for pattern in ("*.whl", "*.tar.gz") for path in release.dist.glob(pattern)}


def write_checksums(folder: Path, files: Iterable[Path]) -> Path:
    """Write ``SHA256SUMS`` in the format of sha256sum, sorted by name."""
    lines = [f"{hash_file(path)}  {path.name}\n" for path in sorted(files)]
    return write_file(folder / CHECKSUMS_FILE, "".join(lines).encode())


def check_checksums(folder: Path, names: Iterable[str]) -> None:
    """Check a folder's files against its ``SHA256SUMS``. Raises WheelworksError if one is changed, missing or extra."""
    recorded, existing = _read_checksums(folder), {name for name in names if (folder / name).is_file()}
    for name in sorted(recorded.keys() ^ existing):
        what = "is missing" if name in recorded else f"is not in {CHECKSUMS_FILE}"
        raise WheelworksError(f"{name} {what}", "start the release again")
    check_unchanged(folder)


def check_unchanged(folder: Path) -> None:
    """Check a folder's existing files against its ``SHA256SUMS``, if any. Raises WheelworksError for a changed one."""
    for name, digest in _read_checksums(folder).items():
        if hash_file(folder / name) not in ("", digest):
            hint = f"find out what changed it; if you delete {name}, the release builds it again"
            raise WheelworksError(f"{name} was changed after its checksum was written", hint)


def _read_checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def run_wheelworks(release: Release, *words: str | Path, session: str = "") -> None:
    """Run one of the suite's commands. Raises WheelworksError with the end of its output if it fails."""
    command = [sys.executable, "-m", "wheelworks", *words]
    options: dict[str, Any] = {"cwd": release.root, "timeout": 7200, "die_with_parent": True}
    process.run_checked(command, f"{words[0]} failed", f"nox -s {session or words[0]}", lines=25, **options)


def build_wheels(release: Release) -> None:
    """Build the sdist and every wheel."""
    run_wheelworks(release, *_get_build_command(release), "--no-run")
    check_files(release)


def audit_wheels(release: Release) -> None:
    """Audit the wheels and their dependencies, the lock files and the workflows."""
    run_wheelworks(release, "audit", release.dist)
    run_wheelworks(release, "lint-project", release.root, session="lint")


def run_wheels(release: Release) -> None:
    """Run the package's tests on each wheel: on an emulated CPU, or under a real CPython if no emulator has the CPU.

    ``build-wheels`` doesn't build existing wheels again, and picks the engine for each.
    """
    run_wheelworks(release, *_get_build_command(release), "--how", "any", "--tests", "package")


def _get_build_command(release: Release) -> tuple[str | Path, ...]:
    return ("build-wheels", release.root, "--out", release.dist, *release.subset.selection.format_options())


def run_native_tests(release: Release) -> None:
    """Run the package's and Tornado's tests with the wheels that this machine accepts."""
    run_wheelworks(release, "test-native", "--from", release.dist, *release.subset.test_options())


def run_framework_tests(release: Release) -> None:
    """Run the tests of projects that use Tornado, with the wheel that this machine accepts."""
    run_wheelworks(release, FRAMEWORKS, "--from", release.dist)


def reproduce_wheels(release: Release) -> None:
    """Build the sdist and the wheels again from the commit, in changed environments."""
    varied = repeat_option("--vary", release.subset.variations)
    run_wheelworks(release, "reproduce", release.dist, "--source", release.root, *varied)


def record_provenance(release: Release) -> None:
    """Write ``provenance.json``."""
    record = manifest.load(release.dist)
    if record is None:
        raise WheelworksError(f"{release.dist} has no {manifest.FILE}", "nox -s build-wheels")
    paths = (release.root / "requirements").glob("*.txt")
    locks = {f"requirements/{path.name}": hash_file(path) for path in paths}
    statement = provenance.create_provenance(release.files, record, release.commit, release.stem, locks)
    provenance.write_provenance(release.dist, statement)


def record_checksums(release: Release) -> None:
    """Write ``SHA256SUMS``."""
    write_checksums(release.dist, release.attested)


def rehearse_upload(release: Release) -> None:
    """Upload to an index on this machine, and install from it."""
    check_files(release)
    check_checksums(release.dist, [path.name for path in release.attested])
    pin, work = release.stem.replace("-", "=="), release.dist / rehearsal.FOLDER
    rehearsal.rehearse_release(release.files, release.planned, pin, work)


@dataclass(frozen=True)
class ReleaseStep:
    """A step: its name, a summary, the function that does it, and the files that it creates or checks."""

    name: str
    summary: str
    run: Callable[[Release], None]
    files: Callable[[Release], Sequence[Path]] = lambda release: release.files


STEPS = (
    ReleaseStep("build-wheels", "the sdist and every wheel", build_wheels),
    ReleaseStep("audit", "wheels, dependencies, lock files, workflows", audit_wheels),
    ReleaseStep("test-foreign", "the machine code of every wheel", run_wheels),
    ReleaseStep("test-native", "the package's and Tornado's tests on this machine", run_native_tests),
    ReleaseStep(FRAMEWORKS, "the tests of projects that use Tornado", run_framework_tests),
    ReleaseStep("reproduce", "everything again, byte for byte", reproduce_wheels),
    ReleaseStep(PROVENANCE_FILE, "how the files were built", record_provenance, lambda one: one.attested),
    ReleaseStep(
        CHECKSUMS_FILE, "the files' checksums", record_checksums, lambda one: [*one.attested, one.dist / CHECKSUMS_FILE]
    ),
    ReleaseStep("rehearse", "upload to a local index, and install from it", rehearse_upload),
)


class ReleaseState(msgspec.Struct, frozen=True):
    """The steps that are done for a version, commit and subset, each with the SHA-256 of its files by name."""

    version: str
    commit: str
    subset: tuple[str, ...] = ()
    done: dict[str, dict[str, str]] = {}

    def is_done(self, step: str, folder: Path) -> bool:
        """Return whether a step was done and its files haven't changed since."""
        files = self.done.get(step)
        return files is not None and all(hash_file(folder / name) == digest for name, digest in files.items())

    def with_done(self, step: str, files: Iterable[Path]) -> ReleaseState:
        """Return the state after a step was done with ``files``."""
        hashes = {path.name: hash_file(path) for path in files}
        return structs.replace(self, done={**self.done, step: hashes})


def _load_state(release: Release) -> ReleaseState:
    """Return the state of a release; a new one if there is none, an unreadable one, or that of another release."""
    fresh = ReleaseState(release.version, release.commit, release.subset.format_options())
    try:
        found = msgspec.json.decode((release.dist / STATE_FILE).read_bytes(), type=ReleaseState)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return fresh
    return found if structs.replace(found, done={}) == fresh else fresh


def run_steps(release: Release, steps: Sequence[ReleaseStep], update: Callable[[str, str], None]) -> None:
    """Run every step that isn't done or skipped.

    ``update`` gets each step's name with "running", "done", "done before" or "skipped". The state is saved after each
    step. A step whose files have changed is run again, and so are all steps behind it. Raises WheelworksError for a
    failed step, for a file that doesn't belong to the release, and for a file that was changed after its checksum was
    written. A missing file is built again.
    """
    state, again = _prepare_folder(release), False
    for step in steps:
        if step.name in release.subset.skipped:
            update(step.name, "skipped")
            continue
        if not again and state.is_done(step.name, release.dist):
            update(step.name, "done before")
            continue
        again = True
        update(step.name, "running")
        step.run(release)
        state = state.with_done(step.name, step.files(release))
        write_file(release.dist / STATE_FILE, msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
        update(step.name, "done")


def _prepare_folder(release: Release) -> ReleaseState:
    written = (*(path.name for path in release.attested), CHECKSUMS_FILE, STATE_FILE, manifest.FILE)
    remove_leftovers(release.dist, written)
    _check_no_other_files(release)
    state = _load_state(release)
    if CHECKSUMS_FILE in state.done:
        check_unchanged(release.dist)
    elif not state.done:  # these describe the files of an earlier release
        for name in (PROVENANCE_FILE, CHECKSUMS_FILE):
            (release.dist / name).unlink(missing_ok=True)
    return state
