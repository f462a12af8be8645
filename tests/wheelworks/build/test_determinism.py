"""Test that a commit always gives the same bytes, whatever the folder, settings, language, clock and CPU count."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, Ended, wheelworks

pytestmark = pytest.mark.integration

NOISE = {
    **dict.fromkeys(("CC", "CXX", "AR", "LDSHARED"), "false"),
    **dict.fromkeys(("CFLAGS", "CPPFLAGS", "CXXFLAGS"), "-march=native -DNOISE -O0 -I/usr/include"),
    **dict.fromkeys(("LDFLAGS", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH"), "/usr/lib"),
    "ARCHFLAGS": "-arch x86_64",
    "MACOSX_DEPLOYMENT_TARGET": "10.9",
    "_PYTHON_HOST_PLATFORM": "linux-noise",
    "LC_ALL": "C",
    "LANG": "tr_TR.UTF-8",
    "TZ": "Pacific/Kiritimati",
    "USER": "another",
    "HOSTNAME": "another",
    "PYTHONHASHSEED": "77",
    "SETUPTOOLS_SCM_PRETEND_VERSION": "9",
    "DISTUTILS_DEBUG": "1",
    "ZIG_VERBOSE_CC": "1",
}


def clone(place: Path) -> Path:
    projects.git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(place))
    return place


def build(source: Path, out: Path, cache: Path, *before: str, **env: str) -> Ended:
    ended = wheelworks("cross-arm64", "--no-run", source, "--out", out, cache=cache, before=before, env=env)
    assert ended.status == 0, ended.err
    return ended


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> dict[str, bytes]:
    """Return the files that a build in a short path and an unchanged environment gives."""
    place = tmp_path_factory.mktemp("r")
    build(clone(place / "a"), place / "out", wheelworks_cache)
    return contents(place / "out")


def test_another_folder_and_other_surroundings(
    reference: dict[str, bytes], tmp_path: Path, wheelworks_cache: Path
) -> None:
    source = clone(tmp_path / "a long way" / "down to" / "naïve folder's depth" / "tornado speedups")
    home, poison = tmp_path / "home", tmp_path / "poison"
    home.mkdir()
    projects.write(poison, {"setuptools/__init__.py": "raise SystemExit('PYTHONPATH reached the build')\n"})
    projects.write(home, {".pydistutils.cfg": "[build_ext]\ndefine = NOISE\n"})
    noise = {**NOISE, "HOME": str(home), "PYTHONPATH": str(poison), "TMPDIR": str(home)}
    cache = tmp_path / "another cache"
    shutil.copytree(wheelworks_cache, cache, symlinks=True, ignore=shutil.ignore_patterns("buildenvs"))
    build(source, tmp_path / "out", cache, "sh", "-c", 'umask 077; exec "$@"', "sh", **noise)
    assert contents(tmp_path / "out") == reference


@pytest.mark.needs("taskset")
def test_another_number_of_cores(reference: dict[str, bytes], tmp_path: Path, wheelworks_cache: Path) -> None:
    first = str(min(os.sched_getaffinity(0)))
    build(clone(tmp_path / "a"), tmp_path / "out", wheelworks_cache, "taskset", "--cpu-list", first)
    assert contents(tmp_path / "out") == reference


def test_files_that_git_ignores_dont_show(reference: dict[str, bytes], tmp_path: Path, wheelworks_cache: Path) -> None:
    source = clone(tmp_path / "a")
    projects.write(source, {"build/lib/x.py": "", "dist/x.whl": "", "src/tornado_speedups/__pycache__/x.pyc": ""})
    projects.write(source, {"src/tornado_speedups.egg-info/SOURCES.txt": "README.md\nnowhere.py\n"})
    build(source, tmp_path / "out", wheelworks_cache)
    assert contents(tmp_path / "out") == reference


def test_the_source_folder_is_left_as_it_was(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = clone(tmp_path / "a")
    before = sorted(source.rglob("*"))
    build(source, tmp_path / "out", wheelworks_cache)
    assert sorted(source.rglob("*")) == before
    assert projects.git(source, "status", "--porcelain", "--ignored") == ""


def test_source_date_epoch_is_honoured(reference: dict[str, bytes], tmp_path: Path, wheelworks_cache: Path) -> None:
    source = clone(tmp_path / "a")
    places = [tmp_path / "one" / "dist", tmp_path / "two" / "dist"]  # the page's commands have the folder's name
    for place in places:
        build(source, place, wheelworks_cache, SOURCE_DATE_EPOCH="1700000001")
    one, two = map(contents, places)
    assert one == two and one.keys() == reference.keys()
    assert all(data != reference[name] for name, data in one.items())
    assert b'"epoch": 1700000001' in one["manifest.json"]


def test_the_sdist_gives_the_wheels_of_the_folder(tmp_path: Path, wheelworks_cache: Path) -> None:
    """Both builds get one epoch. By default a folder has its commit's time, and an sdist its newest file's time."""
    source = projects.committed(projects.sample(tmp_path / "sample"))
    command = "import setuptools.build_meta as backend; backend.build_sdist('..')"
    build(source, tmp_path / "folder", wheelworks_cache, SOURCE_DATE_EPOCH="1700000000")
    subprocess.run([sys.executable, "-c", command], cwd=source, check=True, capture_output=True)
    archive = tmp_path / "sample-1.0.tar.gz"
    build(archive, tmp_path / "sdist", wheelworks_cache, SOURCE_DATE_EPOCH="1700000000")
    of_folder, of_sdist = (
        {name: data for name, data in contents(tmp_path / place).items() if name.endswith(".whl")}
        for place in ("folder", "sdist")
    )
    assert len(of_folder) == 3 and of_folder == of_sdist
