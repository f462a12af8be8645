"""What is to be reproduced: a folder of wheels, a wheel, an sdist, a project, or what an index has published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import Version

from wheelworks.core import git, index, manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.reproduce import provenance, rebuild, variations
from wheelworks.reproduce.bisect import Files
from wheelworks.reproduce.provenance import PROVENANCE_FILE
from wheelworks.reproduce.rebuild import BuildRecipe, Selection

SOURCE_HINT = "SOURCE is a folder with wheels and their sdist, a wheel, an sdist, a project's folder, or NAME==VERSION"


@dataclass(frozen=True)
class RebuildSource:
    """Files that must come out of a recipe; none, where the first build tells what should come out of the second.

    ``tools`` is what is recorded of the toolchain that made them, ``folder`` where a manifest keeps what came of it,
    ``without`` the wheels that nothing here can build.
    """

    files: Files
    recipe: BuildRecipe
    tools: Mapping[str, Any]
    folder: Path | None = None
    without: tuple[str, ...] = ()


def resolve_folder(folder: Path, source: Path | None, chosen: Selection) -> RebuildSource:
    """A folder's wheels; the source is the sdist in it unless it is given. Raises WheelworksError, UsageError."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise UsageError(f"{folder}: there are no wheels in it", SOURCE_HINT)
    return resolve_wheels(wheels, source or _sdist_for(wheels), chosen, folder)


def resolve_wheels(wheels: Sequence[Path], source: Path, chosen: Selection, folder: Path) -> RebuildSource:
    """Wheels out of one source; ``folder`` may hold their manifest or provenance.

    Raises WheelworksError for a wheel that isn't what its manifest says, UsageError where none of them can be built.
    """
    record = manifest.load(folder)
    wanted = {path.name: path for path in wheels if chosen.covers(path.name)}
    files = {name: path for name, path in wanted.items() if rebuild.is_buildable(name)}
    if not files:
        raise UsageError(f"{folder}: nothing here builds {', '.join(wanted) or 'what was chosen of it'}")
    _check(files, record)
    stated = provenance.find_record(folder, files, record)
    recipe = BuildRecipe(source, rebuild.select_files(files), stated.epoch, stated.seen)
    return RebuildSource(
        files, recipe, stated.tools, folder if record else None, tuple(sorted(wanted.keys() - files.keys()))
    )


def _check(files: Files, record: manifest.Manifest | None) -> None:
    recorded = {wheel.file: wheel.sha256 for wheel in (record.wheels if record else ())}
    for name, path in files.items():
        if name in recorded and manifest.sha256(path) != recorded[name]:
            raise WheelworksError(f"{name}: isn't the file that {manifest.FILE} tells of", "build it again")


def resolve_wheel(wheel: Path, source: Path | None) -> RebuildSource:
    """One wheel. Raises UsageError where no target here fits its tags."""
    return resolve_wheels([wheel], source or _sdist_for([wheel]), Selection(), wheel.parent)


def resolve_sdist(archive: Path, chosen: Selection) -> RebuildSource:
    """An sdist alone: builds of it must agree with each other."""
    return RebuildSource({}, BuildRecipe(archive, chosen), {})


def resolve_project(folder: Path, chosen: Selection, work: Path) -> RebuildSource:
    """A project's folder: its sdist, too, must be the same each time. Raises WheelworksError."""
    return RebuildSource({}, BuildRecipe(copy_project(folder, work), chosen), {})


def use_project(subject: RebuildSource, folder: Path, work: Path, commit: str = "HEAD") -> RebuildSource:
    """The same files, and the sdist that they were to be built from, out of a project's folder. Raises WheelworksError.

    Else nothing would show that the sdist holds what the project does.
    """
    sdist = subject.recipe.source
    files = {sdist.name: sdist, **subject.files}
    return replace(subject, files=files, recipe=replace(subject.recipe, source=copy_project(folder, work, commit)))


def copy_project(folder: Path, work: Path, commit: str = "HEAD") -> Path:
    """A project's folder once more, within ``work``: of git's, what is committed, as of a commit.

    Raises WheelworksError where git can't clone it.
    """
    place = work / "project"
    place.mkdir()
    if (folder / ".git").exists():
        return git.clone(folder.resolve(), place / folder.resolve().name, commit)
    return variations.copy_source(folder.resolve(), place)


def _sdist_for(wheels: Sequence[Path]) -> Path:
    """The sdist beside wheels, of their name and version."""
    name, folder = parse_wheel_name(wheels[0].name), wheels[0].parent
    wanted = canonicalize_name(name.distribution), Version(name.version)
    for path in sorted(folder.glob("*.tar.gz")):
        try:
            found = parse_sdist_filename(path.name)
        except InvalidSdistFilename:
            continue
        if found == wanted:
            return path
    file = f"{name.distribution}-{name.version}.tar.gz"
    raise UsageError(f"{folder}: there is no {file} beside the wheels", "name it: --source FILE.tar.gz")


def download_release(
    pin: str, chosen: Selection, into: Path, say: Callable[[str], None]
) -> tuple[list[Path], Path | None]:
    """Download the chosen wheels of ``name==version``, and the sdist if there is one; returns both.

    ``provenance.json`` comes into the same folder where it lies beside them. Raises UsageError where no wheel is left,
    and WheelworksError where the index can't be asked.
    """
    into.mkdir(parents=True, exist_ok=True)
    listed = index.list_release(pin)
    wanted = [file for file in listed if chosen.covers(file.name)]
    wheels = [file for file in wanted if file.name.endswith(".whl")]
    if not wheels:
        raise UsageError(
            f"{pin}: the index has no such wheel of it", f"it has {', '.join(file.name for file in listed)}"
        )
    say(f"downloading {len(wanted)} files of {pin}")
    paths = index.download(wanted, into)
    if told := index.read_beside(wheels[0], PROVENANCE_FILE):
        manifest.write(into / PROVENANCE_FILE, told)
    sdists = [path for path in paths if path.name.endswith(".tar.gz")]
    return [path for path in paths if path.suffix == ".whl"], sdists[0] if sdists else None
