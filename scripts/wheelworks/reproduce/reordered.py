"""The same sdist with its members in another order, for builds that ask the file system for one."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

from wheelworks.errors import WheelworksError


def reordered(archive: Path, place: Path) -> Path:
    """Write ``archive`` (.tar.gz) anew into the folder ``place``, last member first; links stay behind the others.

    Members are copied one at a time, never unpacked. Raises WheelworksError for what is no sdist.
    """
    place.mkdir(parents=True, exist_ok=True)
    copy = place / archive.name
    try:
        with (
            tarfile.open(archive, "r:gz") as old,
            gzip.GzipFile(copy, "wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            members = old.getmembers()[::-1]
            for member in sorted(members, key=lambda one: one.issym() or one.islnk()):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise WheelworksError(f"{archive.name}: damaged, or no sdist: {error}", "download it again") from error
    return copy
