"""What is done of a release, kept beside its files, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.core import manifest, plan, process, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.release import attestation, publishing, rehearsal
from wheelworks.reproduce.provenance import PROVENANCE_FILE
from wheelworks.reproduce.rebuild import Selection

STATE_FILE = ".release.json"


@dataclass(frozen=True)
class ReleaseState:
    """The steps that are done, each with the SHA-256 of every file that it is about.

    It is for one version and commit, and for what a rehearsal was confined to, if it was.
    """

    version: str
    commit: str
    part: tuple[str, ...] = ()
    done: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def is_done(self, step: str, folder: Path) -> bool:
        """Whether a step was done, and its files are still what they were."""
        files = self.done.get(step)
        return files is not None and all(manifest.sha256(folder / name) == digest for name, digest in files.items())

    def with_done(self, step: str, files: Iterable[Path]) -> ReleaseState:
        """The state once a step is done with ``files``."""
        hashes = {path.name: manifest.sha256(path) for path in files}
        return replace(self, done={**self.done, step: hashes})

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        record = {"version": self.version, "commit": self.commit, "part": self.part, "done": self.done}
        manifest.write(folder / STATE_FILE, (json.dumps(record, indent=1) + "\n").encode())


def load_state(folder: Path, version: str, commit: str, part: tuple[str, ...] = ()) -> ReleaseState:
    """The state of this version, commit and part; a new one where there is none, or that of another release."""
    fresh = ReleaseState(version, commit, part)
    try:
        found = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        done = {
            str(step): {str(name): str(digest) for name, digest in files.items()}
            for step, files in found["done"].items()
        }
        theirs = found["version"], found["commit"], tuple(found["part"])
        return replace(fresh, done=done) if theirs == (version, commit, part) else fresh
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return fresh  # nothing that can be relied on: every step is done again


@dataclass(frozen=True)
class ReleaseSubset:
    """What a rehearsal is confined to: wheels, CPythons and Tornados that test them, variations; all, where empty."""

    selection: Selection = field(default_factory=Selection)
    pythons: tuple[str, ...] = ()
    tornados: tuple[str, ...] = ()
    variations: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == ReleaseSubset()

    def words(self) -> tuple[str, ...]:
        """It in a fixed order, so that what was done for one part isn't taken as done for another."""
        return (*self.selection.words(), *self.testing(), *_each("--vary", self.variations))

    def testing(self) -> tuple[str, ...]:
        """The options of test-native."""
        return (*_each("--python", self.pythons), *_each("--tornado", self.tornados))


def _each(option: str, values: Sequence[str]) -> Iterator[str]:
    return (word for value in values for word in (option, value))


@dataclass(frozen=True)
class Release:
    """What is released: the checkout, the folder that receives the files, the version, its commit, the files' stem."""

    root: Path
    dist: Path
    version: str
    commit: str
    stem: str
    part: ReleaseSubset = field(default_factory=ReleaseSubset)

    @property
    def planned(self) -> tuple[plan.Planned, ...]:
        """Its wheels."""
        chosen = self.part.selection
        rows = targets.select(chosen.targets) or targets.all_targets()
        abis = [abi for abi in targets.all_abis() if not chosen.abis or abi.id in chosen.abis]
        pure = plan.PURE in chosen.abis if chosen.abis else not chosen.targets
        return plan.wheels(self.stem, rows, abis, pure=pure)

    @property
    def names(self) -> tuple[str, ...]:
        """Exactly the files that a release consists of."""
        return (f"{self.stem}.tar.gz", *(one.name for one in self.planned))

    @property
    def files(self) -> list[Path]:
        """Where they are."""
        return [self.dist / name for name in self.names]

    @property
    def described(self) -> list[Path]:
        """What ``SHA256SUMS`` tells of: the files, and the account of how they were made."""
        return [*self.files, self.dist / PROVENANCE_FILE]


@dataclass(frozen=True)
class ReleaseStep:
    """One step: its name, what it does in a few words, what does it, and the files that it makes or has looked at."""

    name: str
    says: str
    run: Callable[[Release], None]
    files: Callable[[Release], Sequence[Path]]


def run_wheelworks(release: Release, *words: str | Path) -> None:
    """Run one of the suite's commands. Raises WheelworksError with the end of what it said where it fails."""
    ended = process.run([sys.executable, "-m", "wheelworks", *words], cwd=release.root, seconds=7200, tied=True)
    if ended.status:
        lines = [line for line in ended.output.splitlines() if line.strip()]
        raise WheelworksError(f"{words[0]} failed:\n" + "\n".join(lines[-25:]), f"nox -s {words[0]}")


def build_wheels(release: Release) -> None:
    """The sdist and every wheel, and nothing else."""
    run_wheelworks(release, *_build(release), "--no-run")
    check_exact_files(release)


def audit_wheels(release: Release) -> None:
    """The wheels, their dependencies, lock files and workflows."""
    run_wheelworks(release, "audit", release.dist)
    run_wheelworks(release, "lint-project", release.root)


def run_wheels(release: Release) -> None:
    """The machine code of each wheel: on an emulated CPU, or under a real CPython where there is none.

    ``build-wheels`` does so with what is there already, and knows for which wheels there is which way.
    """
    run_wheelworks(release, *_build(release))


def run_native_tests(release: Release) -> None:
    """The package's and Tornado's tests, with those wheels that this machine takes."""
    run_wheelworks(release, "test-native", "--from", release.dist, *release.part.testing())


def reproduce_wheels(release: Release) -> None:
    """All of it again, the sdist too, from the commit, in other surroundings."""
    run_wheelworks(
        release, "reproduce", release.dist, "--source", release.root, *_each("--vary", release.part.variations)
    )


def _build(release: Release) -> tuple[str | Path, ...]:
    return ("build-wheels", release.root, "--out", release.dist, *release.part.selection.words())


def check_exact_files(release: Release) -> None:
    """Raises WheelworksError for a file of the release that is missing, and for one that is none of it."""
    if missing := sorted(set(release.names) - _list_files(release)):
        raise WheelworksError(f"{missing[0]} is missing", "nox -s build-wheels")
    check_no_extra_files(release)


def check_no_extra_files(release: Release) -> None:
    """Raises WheelworksError for a wheel or an sdist that is no file of the release."""
    if surplus := sorted(_list_files(release) - set(release.names)):
        raise WheelworksError(f"{surplus[0]} is no file of this release", f"move it out of {release.dist}")


def _list_files(release: Release) -> set[str]:
    return {path.name for pattern in ("*.whl", "*.tar.gz") for path in release.dist.glob(pattern)}


def record_checksums(release: Release) -> None:
    """``SHA256SUMS``."""
    attestation.write_checksums(release.dist, release.described)


def record_provenance(release: Release) -> None:
    """``provenance.json``."""
    record = manifest.load(release.dist)
    if record is None:
        raise WheelworksError(f"{release.dist} has no {manifest.FILE}", "nox -s build-wheels")
    locks = {
        f"requirements/{path.name}": manifest.sha256(path) for path in (release.root / "requirements").glob("*.txt")
    }
    attestation.write_provenance(
        release.dist, attestation.create_provenance(release.files, record, release.commit, release.stem, locks)
    )


def rehearse_upload(release: Release) -> None:
    """Publish to an index of our own, and install from it."""
    check_exact_files(release)
    attestation.check_checksums(release.dist, [path.name for path in release.described])
    pin, place = release.stem.replace("-", "=="), release.dist / rehearsal.FOLDER
    rehearsal.rehearse_release(release.files, release.planned, pin, place)


def _files(release: Release) -> list[Path]:
    return release.files


STEPS = (
    ReleaseStep("build-wheels", "the sdist and every wheel", build_wheels, _files),
    ReleaseStep("audit", "wheels, dependencies, locks, workflows", audit_wheels, _files),
    ReleaseStep("test-foreign", "the machine code of every wheel", run_wheels, _files),
    ReleaseStep("test-native", "the package's and Tornado's tests on this machine", run_native_tests, _files),
    ReleaseStep("reproduce", "all of it again, to the byte", reproduce_wheels, _files),
    ReleaseStep(PROVENANCE_FILE, "how they were made", record_provenance, lambda one: one.described),
    ReleaseStep(
        attestation.CHECKSUMS_FILE,
        "the files' checksums",
        record_checksums,
        lambda one: [*one.described, one.dist / attestation.CHECKSUMS_FILE],
    ),
    ReleaseStep("rehearse", "upload to an index on this machine, and install from it", rehearse_upload, _files),
)


def begin_release(root: Path, dist: Path, version: str, name: str, part: ReleaseSubset, *, publish: bool) -> Release:
    """Check that a release may begin. Raises WheelworksError."""
    commit = publishing.check_preconditions(root, version, publish=publish)
    return Release(root, dist, version, commit, plan.stem(name, version), part)


def run_steps(release: Release, steps: Sequence[ReleaseStep], tell: Callable[[str, str], None]) -> None:
    """Take every step that isn't done; ``tell`` hears of each whether it is "under way", "done" or "as before".

    What was done is kept after each step, so that a release that is killed goes on there. A step whose files have
    changed is taken again, and so is every one behind it. Raises WheelworksError for a failed step, for a file that is
    none of the release, and for one that was changed after its checksum was written; one that is gone is made again.
    """
    kept, again = _prepare_folder(release), False
    for step in steps:
        if not again and kept.is_done(step.name, release.dist):
            tell(step.name, "as before")
            continue
        again = True
        tell(step.name, "under way")
        step.run(release)
        kept = kept.with_done(step.name, step.files(release))
        kept.save(release.dist)
        tell(step.name, "done")


def _prepare_folder(release: Release) -> ReleaseState:
    """What is done already, once the folder is found, or made, fit to go on in."""
    written = (*(path.name for path in release.described), attestation.CHECKSUMS_FILE, STATE_FILE, manifest.FILE)
    manifest.sweep(release.dist, written)
    check_no_extra_files(release)
    kept = load_state(release.dist, release.version, release.commit, release.part.words())
    if attestation.CHECKSUMS_FILE in kept.done:
        attestation.check_unchanged_files(release.dist)
    elif not kept.done:
        attestation.remove_attestation(release.dist)
    return kept
