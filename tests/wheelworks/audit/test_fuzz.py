"""Fuzz the readers with atheris for some seconds each. atheris runs on Linux x86-64 only."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import archives
from tests.fixtures.commands import ROOT, environment
from tests.wheelworks.audit import made
from tests.wheelworks.audit.test_sdist import members

SECONDS = 5


def seed(kind: str, folder: Path) -> bytes:
    """Return a valid input for the corpus."""
    if kind == "wheel":
        return made.wheel(folder).read_bytes()
    if kind == "sdist":
        return archives.tar(members())
    if kind == "texts":
        return b"\0" + made.METADATA.encode()
    directory = struct.pack(">IIIIIIIIIBBBB", 0xFADE0C02, 108, 0x20400, 2, 76, 60, 0, 1, 64, 32, 2, 0, 12)
    blob = struct.pack(">IIIII", 0xFADE0CC0, 128, 1, 0, 20) + directory.ljust(76, b"\0") + bytes(32)
    return bytes(64) + blob


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["wheel", "sdist", "texts", "signature"])
def test_no_input_raises(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", exc_type=ImportError)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "good").write_bytes(seed(kind, tmp_path))
    options = [kind, str(corpus), f"-max_total_time={SECONDS}", "-rss_limit_mb=2000", "-timeout=20", "-seed=1"]
    command = [sys.executable, str(ROOT / "tests" / "fuzz" / "readers.py"), *options]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    done = re.search(r"Done (\d+) runs", ended.stderr)
    assert done and int(done[1]) > 200
