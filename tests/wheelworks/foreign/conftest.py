"""Generated wheels, and a separate cache for tests that fill one."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from wheelworks.core.files import get_cache_folder

from tests.wheelworks.foreign.leftovers import MARK, find_workers, list_mounts
from tests.wheelworks.foreign.made import TAG, WheelMaker, compile_module, download_wheel, record_row


@pytest.fixture
def make_wheel(tmp_path: Path) -> WheelMaker:
    """Return a function that writes a wheel of the given files, with a correct RECORD unless one is given."""

    def make(files: Mapping[str, bytes], *, name: str = "demo", tag: str = TAG, record: str | None = None) -> Path:
        wheel = tmp_path / f"{name}-1.0-{tag}.whl"
        rows = record if record is not None else "\n".join(record_row(*item) for item in files.items())
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
            archive.writestr(f"{name}-1.0.dist-info/RECORD", rows)
        return wheel

    return make


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for a single test."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("WHEELWORKS_CACHE", str(cache))
    return cache


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that a test leaves no mounts, binfmt_misc entries or processes on the host."""
    monkeypatch.setenv(MARK, "1")
    before = list_mounts()
    yield
    deadline = time.monotonic() + 5  # the kernel needs some time to remove namespaces
    while (list_mounts() != before or find_workers()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list_mounts() == before and not find_workers()


@pytest.fixture
def no_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that a test leaves no temporary file, and no folder of a run: these are kept apart from other tests'."""
    shared, cache, temporary = get_cache_folder(), tmp_path / "cache", tmp_path / "temporary"
    for name in ("roots", "shims", "libcxx", "test-dependencies", "mount-point"):
        (shared / name).mkdir(parents=True, exist_ok=True)
    cache.mkdir()
    temporary.mkdir()
    for entry in shared.iterdir():
        if not entry.name.startswith("runs"):
            (cache / entry.name).symlink_to(entry)
    monkeypatch.setenv("WHEELWORKS_CACHE", str(cache))
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    assert (cache / "runs").is_dir() and not list((cache / "runs").iterdir())
    assert not list(temporary.iterdir())


@pytest.fixture(scope="session")
def tornado_aarch64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tornado's official Linux wheel for ARM64, which another compiler has built."""
    folder = tmp_path_factory.mktemp("official")
    return download_wheel("tornado==6.6.1", "manylinux2014_aarch64", folder, "--python-version=3.11", "--abi=abi3")


@pytest.fixture(scope="session")
def official_wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that downloads a project's own wheel for a platform and CPython 3.13."""

    @cache
    def download(requirement: str, platform: str) -> Path:
        folder = tmp_path_factory.mktemp("official")
        options = ("--python-version=3.13", "--abi=cp313", "--abi=abi3")
        return download_wheel(requirement, platform, folder, *options)

    return download


@pytest.fixture
def foreign_wheel(tmp_path: Path, make_wheel: WheelMaker) -> Callable[..., Path]:
    """Return a function that compiles C source into the extension module ``bad`` of a wheel for ``cpu``.

    ``target`` is Zig's name of the compiler target."""

    def build(source: str, cpu: str = "aarch64", target: str = "aarch64-linux-gnu.2.17") -> Path:
        module = compile_module(source, tmp_path, target)
        return make_wheel({"bad.abi3.so": module}, name="bad", tag=f"cp311-abi3-linux_{cpu}")

    return build
