"""What came of rebuilding: which files are the same, what makes the others differ, and where in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import manifest, process
from wheelworks.core.errors import WheelworksError
from wheelworks.reproduce import differences, provenance, rebuild
from wheelworks.reproduce.bisect import DIFFERENT_TOOLCHAIN, Cause, Files, find_causes, find_differing
from wheelworks.reproduce.differences import ByteDifference
from wheelworks.reproduce.rebuild import BuildOutput, Rebuilder, Selection
from wheelworks.reproduce.source import RebuildSource
from wheelworks.reproduce.variations import Variation

Say = Callable[[str], None]
_MOST = 12  # differences shown of one file


@dataclass(frozen=True)
class ExplainedCause:
    """A cause, and for each file that it changes the differences and the members that are equal."""

    name: str
    differences: dict[str, tuple[ByteDifference, ...]]
    equal: dict[str, tuple[str, ...]]

    def lines(self) -> Iterator[str]:
        """It in words, a line for each difference."""
        for file, found in self.differences.items():
            yield file
            told = list(_grouped(found))
            yield from told[:_MOST]
            if len(told) > _MOST:
                yield f"  and {len(told) - _MOST} more"
            if self.name == DIFFERENT_TOOLCHAIN and self.equal[file]:
                yield f"  equal, {len(self.equal[file])} files: {', '.join(self.equal[file])}"


def _grouped(found: Sequence[ByteDifference]) -> Iterator[str]:
    """A line for each difference; members that differ in just the same way share one."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        same.setdefault((one.where, one.first, one.second), []).append(one.member or "the archive")
    for (where, first, second), members in same.items():
        who = members[0] if len(members) == 1 else f"{len(members)} files, {members[0]} to {members[-1]}"
        yield f"  {who}: {where}" + (f": {first} | {second}" if first or second else "")


@dataclass(frozen=True)
class ReproductionResult:
    """The outcome: what was asked for, the build under all variations, whether each file is the same, and causes."""

    reference: Files
    build: BuildOutput
    files: dict[str, bool]
    causes: tuple[ExplainedCause, ...]
    builds: int
    varied: tuple[Variation, ...]
    unvaried: tuple[Variation, ...]
    notes: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether every file came out the same."""
        return bool(self.files) and all(self.files.values())

    def record(self, file: str) -> manifest.ReproductionRecord | None:
        """Return what the manifest keeps of one file's reproduction; None for a file that was not built again."""
        if file not in self.files:
            return None
        causes = {
            one.name: [f"{part.member}: {part.where}" for part in one.differences[file]]
            for one in self.causes
            if file in one.differences
        }
        return manifest.ReproductionRecord(
            same=self.files[file],
            varied=[one.name for one in self.varied],
            not_varied={one.name: one.missing() for one in self.unvaried},
            differs_by=causes,
        )


def reproduce_source(
    subject: RebuildSource, builder: Rebuilder, varied: Sequence[Variation], unvaried: Sequence[Variation]
) -> ReproductionResult:
    """Rebuild a subject under ``varied`` things, and say what came of it.

    Raises WheelworksError where there is nothing to compare with: an sdist that can't be built at all.
    """
    reference, notes = subject.files, _left_out(subject)
    if not reference:
        first = builder([])
        reference = first.files
        if not reference:
            raise WheelworksError(f"{subject.recipe.source.name}: nothing can be built from it:\n{first.failure}")
        notes += [f"some targets can't be built:\n{first.failure}"] if first.failure else []

    def build(variations: Sequence[Variation], chosen: Selection | None) -> BuildOutput:
        built = builder(variations, chosen)
        return _asked_for(reference, built) if subject.files else _paired(reference, built)

    builder.fetch(varied)
    verdict = find_causes(reference, build, varied)
    record = verdict.build.record
    notes += provenance.compare_tools(subject.tools, record.toolchain.versions() if record else {})
    wrong = set(find_differing(reference, verdict.build))
    return ReproductionResult(
        reference,
        verdict.build,
        {name: name not in wrong for name in sorted({*reference, *wrong})},
        tuple(_explained(cause) for cause in verdict.causes),
        len(builder.builds),
        tuple(varied),
        tuple(unvaried),
        tuple(notes),
    )


def _left_out(subject: RebuildSource) -> list[str]:
    return [f"{name}: nothing here builds it, so that it was not built again" for name in subject.without]


def _paired(reference: Files, build: BuildOutput) -> BuildOutput:
    """The same build, its files under the names that they are asked for by.

    A wheel from elsewhere may carry tags that ours doesn't, and one of ours may serve what others make two wheels for,
    or one of theirs.
    """
    pairs = {name: built for name in reference if (built := _match(name, build.files))}
    asked = [name for name in reference if name.endswith(".whl")]
    rest = [name for name in build.files if name not in pairs.values() and not any(_serves(name, one) for one in asked)]
    return replace(
        build,
        files={
            **{name: build.files[built] for name, built in pairs.items()},
            **{name: build.files[name] for name in rest},
        },
    )


def _asked_for(reference: Files, build: BuildOutput) -> BuildOutput:
    """The same build without surplus wheels: what lies in a folder need not be every ABI for every target."""
    paired = _paired(reference, build)
    return replace(paired, files={name: path for name, path in paired.files.items() if name in reference})


def _match(name: str, files: Files) -> str | None:
    if name in files or not name.endswith(".whl"):
        return name if name in files else None
    fitting = [file for file in files if _serves(file, name)]
    # of a universal wheel's halves, the one for ARM64
    return min(fitting, key=lambda file: ("arm64" not in file, file), default=None)


def _serves(file: str, name: str) -> bool:
    """Whether a wheel serves a target of another, by the same ABI; an sdist serves none."""
    return (
        file.endswith(".whl")
        and rebuild.get_wheel_abi(file) == rebuild.get_wheel_abi(name)
        and bool(set(rebuild.get_wheel_targets(file)) & set(rebuild.get_wheel_targets(name)))
    )


def _explained(cause: Cause) -> ExplainedCause:
    found: dict[str, tuple[ByteDifference, ...]] = {}
    equal: dict[str, tuple[str, ...]] = {}
    for name in cause.files:
        before, after = cause.before.get(name), cause.after.files.get(name)
        if before is None or after is None:
            why = cause.after.failure or "it is not among what was built"
            found[name] = (
                ByteDifference(
                    "",
                    "the file itself",
                    "there" if before else "(not there)",
                    "there" if after else f"not built:\n{why}",
                ),
            )
            equal[name] = ()
            continue
        found[name] = tuple(differences.compare_files(before, after))
        same = differences.compare_members(before, after) if name.endswith(".whl") else {}
        equal[name] = tuple(member for member, is_same in same.items() if is_same)
    return ExplainedCause(cause.name, found, equal)


def run_diffoscope(first: Path, second: Path) -> str:
    """What diffoscope says of two files that differ; "" where it isn't installed."""
    if not shutil.which("diffoscope"):
        return ""
    return process.run(["diffoscope", "--max-text-report-size", "200000", first, second], seconds=300).output
