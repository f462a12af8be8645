"""The rehearsal on a real index: uploads that are whole, cut off or repeated, and what comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from wheelworks import wheelfile
from wheelworks.errors import WheelworksError
from wheelworks.release import rehearsal
from wheelworks.release.steps import Release

from tests.fixtures.commands import ROOT

pytestmark = pytest.mark.integration

METADATA = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nSummary: A sample\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of a release, each valid, with nothing but its name in it."""
    folder = tmp_path_factory.mktemp("files")
    wheels = Release(folder, folder, "1.0", "c", "sample-1.0").wheels
    info = "sample-1.0.dist-info"
    for path in wheels:
        name = wheelfile.parse_name(path.name)
        texts = {"sample.py": path.name, f"{info}/METADATA": METADATA, f"{info}/WHEEL": "Wheel-Version: 1.0\n"}
        members = {file: wheelfile.Member(text.encode()) for file, text in texts.items()}
        tagged = wheelfile.with_record(wheelfile.with_tags(members, name.tags, info), info)
        path.write_bytes(wheelfile.archive(tagged, 1_700_000_000))
    return wheels


def test_what_is_uploaded_comes_back_for_every_platform(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with rehearsal.index(tmp_path / "index") as address:
        rehearsal.upload(files[:5], tmp_path / "index", address)  # cut off
        with pytest.raises(WheelworksError, match="came back otherwise"):
            rehearsal.compare(files, tmp_path / "index")
        rehearsal.upload(files, tmp_path / "index", address)  # completed
        rehearsal.upload(files, tmp_path / "index", address)  # nothing to do, nothing doubled
        rehearsal.compare(files, tmp_path / "index")
        rehearsal.download(files, "sample==1.0", tmp_path / "back", address)
    assert gone(urllib.parse.urlsplit(address).port or 0)


def test_a_platform_without_its_wheel_is_found(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    fewer = [path for path in files if "win_arm64" not in path.name]
    with rehearsal.index(tmp_path / "index") as address:
        rehearsal.upload(fewer, tmp_path / "index", address)
        with pytest.raises(WheelworksError, match=r"win_arm64: pip chooses sample-1\.0-py3-none-any\.whl"):
            rehearsal.download(fewer, "sample==1.0", tmp_path / "back", address)


def test_no_server_outlives_a_killed_rehearsal(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from wheelworks.release import rehearsal\n"
        "with rehearsal.index(Path(sys.argv[1])) as address:\n"
        "    print(address, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert gone(urllib.parse.urlsplit(ended.stdout.strip()).port or 0)


def gone(port: int) -> bool:
    """Whether nothing answers at a port, or soon nothing does."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.1)
    return False
