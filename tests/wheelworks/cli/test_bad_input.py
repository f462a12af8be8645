"""Test invalid input of real programs: each has an exit status and a message, and none prints a traceback.

`test_mistakes.py` has the invalid arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.fixtures import archives, projects, tools
from tests.fixtures.commands import ROOT, environment, wheelworks

pytestmark = pytest.mark.integration

POSIX = pytest.mark.skipif(os.name != "posix", reason="about POSIX permissions and users")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return projects.sample(tmp_path / "project")


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ((), "no command"),
        (("cross-arm46",), "no command 'cross-arm46'"),
        (("cross-arm64", "--colour"), "unrecognized arguments: --colour"),
        (("cross-arm64", "--out", "LICENSE"), "--out LICENSE: it is a file, not a folder"),
        (("host-wheel", "--out", "LICENSE"), "--out LICENSE: it is a file, not a folder"),
    ],
)
def test_wrong_use_as_a_program(words: tuple[str, ...], finding: str, wheelworks_cache: Path) -> None:
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 2
    assert finding in ended.err


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "0", "99999999999999", "1e9", " 5", "٣"])
def test_a_malformed_source_date_epoch(value: str, project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    env = {"SOURCE_DATE_EPOCH": value}
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", tmp_path / "out", cache=wheelworks_cache, env=env)
    assert ended.status == 2
    assert "SOURCE_DATE_EPOCH=" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_truncated_sdist(tmp_path: Path, wheelworks_cache: Path) -> None:
    whole = archives.sdist(tmp_path / "x-1.tar.gz", archives.file("x-1/setup.py", os.urandom(3000))).read_bytes()
    (tmp_path / "x-1.tar.gz").write_bytes(whole[:2000])
    refused(tmp_path / "x-1.tar.gz", "x-1.tar.gz: damaged or not an sdist", tmp_path, wheelworks_cache)


def test_an_sdist_that_is_text(tmp_path: Path, wheelworks_cache: Path) -> None:
    (tmp_path / "x-1.tar.gz").write_text("<html>not found</html>")
    refused(tmp_path / "x-1.tar.gz", "x-1.tar.gz: damaged or not an sdist", tmp_path, wheelworks_cache)


def test_a_hostile_sdist(tmp_path: Path, wheelworks_cache: Path) -> None:
    path = archives.sdist(tmp_path / "x-1.tar.gz", archives.file("x-1/setup.py"), archives.file("../../evil"))
    refused(path, "would be written outside its folder: refused", tmp_path, wheelworks_cache)


def test_an_sdist_of_no_project(tmp_path: Path, wheelworks_cache: Path) -> None:
    path = archives.sdist(tmp_path / "x-1.tar.gz", archives.file("x-1/README"))
    refused(path, "it has neither pyproject.toml nor setup.py", tmp_path, wheelworks_cache)


def test_a_bomb(tmp_path: Path, wheelworks_cache: Path) -> None:
    path = archives.of_zeros(tmp_path / "x-1.tar.gz", archives.header("x-1/bomb", 10 << 30), 10 << 30)
    refused(path, "unpacks to more than 1024 MiB", tmp_path, wheelworks_cache)


def refused(archive: Path, finding: str, tmp_path: Path, cache: Path) -> None:
    ended = wheelworks("cross-arm64", "--no-run", archive, "--out", tmp_path / "out", cache=cache)
    assert ended.status == 1
    assert finding in ended.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("pyproject", "finding"),
    [
        ("[build-system", "pyproject.toml of"),
        ('[build-system]\nrequires = ["///"]\n', "a build requirement can't be read"),
        ('[build-system]\nrequires = "setuptools"\n', "pyproject.toml"),
        ("[build-system]\nrequires = [1]\n", "pyproject.toml"),
        ("build-system = 1\n", "pyproject.toml"),
        ('[build-system]\nrequires = []\nbuild-backend = "nowhere"\n', "nowhere"),
        ("[build-system]\nrequires = []\nbuild-backend = 5\n", "build-backend"),
    ],
)
def test_a_broken_pyproject(pyproject: str, finding: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    project = projects.sample(tmp_path / "project")
    (project / "pyproject.toml").write_text(pyproject)
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", tmp_path / "out", cache=wheelworks_cache)
    assert ended.status == 1
    assert finding in ended.err


def test_a_requirement_that_doesnt_exist(project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    text = projects.PYPROJECT.replace('["setuptools"]', '["setuptools", "setuptools<1,>2"]')
    (project / "pyproject.toml").write_text(text)
    ended = wheelworks("cross-arm64", "--no-run", project, "--out", tmp_path / "out", cache=wheelworks_cache)
    assert ended.status == 1
    assert "the project's build requirements can't be installed" in ended.err


def test_no_python_of_the_floor(project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    made = tmp_path / "bin"
    made.mkdir()
    ended = wheelworks(
        "cross-arm64", project, "--python", str(made / "python3.11"), "--out", tmp_path / "out", cache=wheelworks_cache
    )
    assert ended.status == 2
    assert "python3.11: no such file" in ended.err and "uv python install 3.11" in ended.err and "winget" in ended.err


@pytest.mark.needs("other-python")
def test_a_python_of_another_version(project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    other = tools.find_other_python()
    assert other
    ended = wheelworks(
        "cross-arm64", "--no-run", project, "--python", other, "--out", tmp_path / "out", cache=wheelworks_cache
    )
    assert ended.status == 1
    assert "not 3.11" in ended.err and "pyenv install 3.11" in ended.err


def test_a_python_that_doesnt_run(project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    broken = tmp_path / "python3.11"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 127\n")
    broken.chmod(0o755)
    ended = wheelworks(
        "cross-arm64", "--no-run", project, "--python", broken, "--out", tmp_path / "out", cache=wheelworks_cache
    )
    assert ended.status == 1
    assert "can't be asked for its version" in ended.err


@POSIX
def test_a_folder_that_may_not_be_written(wheelworks_cache: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # other users cannot enter tmp_path
        Path(name).chmod(0o755)
        project, locked = projects.sample(Path(name, "project")), Path(name, "locked")
        locked.mkdir(mode=0o555)
        before = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        probe = [*before, sys.executable, "-c", "import rich, lief"]
        if subprocess.run(probe, check=False, capture_output=True).returncode:
            pytest.skip("the test's Python can't be run by another user")
        ended = wheelworks(
            "cross-arm64", "--no-run", project, "--out", locked / "out", cache=wheelworks_cache, before=before
        )
    assert ended.status == 2
    assert "Permission denied" in ended.err and "name a folder that you may write to" in ended.err


@pytest.mark.needs("namespaces")
@pytest.mark.parametrize("full", ["out", "tmp"])
def test_a_full_disk(full: str, project: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    for folder in ("out", "tmp", "kept"):
        (tmp_path / folder).mkdir()
    size = "4k" if full == "out" else "40k"
    mount = f"mount -t tmpfs -o size={size},mode=777 none {full} || exit 77"
    build = f'cd "$0"; {mount}; cd "$1"; shift; "$@"; status=$?'
    script = f'{build}; cd "$0"; ls -A out tmp > listing; cp out/*.whl kept; exit $status'
    run = [sys.executable, "-m", "wheelworks", "cross-arm64", "--no-run", str(project), "--out", str(tmp_path / "out")]
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(tmp_path), str(ROOT), *run],
        env=environment(wheelworks_cache, TMPDIR=str(tmp_path / "tmp")),
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode == 77 or "unshare failed" in ended.stderr:
        tools.unavailable("no small disk can be mounted here", tools.TOOLS["namespaces"].install)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "No space left on device" in ended.stderr
    names = set((tmp_path / "listing").read_text().split()) - {"out:", "tmp:", "manifest.json"}
    assert all(name.endswith(".whl") and not name.startswith(".") for name in names), "no partial file is left"
    for wheel in (tmp_path / "kept").iterdir():
        assert zipfile.ZipFile(wheel).testzip() is None
