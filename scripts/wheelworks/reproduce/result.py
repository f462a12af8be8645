"""The result of `reproduce`: which files came out the same, and what makes the others differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.reproduce import provenance
from wheelworks.reproduce.bisect import Cause, Files, find_causes, find_differing
from wheelworks.reproduce.rebuild import BuildOutput, Rebuilder, Selection, find_wheel_targets, get_wheel_abi
from wheelworks.reproduce.source import RebuildSource
from wheelworks.reproduce.variations import Variation


@dataclass(frozen=True)
class ReproductionResult:
    """The result of rebuilding a source."""

    reference: Files  # the files to reproduce
    build: BuildOutput  # the build under all variations
    files: dict[str, bool]  # whether each file came out the same
    causes: tuple[Cause, ...]
    builds: int
    varied: tuple[Variation, ...]
    unvaried: tuple[Variation, ...]  # what can't be varied on this host
    notes: tuple[str, ...]  # remarks for the user

    @property
    def reproduced(self) -> bool:
        """Whether every file came out the same."""
        return bool(self.files) and all(self.files.values())

    @property
    def differing_pairs(self) -> dict[str, tuple[Path, Path]]:
        """The files that differ and exist on both sides: the reference and the rebuilt file, by name."""
        built = self.build.files
        names = [name for name, same in self.files.items() if not same and name in self.reference and name in built]
        return {name: (self.reference[name], built[name]) for name in names}

    def create_record(self, file: str) -> manifest.ReproductionRecord | None:
        """Return the manifest's record of a file's reproduction; None for a file that wasn't built again."""
        if file not in self.files:
            return None
        found = {one.name: one.differences[file] for one in self.causes if file in one.differences}
        causes = {name: [f"{part.member}: {part.where}" for part in parts] for name, parts in found.items()}
        varied = [one.name for one in self.varied]
        unvaried = {one.name: one.check() for one in self.unvaried}
        same = self.files[file]
        return manifest.ReproductionRecord(same=same, varied=varied, not_varied=unvaried, differs_by=causes)


def reproduce_source(
    source: RebuildSource, builder: Rebuilder, varied: Sequence[Variation], unvaried: Sequence[Variation]
) -> ReproductionResult:
    """Rebuild a source under the ``varied`` variations. Raises WheelworksError if an sdist can't be built at all."""
    reference, notes = source.files, [f"{name}: not built again: no target for it here" for name in source.unbuildable]
    if not reference:
        first = builder([])
        reference = first.files
        if not reference:
            raise WheelworksError(f"{source.recipe.source.name}: can't be built:\n{first.failure}")
        notes += [f"some targets can't be built:\n{first.failure}"] if first.failure else []

    def build(variations: Sequence[Variation], chosen: Selection | None) -> BuildOutput:
        return _match_files(reference, builder(variations, chosen), only_these=bool(source.files))

    builder.download_inputs(varied)
    output, causes = find_causes(reference, build, varied)
    notes += provenance.compare_tools(source.tools, output.record.toolchain.versions() if output.record else {})
    wrong = set(find_differing(reference, output))
    files = {name: name not in wrong for name in sorted({*reference, *wrong})}
    changed = tuple(varied), tuple(unvaried)
    return ReproductionResult(reference, output, files, causes, builder.builds, *changed, tuple(notes))


def _match_files(reference: Files, build: BuildOutput, *, only_these: bool) -> BuildOutput:
    """Return a build with its files under the names of the reference.

    The wheels of another builder may have other tags than ours, and one wheel of either may serve the targets of two
    of the other. With ``only_these``, files that match none are dropped: a folder needn't hold every ABI and target.
    """
    pairs = {name: built for name in reference if (built := _find_match(name, build.files))}
    files = {name: build.files[built] for name, built in pairs.items()}
    if not only_these:
        extra = build.files.keys() - set(pairs.values())
        files |= {name: build.files[name] for name in sorted(extra) if not any(_serves(name, one) for one in reference)}
    return replace(build, files=files)


def _find_match(name: str, files: Files) -> str | None:
    if name in files or not name.endswith(".whl"):
        return name if name in files else None
    fitting = [file for file in files if _serves(file, name)]
    # A universal2 wheel is compared with the one for ARM64.
    return min(fitting, key=lambda file: ("arm64" not in file, file), default=None)


def _serves(file: str, name: str) -> bool:
    """Return whether both are wheels of one ABI that share a target."""
    if not file.endswith(".whl") or not name.endswith(".whl") or get_wheel_abi(file) != get_wheel_abi(name):
        return False
    return bool(set(find_wheel_targets(file)) & set(find_wheel_targets(name)))
