"""The steps of a release, in their order; each does one thing, and says which files it is about."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core import manifest, plan, process, targets
from wheelworks.core.errors import WheelworksError
from wheelworks.release import attestation, preconditions, rehearsal, state
from wheelworks.reproduce.provenance import FILE
from wheelworks.reproduce.selection import Selection


@dataclass(frozen=True)
class Part:
    """What a rehearsal is confined to: wheels, CPythons and Tornados that test them, variations; all, where empty."""

    selection: Selection = field(default_factory=Selection)
    pythons: tuple[str, ...] = ()
    tornados: tuple[str, ...] = ()
    variations: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Part()

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
    part: Part = field(default_factory=Part)

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
        return [*self.files, self.dist / FILE]


@dataclass(frozen=True)
class Step:
    """One step: its name, what it does in a few words, what does it, and the files that it makes or has looked at."""

    name: str
    says: str
    run: Callable[[Release], None]
    files: Callable[[Release], Sequence[Path]]


def wheelworks(release: Release, *words: str | Path) -> None:
    """Run one of the suite's commands. Raises WheelworksError with the end of what it said where it fails."""
    ended = process.run([sys.executable, "-m", "wheelworks", *words], cwd=release.root, seconds=7200, tied=True)
    if ended.status:
        lines = [line for line in ended.output.splitlines() if line.strip()]
        raise WheelworksError(f"{words[0]} failed:\n" + "\n".join(lines[-25:]), f"nox -s {words[0]}")


def build(release: Release) -> None:
    """The sdist and every wheel, and nothing else."""
    wheelworks(release, *_build(release), "--no-run")
    exactly(release)


def audit(release: Release) -> None:
    """The wheels, their dependencies, lock files and workflows."""
    wheelworks(release, "audit", release.dist, "--project", release.root)


def run(release: Release) -> None:
    """The machine code of each wheel: on an emulated CPU, or under a real CPython where there is none.

    ``build-wheels`` does so with what is there already, and knows for which wheels there is which way.
    """
    wheelworks(release, *_build(release))


def test(release: Release) -> None:
    """The package's and Tornado's tests, with those wheels that this machine takes."""
    wheelworks(release, "test-native", "--from", release.dist, *release.part.testing())


def reproduce(release: Release) -> None:
    """All of it again, the sdist too, from the commit, in other surroundings."""
    wheelworks(release, "reproduce", release.dist, "--source", release.root, *_each("--vary", release.part.variations))


def _build(release: Release) -> tuple[str | Path, ...]:
    return ("build-wheels", release.root, "--out", release.dist, *release.part.selection.words())


def exactly(release: Release) -> None:
    """Raises WheelworksError for a file of the release that is missing, and for one that is none of it."""
    if missing := sorted(set(release.names) - _there(release)):
        raise WheelworksError(f"{missing[0]} is missing", "nox -s build-wheels")
    nothing_else(release)


def nothing_else(release: Release) -> None:
    """Raises WheelworksError for a wheel or an sdist that is no file of the release."""
    if surplus := sorted(_there(release) - set(release.names)):
        raise WheelworksError(f"{surplus[0]} is no file of this release", f"move it out of {release.dist}")


def _there(release: Release) -> set[str]:
    return {path.name for pattern in ("*.whl", "*.tar.gz") for path in release.dist.glob(pattern)}


def sums(release: Release) -> None:
    """``SHA256SUMS``."""
    attestation.write_sums(release.dist, release.described)


def provenance(release: Release) -> None:
    """``provenance.json``."""
    record = manifest.load(release.dist)
    if record is None:
        raise WheelworksError(f"{release.dist} has no {manifest.FILE}", "nox -s build-wheels")
    locks = {
        f"requirements/{path.name}": manifest.sha256(path) for path in (release.root / "requirements").glob("*.txt")
    }
    attestation.write_provenance(
        release.dist, attestation.provenance(release.files, record, release.commit, release.stem, locks)
    )


def rehearse(release: Release) -> None:
    """Publish to an index of our own, and install from it."""
    exactly(release)
    attestation.check_sums(release.dist, [path.name for path in release.described])
    pin, place = release.stem.replace("-", "=="), release.dist / rehearsal.FOLDER
    rehearsal.rehearse(release.files, release.planned, pin, place)


def _files(release: Release) -> list[Path]:
    return release.files


STEPS = (
    Step("build-wheels", "the sdist and every wheel", build, _files),
    Step("audit", "wheels, dependencies, locks, workflows", audit, _files),
    Step("test-foreign", "the machine code of every wheel", run, _files),
    Step("test-native", "the package's and Tornado's tests on this machine", test, _files),
    Step("reproduce", "all of it again, to the byte", reproduce, _files),
    Step(FILE, "how they were made", provenance, lambda one: one.described),
    Step(attestation.SUMS, "the files' checksums", sums, lambda one: [*one.described, one.dist / attestation.SUMS]),
    Step("rehearse", "upload to an index on this machine, and install from it", rehearse, _files),
)


def begin(root: Path, dist: Path, version: str, name: str, part: Part, *, publish: bool) -> Release:
    """Check that a release may begin. Raises WheelworksError."""
    commit = preconditions.check(root, version, publish=publish)
    return Release(root, dist, version, commit, plan.stem(name, version), part)


def go(release: Release, steps: Sequence[Step], tell: Callable[[str, str], None]) -> None:
    """Take every step that isn't done; ``tell`` hears of each whether it is "under way", "done" or "as before".

    What was done is kept after each step, so that a release that is killed goes on there. A step whose files have
    changed is taken again, and so is every one behind it. Raises WheelworksError for a failed step, for a file that is
    none of the release, and for one that was changed after its checksum was written; one that is gone is made again.
    """
    kept, again = _begun(release), False
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


def _begun(release: Release) -> state.State:
    """What is done already, once the folder is found, or made, fit to go on in."""
    written = (*(path.name for path in release.described), attestation.SUMS, state.FILE, manifest.FILE)
    manifest.sweep(release.dist, written)
    nothing_else(release)
    kept = state.load(release.dist, release.version, release.commit, release.part.words())
    if attestation.SUMS in kept.done:
        attestation.check_unchanged(release.dist)
    elif not kept.done:
        attestation.remove(release.dist)
    return kept
