"""Fuzz the audit's readers with atheris, guided by line coverage.

    python tests/fuzz/readers.py KIND CORPUS -max_total_time=SECONDS

KIND is one of `KINDS`. An exception ends the run, and atheris saves the input that caused it. Binaries aren't fuzzed
here, because LIEF is C++ and can crash the process. The audit reads binaries in a worker process that may die, and
hypothesis tests that.
"""

from __future__ import annotations

import posixpath
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import deflate

with atheris.instrument_imports(include=["wheelworks", "packaging", "zipfile", "tarfile", "csv", "configparser"]):
    from wheelworks.audit import hardening, sdist
    from wheelworks.audit.inspection import inspect_wheel
    from wheelworks.core.archive import Member, build_archive
    from wheelworks.core.wheel import replace_record

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
INFO = "sample-1.0.dist-info"
TEXTS = ("METADATA", "WHEEL", "entry_points.txt", "sboms/a.json", "RECORD", "top_level.txt", "../sample.pth")


def wheel(data: bytes) -> None:
    """Inspect arbitrary bytes as a wheel."""
    path = FOLDER / "sample-1.0-py3-none-any.whl"
    path.write_bytes(data)
    inspect_wheel(path)


def tar(data: bytes) -> None:
    """Inspect arbitrary bytes, compressed with gzip, as an sdist."""
    path = FOLDER / "sample-1.0.tar.gz"
    path.write_bytes(bytes(deflate.gzip_compress(data, 1)))
    sdist.inspect_sdist(path)


def texts(data: bytes) -> None:
    """Inspect a valid wheel in which one metadata file has arbitrary bytes."""
    name = TEXTS[data[0] % len(TEXTS)] if data else TEXTS[0]
    members = {posixpath.normpath(f"{INFO}/{name}"): Member(data[1:])}
    wheel(build_archive(members if name == "RECORD" else replace_record(members, INFO), 1_000_000_000))


def signature(data: bytes) -> None:
    """Check a Mach-O signature of arbitrary bytes over arbitrary data."""
    hardening.find_signature_fault(data[:64], data[64:])


KINDS: dict[str, Callable[[bytes], None]] = {"wheel": wheel, "sdist": tar, "texts": texts, "signature": signature}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], KINDS[sys.argv[1]])
    atheris.Fuzz()
