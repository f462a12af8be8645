"""The rehearsal on a real index: uploads that are whole, cut off or repeated, and what comes back."""

from __future__ import annotations

import socket
import urllib.parse
from pathlib import Path

import pytest
from wheelworks import wheelfile
from wheelworks.errors import WheelworksError
from wheelworks.release import rehearsal
from wheelworks.release.steps import Release

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
    port = urllib.parse.urlsplit(address).port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port or 0), timeout=5)


def test_a_platform_without_its_wheel_is_found(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    fewer = [path for path in files if "win_arm64" not in path.name]
    with rehearsal.index(tmp_path / "index") as address:
        rehearsal.upload(fewer, tmp_path / "index", address)
        with pytest.raises(WheelworksError, match=r"win_arm64: pip chooses sample-1\.0-py3-none-any\.whl"):
            rehearsal.download(fewer, "sample==1.0", tmp_path / "back", address)
