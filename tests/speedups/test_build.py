"""TORNADO_SPEEDUPS_EXTENSION at build time: each value, with C that compiles and C that doesn't."""

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


@pytest.mark.parametrize("switch", [None, "", "1"])
def test_c_is_built(switch: str | None, source: Path) -> None:
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


def test_1_fails_without_c(source: Path) -> None:
    break_c(source)
    finished = build(source, "1")
    assert finished.returncode != 0
    assert "this cannot be compiled" in finished.stderr
    assert list(source.parent.glob("*.whl")) == []


def test_unset_goes_on_without_c(source: Path) -> None:
    break_c(source)
    finished = build(source, None)
    _, files = built(source, finished)
    assert files == in_python(source)
    assert "this cannot be compiled" in finished.stderr


def test_other_values_are_refused(source: Path) -> None:
    finished = build(source, "yes")
    assert finished.returncode != 0
    message = f"{SWITCH} must be 1 (C is needed), 0 (Python only) or unset (C where it can be built), not 'yes'"
    assert finished.stderr.strip().splitlines()[-1] == message
