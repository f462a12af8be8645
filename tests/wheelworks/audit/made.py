"""Build small pure-Python wheels in memory, for tests that need no compiler."""

from __future__ import annotations

from pathlib import Path

from wheelworks.core.archive import Member, build_archive
from wheelworks.core.wheel import replace_record

INFO = "sample-1.0.dist-info"
METADATA = "Metadata-Version: 2.4\nName: sample\nVersion: 1.0\nLicense-File: LICENSE\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
NAME = "sample-1.0-py3-none-any.whl"


def members(**more: bytes) -> dict[str, Member]:
    """Return the files of a good wheel, with additional ones."""
    files = {
        "sample/__init__.py": b"",
        f"{INFO}/METADATA": METADATA.encode(),
        f"{INFO}/WHEEL": WHEEL.encode(),
        f"{INFO}/licenses/LICENSE": b"free",
    }
    return replace_record({name: Member(data) for name, data in {**files, **more}.items()}, INFO)


def wheel(folder: Path, **more: bytes) -> Path:
    """Write a good wheel with additional files, and return its path."""
    path = folder / NAME
    path.write_bytes(build_archive(members(**more), 1_000_000_000))
    return path
