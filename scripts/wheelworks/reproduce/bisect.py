"""Find the variations that make a difference.

The first build varies everything at once. Only if it differs, further builds find the cause: a build without
variations is compared with the reference, and then with builds under one variation each. If two builds without
variations differ from each other, the clock is stopped to tell timestamps from nondeterminism.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from wheelworks.core import process
from wheelworks.reproduce import environment
from wheelworks.reproduce.differences import ABSENT, PRESENT, ByteDifference, compare_files, find_equal_members
from wheelworks.reproduce.rebuild import BuildOutput, Selection, select_files
from wheelworks.reproduce.variations import Variation

# Causes that are no variation.
NONDETERMINISTIC = "nondeterministic: builds in the same environment differ"
INTERACTION = "interaction: no variation makes a difference alone"
DIFFERENT_TOOLCHAIN = "built differently: rebuilds agree with each other, whatever is varied"
TIMESTAMP = "clock: the bytes contain the time of the build"

_FROZEN_CLOCK = Variation("frozen clock", lambda: "", environment.freeze_clock, environment.check_faketime)
_MAX_LINES = 12  # reported differences of one file

Files = Mapping[str, Path]
BuildFunction = Callable[[Sequence[Variation], Selection | None], BuildOutput]


@dataclass(frozen=True)
class Cause:
    """What makes a difference: the files of a build without it, and the build with it."""

    name: str
    before: Files
    after: BuildOutput

    @cached_property
    def differences(self) -> dict[str, list[ByteDifference]]:
        """The differences in each file that differs. Raises WheelworksError for a damaged one."""
        names = find_differing(self.before, self.after)
        return {name: self._compare(self.before.get(name), self.after.files.get(name)) for name in names}

    def _compare(self, before: Path | None, after: Path | None) -> list[ByteDifference]:
        if before and after:
            return compare_files(before, after)
        why = f"not built:\n{self.after.failure or 'the build succeeded without it'}"
        return [ByteDifference("", "the file itself", PRESENT if before else ABSENT, PRESENT if after else why)]

    def format_lines(self) -> Iterator[str]:
        """Yield each file's name, and below it a line for each difference."""
        for file, found in self.differences.items():
            yield file
            lines = list(_format_differences(found))
            yield from lines[:_MAX_LINES]
            if len(lines) > _MAX_LINES:
                yield f"  and {len(lines) - _MAX_LINES} more"
            before, after = self.before.get(file), self.after.files.get(file)
            if self.name == DIFFERENT_TOOLCHAIN and before and after and file.endswith(".whl"):
                equal = find_equal_members(before, after)
                yield f"  equal, {len(equal)} files: {', '.join(equal)}"


def _format_differences(found: Sequence[ByteDifference]) -> Iterator[str]:
    """Yield a line for each difference; members with the same difference share one."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        same.setdefault((one.where, one.first, one.second), []).append(one.member or "the archive")
    for (where, first, second), members in same.items():
        who = members[0] if len(members) == 1 else f"{len(members)} files, {members[0]} to {members[-1]}"
        yield f"  {who}: {where}" + (f": {first} | {second}" if first or second else "")


def find_differing(files: Files, build: BuildOutput) -> tuple[str, ...]:
    """Return the names of files that a build created with other bytes, didn't create, or created in addition."""
    names = sorted({*files, *build.files})
    return tuple(name for name in names if _read(files.get(name)) != _read(build.files.get(name)))


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def find_causes(
    reference: Files, build: BuildFunction, variations: Sequence[Variation]
) -> tuple[BuildOutput, tuple[Cause, ...]]:
    """Build under all ``variations``. Return that build, and what makes it differ from ``reference``, if it does."""
    varied = build(variations, None)
    differing = find_differing(reference, varied)
    if not differing:
        return varied, ()
    return varied, _Bisection(build, variations, _select_smallest(differing, reference)).explain(reference, varied)


def _select_smallest(differing: Sequence[str], files: Files) -> Selection:
    """Return the smallest selection that shows the difference; every build of a wheel creates the sdist as well."""
    wheels = [name for name in (*differing, *sorted(files)) if name.endswith(".whl")]
    return select_files([name for name in wheels if name in differing] or wheels[:1])


@dataclass
class _Bisection:
    build: BuildFunction
    variations: Sequence[Variation]
    selection: Selection

    def explain(self, reference: Files, varied: BuildOutput) -> tuple[Cause, ...]:
        """Return the causes of the difference between the reference and a build under all variations."""
        reference, varied = self._select(reference), replace(varied, files=self._select(varied.files))
        plain = self._build()
        if not find_differing(reference, plain):
            return self._try_each(reference) or (Cause(INTERACTION, reference, varied),)
        differently = Cause(DIFFERENT_TOOLCHAIN, reference, plain)
        if not find_differing(plain.files, varied):
            return (differently,)
        again = self._build()
        if not find_differing(plain.files, again):
            return (differently, *self._try_each(plain.files))
        return self._explain_instability(plain, again)

    def _build(self, *variations: Variation) -> BuildOutput:
        return self.build(variations, self.selection)

    def _select(self, files: Files) -> dict[str, Path]:
        return {name: path for name, path in files.items() if self.selection.covers(name)}

    def _try_each(self, files: Files, *always: Variation) -> tuple[Cause, ...]:
        """Return each variation that alone changes ``files``, which were built under ``always``."""
        # A frozen clock can't be varied at the same time.
        tried = [one for one in self.variations if one.name != "clock" or _FROZEN_CLOCK not in always]
        with process.thread_pool() as pool:
            builds = list(pool.map(lambda one: self._build(*always, one), tried))
        found = zip(tried, builds, strict=True)
        return tuple(Cause(one.name, files, build) for one, build in found if find_differing(files, build))

    def _explain_instability(self, plain: BuildOutput, again: BuildOutput) -> tuple[Cause, ...]:
        """Two builds without variations differ: by the time, if builds with a frozen clock agree, else at random."""
        if why := environment.check_faketime():
            return (Cause(f"{NONDETERMINISTIC} (or by the clock: {why})", plain.files, again),)
        frozen = self._build(_FROZEN_CLOCK)
        if find_differing(frozen.files, self._build(_FROZEN_CLOCK)):
            return (Cause(NONDETERMINISTIC, plain.files, again),)
        return (Cause(TIMESTAMP, plain.files, again), *self._try_each(frozen.files, _FROZEN_CLOCK))
