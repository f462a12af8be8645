"""TORNADO_SPEEDUPS_EXTENSION at build time: each value, with C that compiles, C that doesn't, and no compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SOURCE_TREE = Path(__file__).resolve().parents[2]
SWITCH = "TORNADO_SPEEDUPS_EXTENSION"
BUILD = "import setuptools.build_meta as backend, sys; print(backend.build_wheel(sys.argv[1]))"

pytestmark = pytest.mark.integration


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the source tree, because a build writes files next to its sources."""
    copy = tmp_path / "source"
    shutil.copytree(SOURCE_TREE / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for file in SOURCE_TREE.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, copy)
    return copy


def build(source: Path, switch: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    if switch is not None:
        environment[SWITCH] = switch
    command = [sys.executable, "-c", BUILD, str(source.parent)]
    return subprocess.run(command, cwd=source, env=environment, check=False, capture_output=True, text=True)


def break_c(source: Path) -> None:
    (source / "src/tornado_speedups/_speedups/module.c").write_text("#error this cannot be compiled\n")


def built(source: Path, finished: subprocess.CompletedProcess[str]) -> tuple[str, list[str]]:
    """Return the wheel's tag and the names of its files in the package."""
    assert finished.returncode == 0, finished.stderr
    (wheel,) = source.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name.partition("/")[2] for name in archive.namelist() if name.startswith("tornado_speedups/")]
    return wheel.stem.split("-", 2)[2], sorted(names)


def in_python(source: Path) -> list[str]:
    package = source / "src/tornado_speedups"
    files = (path.relative_to(package) for path in package.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if path.parts[0] != "_speedups")


@pytest.mark.parametrize("switch", ["", "1"])
def test_c_is_built(switch: str, source: Path) -> None:
    tag, files = built(source, build(source, switch))
    (extension,) = set(files) - set(in_python(source))
    assert extension.startswith("_speedups.") and extension.endswith((".so", ".pyd"))
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert tag.startswith("cp311-abi3-")
    elif sys.version_info >= (3, 15):
        assert tag.startswith("cp315-abi3.abi3t-")
    else:
        version = f"cp3{sys.version_info.minor}"
        assert tag.startswith(f"{version}-{version}t-")


def test_0_builds_a_pure_wheel(source: Path) -> None:
    break_c(source)
    tag, files = built(source, build(source, "0"))
    assert (tag, files) == ("py3-none-any", in_python(source))


@pytest.mark.parametrize("switch", [None, "1"])
def test_c_that_cannot_be_built_is_an_error(switch: str | None, source: Path) -> None:
    break_c(source)
    finished = build(source, switch)
    assert finished.returncode != 0
    assert "this cannot be compiled" in finished.stderr
    assert "error: the C extension of tornado-speedups can't be built: " in finished.stderr
    assert f"{SWITCH}=0 pip install" in finished.stderr.splitlines()[-1]
    assert list(source.parent.glob("*.whl")) == []


def pip_wheel(sdist: Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Make a wheel of an sdist as `pip install` does, with pip's cache in the folder."""
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment |= {"PIP_CACHE_DIR": str(folder / "cache"), **settings}
    options = ["--no-build-isolation", "--no-index", "--no-deps", "--wheel-dir", str(folder / "wheels")]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(sdist)]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="setuptools finds Microsoft's compiler without CC")
def test_pip_says_that_the_compiler_is_missing_and_keeps_no_wheel(source: Path, tmp_path: Path) -> None:
    code = "import setuptools.build_meta as backend, sys; print(backend.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=source, check=True, capture_output=True)
    [sdist] = tmp_path.glob("*.tar.gz")
    missing = str(tmp_path / "no-compiler")
    finished = pip_wheel(sdist, tmp_path, CC=missing)
    assert finished.returncode == 1
    assert "the C extension of tornado-speedups can't be built" in finished.stderr and missing in finished.stderr
    assert "apt install gcc python3-dev" in finished.stderr
    assert [path for path in tmp_path.rglob("*.whl") if path.is_file()] == []
    assert pip_wheel(sdist, tmp_path).returncode == 0
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    assert "py3-none-any" not in wheel.name


def test_other_values_are_refused(source: Path) -> None:
    finished = build(source, "yes")
    assert finished.returncode != 0
    message = f"{SWITCH} must be 1 (C is needed), 0 (Python only) or unset (C for CPython), not 'yes'"
    assert finished.stderr.strip().splitlines()[-1] == message
