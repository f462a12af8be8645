"""Which variation makes a difference: all at once first, and one at a time only where that showed one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import process
from wheelworks.reproduce import environment, rebuild
from wheelworks.reproduce.rebuild import BuildOutput, Selection
from wheelworks.reproduce.variations import Variation

# What no variation of surroundings explains.
NONDETERMINISTIC = "chance: builds in the same surroundings differ"
INTERACTION = "several together: none does it alone"
DIFFERENT_TOOLCHAIN = "made otherwise: rebuilds agree with each other, whatever is varied"

_FROZEN_CLOCK = Variation(
    "a clock that stands still", lambda: environment.FROZEN_TIME, environment.freeze_clock, environment.check_faketime
)

Files = Mapping[str, Path]
BuildFunction = Callable[[Sequence[Variation], Selection | None], BuildOutput]


@dataclass(frozen=True)
class Cause:
    """A culprit, and what shows it: the files of a build without it beside those of the build with it alone."""

    name: str
    files: tuple[str, ...]
    before: Files
    after: BuildOutput


@dataclass(frozen=True)
class BisectResult:
    """What came of it: the first varied build, and the causes of what differs; none, where it is the same."""

    build: BuildOutput
    causes: tuple[Cause, ...] = ()


def find_differing(files: Files, build: BuildOutput) -> tuple[str, ...]:
    """The names of files that a build has not made to the byte, or has made beyond them."""
    names = sorted({*files, *build.files})
    return tuple(name for name in names if _bytes(files.get(name)) != _bytes(build.files.get(name)))


def _bytes(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def find_causes(reference: Files, build: BuildFunction, variations: Sequence[Variation]) -> BisectResult:
    """Build under all ``variations``; where that differs from ``reference``, name what makes the difference."""
    inquiry = _Bisection(reference, build, variations)
    first = inquiry.built(variations)
    causes = inquiry.causes(first) if find_differing(reference, first) else ()
    return BisectResult(first, causes)


def _select_smallest(wrong: Sequence[str], files: Files) -> Selection:
    """The least that must be built to show what is wrong: an sdist comes about with any wheel."""
    wheels = [name for name in (*wrong, *sorted(files)) if name.endswith(".whl")]
    return rebuild.select_files([name for name in wheels if name in wrong] or wheels[:1])


class _Bisection:
    def __init__(self, reference: Files, build: BuildFunction, variations: Sequence[Variation]) -> None:
        self.reference, self.build, self.variations = reference, build, variations
        self.selection: Selection | None = None

    def built(self, variations: Sequence[Variation]) -> BuildOutput:
        return self.build(variations, self.selection)

    def only(self, files: Files) -> dict[str, Path]:
        """Those that are built over and over."""
        return {name: path for name, path in files.items() if self.selection is None or self.selection.covers(name)}

    def causes(self, varied: BuildOutput) -> tuple[Cause, ...]:
        """Of the difference between the reference and a build under all variations."""
        self.selection = _select_smallest(find_differing(self.reference, varied), self.reference)
        reference, varied = self.only(self.reference), replace(varied, files=self.only(varied.files))
        plain = self.built([])
        if not find_differing(reference, plain):
            return self.one_at_a_time(reference, []) or (_cause(INTERACTION, reference, varied),)
        otherwise = _cause(DIFFERENT_TOOLCHAIN, reference, plain)
        if not find_differing(plain.files, varied):
            return (otherwise,)
        again = self.built([])
        if not find_differing(plain.files, again):
            return (otherwise, *self.one_at_a_time(plain.files, []))
        return self.unsteady(plain, again)

    def one_at_a_time(self, files: Files, always: Sequence[Variation]) -> tuple[Cause, ...]:
        """Each variation that by itself makes a difference to ``files``, which were built under ``always``."""
        with process.thread_pool() as pool:
            builds = list(pool.map(lambda one: self.built([*always, one]), self.variations))
        found = zip(self.variations, builds, strict=True)
        return tuple(_cause(one.name, files, build) for one, build in found if find_differing(files, build))

    def unsteady(self, plain: BuildOutput, again: BuildOutput) -> tuple[Cause, ...]:
        """Two plain builds differ: by the time, if they agree once the clock stands still; else by chance."""
        if environment.check_faketime():
            return (
                _cause(f"{NONDETERMINISTIC} (or by the clock: {environment.check_faketime()})", plain.files, again),
            )
        held = self.built([_FROZEN_CLOCK])
        if find_differing(held.files, self.built([_FROZEN_CLOCK])):
            return (_cause(NONDETERMINISTIC, plain.files, again),)
        clock = _cause("clock: each second counts", plain.files, again)
        others = [one for one in self.variations if one.name != "clock"]
        self.variations = others
        return (clock, *self.one_at_a_time(held.files, [_FROZEN_CLOCK]))


def _cause(name: str, before: Files, after: BuildOutput) -> Cause:
    return Cause(name, find_differing(before, after), before, after)
