"""Copies of a source, an sdist or a project's folder, made in the usual order or in another."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from pathlib import Path

from wheelworks.core.errors import WheelworksError


def copied(source: Path, place: Path) -> Path:
    """Copy an sdist or a folder, ``.git`` included, into the folder ``place``."""
    target = place / source.name
    if source.is_dir():
        return Path(shutil.copytree(source, target, symlinks=True))
    return Path(shutil.copyfile(source, target))


def reversed_copy(source: Path, place: Path) -> Path:
    """Copy an sdist or a folder into the folder ``place`` so that the last file is made first.

    Raises WheelworksError for what is no sdist.
    """
    place.mkdir(parents=True, exist_ok=True)
    return _folder(source, place / source.name) if source.is_dir() else _sdist(source, place / source.name)


def _folder(source: Path, target: Path) -> Path:
    paths = sorted(source.rglob("*"), reverse=True)
    target.mkdir()
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_file():
            shutil.copy2(path, place)
        else:
            place.mkdir(exist_ok=True)
    return target


def _sdist(archive: Path, copy: Path) -> Path:
    """Members are copied one at a time, never unpacked; links stay behind the files that they name."""
    try:
        with (
            tarfile.open(archive, "r:gz") as old,
            gzip.GzipFile(copy, "wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            members = old.getmembers()[::-1]
            for member in sorted(members, key=lambda one: one.issym() or one.islnk()):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise WheelworksError(f"{archive.name}: damaged, or no sdist: {error}", "download it again") from error
    return copy
