"""The rehearsal with a real index: complete, interrupted and repeated uploads, and downloads."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name, replace_record, replace_tags
from wheelworks.release import rehearsal
from wheelworks.release.steps import Release, ReleaseSubset
from wheelworks.reproduce.rebuild import Selection

from tests.fixtures.commands import ROOT

pytestmark = pytest.mark.integration

METADATA = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nSummary: A sample\n"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A subset of a release. Its wheels are valid and contain only their own name."""
    folder = tmp_path_factory.mktemp("files")
    chosen = Selection(("win_arm64", "macosx_11_0_arm64", "musllinux_1_2_aarch64"))
    shutil.copy(ROOT / "pyproject.toml", folder)  # which states the ABIs
    one = Release(folder, folder, "1.0", "c", "sample-1.0", ReleaseSubset(chosen))
    info = "sample-1.0.dist-info"
    for path in [path for path in one.files if path.suffix == ".whl"]:
        name = parse_wheel_name(path.name)
        texts = {"sample.py": path.name, f"{info}/METADATA": METADATA, f"{info}/WHEEL": "Wheel-Version: 1.0\n"}
        members = {file: Member(text.encode()) for file, text in texts.items()}
        tagged = replace_record(replace_tags(members, name.tags, info), info)
        path.write_bytes(build_archive(tagged, 1_700_000_000))
    return one


@pytest.fixture(scope="module")
def files(release: Release) -> list[Path]:
    """The release's wheels: three platforms with three ABIs each. The Linux wheels support both glibc and musl."""
    found = [path for path in release.files if path.suffix == ".whl"]
    assert len(found) == 9
    return found


def test_uploads_can_be_downloaded_for_every_platform(release: Release, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with rehearsal.serve_index(tmp_path / "index") as address:
        rehearsal.upload_files(files[:5], tmp_path / "index", address)  # an upload that stops between two files
        cut_off(files[5], address)  # an upload that stops within a file
        with pytest.raises(WheelworksError, match="different bytes than were uploaded"):
            rehearsal.compare_folder(files, tmp_path / "index")
        rehearsal.upload_files(files, tmp_path / "index", address)  # completes the upload
        rehearsal.upload_files(files, tmp_path / "index", address)  # uploads nothing twice
        rehearsal.compare_folder(files, tmp_path / "index")
        rehearsal.download_files(files, release.planned, "sample==1.0", tmp_path / "back", address)
    assert gone(urllib.parse.urlsplit(address).port or 0)
    assert len(list((tmp_path / "back").rglob("*.whl"))) == 12  # the Linux wheels are downloaded for glibc and for musl


def cut_off(path: Path, address: str) -> None:
    """Send half of an upload and disconnect."""
    begin = b'--x\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n--x\r\nContent-Disposition: '
    begin += f'form-data; name="content"; filename="{path.name}"\r\n\r\n'.encode()
    head = "POST / HTTP/1.0\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n"
    size = path.stat().st_size
    with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(address).port or 0), timeout=5) as connection:
        connection.sendall(head.format(len(begin) + size + 9).encode() + begin + path.read_bytes()[: size // 2])


def test_a_platform_without_its_wheel_is_reported(release: Release, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    fewer = [path for path in files if path.name != "sample-1.0-cp311-abi3-win_arm64.whl"]
    pure = tmp_path / "sample-1.0-py3-none-any.whl"
    shutil.copyfile(files[0], pure)
    with rehearsal.serve_index(tmp_path / "index") as address:
        rehearsal.upload_files([*fewer, pure], tmp_path / "index", address)
        with pytest.raises(WheelworksError, match=r"win_arm64: pip picks sample-1\.0-py3-none-any\.whl"):
            rehearsal.download_files(fewer, release.planned, "sample==1.0", tmp_path / "back", address)


@pytest.mark.parametrize("installer", rehearsal.INSTALLERS)
def test_a_package_that_fails_the_smoke_test_is_reported(installer: str, files: list[Path], tmp_path: Path) -> None:
    """The package comes from this index, because no other index has it."""
    (tmp_path / "index").mkdir()
    pure = tmp_path / "sample-1.0-py3-none-any.whl"
    shutil.copyfile(files[0], pure)
    with rehearsal.serve_index(tmp_path / "index") as address:
        rehearsal.upload_files([pure], tmp_path / "index", address)
        with pytest.raises(WheelworksError, match=rf"(?s)installed by {installer} fails the smoke test:.*tornado"):
            rehearsal.install_package(installer, "sample==1.0", tmp_path / "new", rehearsal.get_index_options(address))
        with pytest.raises(WheelworksError, match=r"install failed(?s:.*)other==1\.0"):
            rehearsal.install_package(installer, "other==1.0", tmp_path / "newer", rehearsal.get_index_options(address))


def test_no_server_outlives_a_killed_rehearsal(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from wheelworks.release import rehearsal\n"
        "with rehearsal.serve_index(Path(sys.argv[1])) as address:\n"
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
    """Return whether a port refuses connections within ten seconds."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.1)
    return False
