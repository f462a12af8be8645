"""What is reproduced: wheels in a folder, an sdist, a project, or a release that an index has published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import Version

from wheelworks.core import git, index, manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import hash_file, write_file
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.reproduce import provenance, rebuild, variations
from wheelworks.reproduce.provenance import PROVENANCE_FILE
from wheelworks.reproduce.rebuild import BuildRecipe, Selection

SOURCE_HINT = "SOURCE is a folder with wheels and their sdist, a wheel, an sdist, a project's folder, or NAME==VERSION"


@dataclass(frozen=True)
class RebuildSource:
    """What is built again, and the files that must come out."""

    files: Mapping[str, Path]  # the expected files; empty to compare a first build with a second
    recipe: BuildRecipe
    tools: Mapping[str, Any]  # the recorded versions of the tools that built the files
    folder: Path | None = None  # the folder whose manifest keeps the result, if it has one
    unbuildable: tuple[str, ...] = ()  # the wheels for which targets.toml has no target or ABI


def resolve_folder(folder: Path, sdist: Path | None, chosen: Selection) -> RebuildSource:
    """Return the source for a folder's wheels, as `resolve_wheels` does. Raises UsageError if there are none."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise UsageError(f"{folder}: there are no wheels in it", SOURCE_HINT)
    return resolve_wheels(wheels, sdist, chosen, folder)


def resolve_wheels(wheels: Sequence[Path], sdist: Path | None, chosen: Selection, folder: Path) -> RebuildSource:
    """Return the source for the chosen of ``wheels``, built from ``sdist`` or from the one beside them.

    ``folder`` may hold their manifest or provenance. Raises UsageError if there is no sdist or no target for any of
    them, and WheelworksError for a wheel whose hash differs from the manifest's.
    """
    sdist = sdist or _find_sdist(wheels)
    record = manifest.load(folder)
    wanted = {path.name: path for path in wheels if chosen.covers(path.name)}
    files = {name: path for name, path in wanted.items() if rebuild.is_buildable(name)}
    if not files:
        raise UsageError(f"{folder}: no target here for {', '.join(wanted) or 'the chosen wheels'}")
    _check_hashes(files, record)
    recorded = provenance.find_record(folder, files, record)
    recipe = BuildRecipe(sdist, rebuild.select_files(files), recorded.epoch, recorded.passed_env)
    unbuildable = tuple(sorted(wanted.keys() - files.keys()))
    return RebuildSource(files, recipe, recorded.tools, folder if record else None, unbuildable)


def _find_sdist(wheels: Sequence[Path]) -> Path:
    name, folder = parse_wheel_name(wheels[0].name), wheels[0].parent
    wanted = canonicalize_name(name.distribution), Version(name.version)
    for path in sorted(folder.glob("*.tar.gz")):
        try:
            if parse_sdist_filename(path.name) == wanted:
                return path
        except InvalidSdistFilename:
            continue
    file = f"{name.distribution}-{name.version}.tar.gz"
    raise UsageError(f"{folder}: there is no {file} beside the wheels", "name it: --source FILE.tar.gz")


def _check_hashes(files: Mapping[str, Path], record: manifest.Manifest | None) -> None:
    recorded = {wheel.file: wheel.sha256 for wheel in (record.wheels if record else ())}
    for name, path in files.items():
        if name in recorded and hash_file(path) != recorded[name]:
            raise WheelworksError(f"{name}: doesn't have the hash that {manifest.FILE} states", "build it again")


def use_project(source: RebuildSource, project: Path, work: Path, commit: str = "HEAD") -> RebuildSource:
    """Return a source whose sdist must be reproduced as well, from a commit of the project.

    Otherwise nothing would show that the sdist contains what the project does.
    """
    sdist = source.recipe.source
    recipe = replace(source.recipe, source=copy_project(project, work, commit))
    return replace(source, files={sdist.name: sdist, **source.files}, recipe=recipe)


def copy_project(project: Path, work: Path, commit: str = "HEAD") -> Path:
    """Copy a project's folder into ``work``; of a git clone, copy a commit. Raises WheelworksError if git fails."""
    project, folder = project.resolve(), work / "project"
    folder.mkdir()
    if (project / ".git").exists():
        return git.clone(project, folder / project.name, commit)
    return variations.copy_source(project, folder)


def download_release(
    pin: str, chosen: Selection, folder: Path, update: Callable[[str], None]
) -> tuple[list[Path], Path | None]:
    """Download the chosen wheels of ``name==version`` and the sdist, if there is one; return both.

    ``provenance.json`` is downloaded as well if it lies beside the wheels. Raises UsageError if no wheel is chosen, and
    WheelworksError if the index can't be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = index.list_release(pin)
    wanted = [file for file in listed if chosen.covers(file.name)]
    wheels = [file for file in wanted if file.name.endswith(".whl")]
    if not wheels:
        names = ", ".join(file.name for file in listed)
        raise UsageError(f"{pin}: the index has no such wheel of it", f"it has {names}")
    update(f"downloading {len(wanted)} files of {pin}")
    paths = index.download(wanted, folder)
    if content := index.read_beside(wheels[0], PROVENANCE_FILE):
        write_file(folder / PROVENANCE_FILE, content)
    sdist = next((path for path in paths if path.name.endswith(".tar.gz")), None)
    return [path for path in paths if path.suffix == ".whl"], sdist
