"""What is to be reproduced: a folder of ours, a wheel, an sdist, or what an index has published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from wheelworks import manifest, targets, wheelfile
from wheelworks.errors import UsageError, WheelworksError
from wheelworks.reproduce import provenance
from wheelworks.reproduce.culprits import Files
from wheelworks.reproduce.rebuild import Recipe
from wheelworks.targets import Target

HINT = "SOURCE is a folder with wheels and their sdist, a wheel, an sdist (.tar.gz), or a requirement NAME==VERSION"


@dataclass(frozen=True)
class Subject:
    """Files that must come out of a recipe; none, where the first build tells what should come out of the second.

    ``tools`` is what is recorded of the toolchain that made them, ``folder`` where a manifest keeps what came of it,
    ``without`` the wheels that nothing here can build.
    """

    files: Files
    recipe: Recipe
    tools: manifest.Record
    folder: Path | None = None
    without: tuple[str, ...] = ()


def rows(wheel: str) -> tuple[Target, ...]:
    """The targets that a wheel is for, by its tags; the macOS ones for a universal wheel.

    Raises WheelworksError for what is no wheel's name.
    """
    platforms = wheelfile.parse_name(wheel).platforms
    universal = any(tag.startswith("macosx") and tag.endswith("universal2") for tag in platforms)
    return tuple(row for row in targets.all_targets() if platforms & set(row.tags) or (universal and row.os == "macos"))


def of_folder(folder: Path, source: Path | None, chosen: Sequence[Target]) -> Subject:
    """A folder's wheels; the source is the sdist in it unless it is given. Raises WheelworksError, UsageError."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise UsageError(f"{folder}: there are no wheels in it", HINT)
    return of_wheels(wheels, source or _sdist_for(wheels), chosen, folder)


def of_wheels(wheels: Sequence[Path], source: Path, chosen: Sequence[Target], folder: Path) -> Subject:
    """Wheels out of one source; ``folder`` may hold their manifest or provenance, which then must know each of them."""
    record = manifest.load(folder)
    kept = {path.name: path for path in wheels if not chosen or set(rows(path.name)) & set(chosen)}
    files = {name: path for name, path in kept.items() if rows(name)}
    recorded = {wheel["file"]: wheel["sha256"] for wheel in (record or {}).get("wheels", ())}
    for name, path in files.items():
        if name in recorded and manifest.sha256(path) != recorded[name]:
            raise WheelworksError(f"{name}: isn't the file that {manifest.FILE} tells of", "build it again")
    stated = provenance.load(folder)
    ids = tuple(dict.fromkeys(row.id for name in files for row in rows(name)))
    epoch, tools, seen = stated or provenance.of_manifest(record or {})
    recipe = Recipe(source, ids, epoch, seen)
    known = folder if record and set(files) <= set(recorded) else None
    return Subject(files, recipe, tools, known, tuple(sorted(kept.keys() - files.keys())))


def of_sdist(archive: Path, chosen: Sequence[Target]) -> Subject:
    """An sdist alone: builds of it must agree with each other."""
    return Subject({}, Recipe(archive, tuple(row.id for row in chosen)), {})


def _sdist_for(wheels: Sequence[Path]) -> Path:
    """The sdist beside wheels, of their name and version."""
    name = wheelfile.parse_name(wheels[0].name)
    for path in sorted(wheels[0].parent.glob("*.tar.gz")):
        try:
            project, version = parse_sdist_filename(path.name)
        except InvalidSdistFilename:
            continue
        if project == canonicalize_name(name.distribution) and str(version) == name.version:
            return path
    raise UsageError(
        f"{wheels[0].parent}: there is no {name.distribution}-{name.version}.tar.gz beside the wheels",
        "name it: --source FILE.tar.gz",
    )


def of_wheel(wheel: Path, source: Path | None) -> Subject:
    """One wheel. Raises UsageError where no target here fits its tags."""
    if not rows(wheel.name):
        tags = ", ".join(sorted(wheelfile.parse_name(wheel.name).platforms))
        raise UsageError(f"{wheel.name}: nothing here builds for {tags}", f"the targets are {_ids()}")
    return of_wheels([wheel], source or _sdist_for([wheel]), (), wheel.parent)


def _ids() -> str:
    return ", ".join(row.id for row in targets.all_targets())
