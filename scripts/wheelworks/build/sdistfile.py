"""Write an sdist whose bytes depend on its contents and its time alone (PEP 625; POSIX.1-2001 for tar)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import deflate

from wheelworks.core.manifest import write


def from_tree(tree: Path, epoch: int, place: Path) -> Path:
    """The sdist of an unpacked one: every file dated ``epoch`` (seconds since 1970), in order, owned by nobody.

    setuptools' own bears the time of its making (pypa/setuptools#2133), and its builder's name.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in (tree, *_within(tree)):
            info = tarfile.TarInfo(path.relative_to(tree.parent).as_posix())
            info.mtime, info.mode = epoch, 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            if path.is_dir():
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)
    # the compressor that the lock file pins; its header names no time
    return write(place, bytes(deflate.gzip_compress(raw.getvalue(), 9)))


def _within(tree: Path) -> Iterator[Path]:
    return iter(sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()))
