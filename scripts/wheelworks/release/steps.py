"""The steps of a release, in their order; each does one thing, and says which files it is about."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks import manifest, plan, processes, targets
from wheelworks.errors import WheelworksError
from wheelworks.release import papers, preconditions, rehearsal, state
from wheelworks.reproduce.provenance import FILE


@dataclass(frozen=True)
class Release:
    """What is released: the checkout, the folder that receives the files, the version, its commit, the files' stem."""

    root: Path
    dist: Path
    version: str
    commit: str
    stem: str

    @property
    def names(self) -> tuple[str, ...]:
        """Exactly the files that a release consists of."""
        wheels = plan.wheels(self.stem, targets.all_targets(), targets.all_abis(), pure=True)
        return (f"{self.stem}.tar.gz", *(one.name for one in wheels))

    @property
    def files(self) -> list[Path]:
        """Where they are."""
        return [self.dist / name for name in self.names]

    @property
    def wheels(self) -> list[Path]:
        """The wheels among them."""
        return [path for path in self.files if path.suffix == ".whl"]


@dataclass(frozen=True)
class Step:
    """One step: its name, what it does in a few words, what does it, and the files that it makes or has looked at."""

    name: str
    says: str
    run: Callable[[Release], None]
    files: Callable[[Release], Sequence[Path]]


def wheelworks(release: Release, *words: str | Path) -> None:
    """Run one of the suite's commands. Raises WheelworksError with the end of what it said where it fails."""
    ended = processes.run([sys.executable, "-m", "wheelworks", *words], cwd=release.root, seconds=7200)
    if ended.status:
        lines = [line for line in ended.output.splitlines() if line.strip()]
        raise WheelworksError(f"{words[0]} failed:\n" + "\n".join(lines[-25:]), f"nox -s {words[0]}")


def build(release: Release) -> None:
    """The sdist and every wheel, and nothing else."""
    wheelworks(release, "build-wheels", release.root, "--out", release.dist, "--no-run")
    exactly(release)


def exactly(release: Release) -> None:
    """Raises WheelworksError for a file of the release that is missing, and for one that is none of it."""
    there = {path.name for pattern in ("*.whl", "*.tar.gz") for path in release.dist.glob(pattern)}
    if missing := sorted(set(release.names) - there):
        raise WheelworksError(f"{missing[0]} is missing", "nox -s build-wheels")
    if surplus := sorted(there - set(release.names)):
        raise WheelworksError(f"{surplus[0]} is no file of this release", f"move it out of {release.dist}")


def sums(release: Release) -> None:
    """``SHA256SUMS``."""
    papers.write_sums(release.dist, release.files)


def provenance(release: Release) -> None:
    """``provenance.json``."""
    record = manifest.load(release.dist)
    if record is None:
        raise WheelworksError(f"{release.dist} has no {manifest.FILE}", "nox -s build-wheels")
    locks = {
        f"requirements/{path.name}": manifest.sha256(path) for path in (release.root / "requirements").glob("*.txt")
    }
    papers.write_provenance(release.dist, papers.provenance(release.files, record, release.commit, release.stem, locks))


def rehearse(release: Release) -> None:
    """Publish to an index of our own, and install from it."""
    papers.check_sums(release.dist, release.names)
    rehearsal.rehearse(release.files, release.stem)


STEPS = (
    Step("build-wheels", "the sdist and every wheel", build, lambda one: one.files),
    Step(
        "audit", "wheels, dependencies, locks", lambda one: wheelworks(one, "audit", *one.wheels), lambda one: one.files
    ),
    Step(
        "test-foreign",
        "the machine code of every wheel",
        lambda one: wheelworks(one, "test-foreign", *one.wheels),
        lambda one: one.files,
    ),
    Step(
        "test-native",
        "the package's and Tornado's tests on this machine",
        lambda one: wheelworks(one, "test-native", *(w for wheel in one.wheels for w in ("--wheel", wheel))),
        lambda one: one.files,
    ),
    Step(
        "reproduce",
        "all of it again, to the byte",
        lambda one: wheelworks(one, "reproduce", one.dist),
        lambda one: one.files,
    ),
    Step(papers.SUMS, "the files' checksums", sums, lambda one: [*one.files, one.dist / papers.SUMS]),
    Step(FILE, "how they were made", provenance, lambda one: [*one.files, one.dist / FILE]),
    Step("rehearse", "upload to an index on this machine, and install from it", rehearse, lambda one: one.files),
)


def begin(root: Path, dist: Path, version: str, name: str) -> Release:
    """Check that a release may begin. Raises WheelworksError."""
    commit = preconditions.check(root, version)
    return Release(root, dist, version, commit, plan.stem(name, version))


def go(release: Release, steps: Sequence[Step], tell: Callable[[str, str], None]) -> None:
    """Take every step that isn't done; ``tell`` hears of each whether it is "under way", "done" or "as before".

    What was done is kept after each step, so that a release that is killed goes on there. A step whose files have
    changed is taken again, and so is every one behind it.
    """
    kept = state.load(release.dist, release.version, release.commit)
    again = False
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
