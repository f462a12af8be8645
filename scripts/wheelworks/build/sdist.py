"""Write sdists whose bytes depend on their contents and time alone (`wheelworks.core.sdist` unpacks untrusted ones)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import deflate

from wheelworks.core.files import write_file


def write_sdist(tree: Path, epoch: int, place: Path) -> Path:
    """Write the sdist of an unpacked tree: sorted, owned by nobody, every file dated ``epoch`` (seconds since 1970).

    An sdist by setuptools has the time at which it was made (pypa/setuptools#2133) and its builder's name. The formats
    are PEP 625's and POSIX.1-2001's (pax).
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in (tree, *sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix())):
            info = tarfile.TarInfo(path.relative_to(tree.parent).as_posix())
            info.mtime, info.mode = epoch, 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            info.type = tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE
            data = b"" if path.is_dir() else path.read_bytes()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    # deflate: the lock file pins the compressor, and the header that it writes has no time
    return write_file(place, bytes(deflate.gzip_compress(raw.getvalue(), 9)))
