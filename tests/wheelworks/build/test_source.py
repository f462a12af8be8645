"""Test SOURCE: its timestamp, its files, and its hash."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import source
from wheelworks.core import source_tree
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures import projects
from tests.fixtures.archives import file, sdist

pytestmark = pytest.mark.usefixtures("may_spawn")


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.path.abspath(os.sep))


@given(st.integers(315_532_800, 4_354_819_198))
def test_an_epoch_that_a_zip_holds(seconds: int) -> None:
    assert source.read_epoch_variable(str(seconds)) == seconds


@given(st.one_of(st.text(), st.integers(max_value=315_532_799).map(str), st.integers(4_354_819_199).map(str)))
def test_any_other_epoch_is_wrong_use(value: str) -> None:
    if value.isascii() and value.isdigit() and 315_532_800 <= int(value) <= 4_354_819_198:
        return
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        source.read_epoch_variable(value)


def test_an_absurdly_long_epoch_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        source.read_epoch_variable("9" * 5000)


def test_no_epoch_is_none() -> None:
    assert source.read_epoch_variable(None) is None


def test_a_folders_time_is_its_commits(tmp_path: Path) -> None:
    folder = projects.committed(projects.sample(tmp_path / "p"), "2024-05-06T07:08:10Z")
    commit, dirty, seconds = source.read_commit(folder)
    assert source.read_directory_epoch(folder, seconds) == 1_714_979_290
    assert (commit, dirty, seconds) == (projects.git(folder, "rev-parse", "HEAD"), False, 1_714_979_290)
    (folder / "sample.c").write_text("changed")
    assert source.read_commit(folder)[1]


def test_the_environment_comes_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    folder = projects.committed(projects.sample(tmp_path / "p"))
    assert source.read_directory_epoch(folder, source.read_commit(folder)[2]) == 1_000_000_000


TIMES = [(1_500_000_000, 1_500_000_000), (5, 315_532_800), (1 << 33, 4_354_819_198)]


@pytest.mark.parametrize(("mtime", "expected"), TIMES)
def test_without_git_the_newest_file_counts(mtime: int, expected: int, tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p", **{"build/x.c": "", ".git-is-not-here": "", "__pycache__/y": ""})
    for path in folder.rglob("*"):
        os.utime(path, (mtime - 1, mtime - 1))
    os.utime(folder / "sample.c", (mtime, mtime))
    os.utime(folder / "build/x.c", (mtime + 50, mtime + 50))
    assert source.read_directory_epoch(folder, source.read_commit(folder)[2]) == expected


@pytest.mark.parametrize(("mtime", "expected"), TIMES)
def test_an_sdists_time_is_one_that_a_zip_holds(mtime: int, expected: int, tmp_path: Path) -> None:
    path = sdist(tmp_path / "x-1.tar.gz", file("x-1/setup.py", mtime=mtime))
    assert source.unpack_source(path, tmp_path / "into").epoch == expected


def test_a_git_trees_files(tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p", **{".gitignore": "ignored*\n", "gone.c": "", "naïve name.c": "ü"})
    projects.committed(folder)
    projects.write(folder, {"untracked.c": "", "ignored.c": "", "build/x.c": "", "deep/untracked.h": ""})
    (folder / "gone.c").unlink()
    copy = source_tree.copy_directory(folder, tmp_path / "copy")
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert names >= {"sample.c", "untracked.c", "deep/untracked.h", "naïve name.c", ".gitignore"}
    assert not names & {"ignored.c", "gone.c"}
    assert projects.git(copy, "rev-parse", "HEAD") == projects.git(folder, "rev-parse", "HEAD")


def test_a_file_that_another_session_removes_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, copy2 = tmp_path / "project", shutil.copy2
    folder.mkdir()
    for name in ("setup.py", "gone", "kept"):
        (folder / name).write_text(name)

    def copy(path: Path, place: Path) -> None:
        if path.name == "gone":
            path.unlink()
        copy2(path, place)

    monkeypatch.setattr(shutil, "copy2", copy)
    copied = source_tree.copy_directory(folder, tmp_path / "copy")
    assert {path.name for path in copied.iterdir()} == {"setup.py", "kept"}


def test_names_with_blanks_at_their_ends(tmp_path: Path) -> None:
    folder = projects.committed(projects.sample(tmp_path / "p", **{" first.c": "", "zz.c\n": ""}))
    copy = source_tree.copy_directory(folder, tmp_path / "copy")
    assert (copy / " first.c").is_file() and (copy / "zz.c\n").is_file()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git take every repository for another user's."""
    for name, value in {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def test_a_repository_of_another_user_stops_the_build(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = projects.committed(projects.sample(tmp_path / "p", **{".gitignore": "secret\n", "secret": "x"}))
    request.getfixturevalue("refusing")
    for read in (source.read_commit, source_tree.list_git_files):
        with pytest.raises(WheelworksError, match=r"(?s)git refuses to read the repository: .*dubious"):
            read(folder)
    with pytest.raises(WheelworksError, match="git refuses"):
        source_tree.copy_directory(folder, tmp_path / "copy")


@pytest.mark.parametrize("place", ["p", "."])
def test_a_work_tree_whose_repository_is_gone_stops_the_build(place: str, tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p")
    (tmp_path / place / ".git").write_text("gitdir: /no/such/place/.git/worktrees/p\n")
    with pytest.raises(WheelworksError, match="git refuses to read the repository: not a git repository"):
        source_tree.list_git_files(folder)


def test_a_repository_without_git_installed_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = projects.committed(projects.sample(tmp_path / "p"))
    plain = projects.sample(tmp_path / "plain")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))  # it may lie in a repository itself
    with pytest.raises(WheelworksError, match="git isn't installed"):
        source_tree.list_git_files(folder)
    assert source_tree.list_git_files(plain) is None


def test_a_repository_above_a_ceiling_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").write_text("gitdir: /no/such/place\n")
    folder = projects.sample(tmp_path / "deep" / "p")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert source_tree.find_repository(folder) is None and source_tree.list_git_files(folder) is None


def test_a_submodule_is_copied_with_its_files(tmp_path: Path) -> None:
    inner = projects.committed(projects.write(tmp_path / "inner", {"lib.c": "int x;"}))
    outer = projects.committed(projects.sample(tmp_path / "outer"))
    projects.git(outer, "submodule", "--quiet", "add", str(inner), "vendor/lib")
    projects.git(outer, "commit", "--quiet", "--message=Add")
    copy = source_tree.copy_directory(outer, tmp_path / "copy")
    assert (copy / "vendor/lib/lib.c").read_text() == "int x;"


def test_without_git_what_tools_leave_is_left_out(tmp_path: Path) -> None:
    left = dict.fromkeys(("build/x", "dist/x", ".venv/x", "__pycache__/x", "x.egg-info/x", ".mypy_cache/x"), "")
    folder = projects.sample(tmp_path / "p", **left)
    copy = source_tree.copy_directory(folder, tmp_path / "copy")
    assert sorted(path.name for path in copy.rglob("*")) == ["MANIFEST.in", "pyproject.toml", "sample.c", "setup.py"]


def test_a_folder_that_another_work_tree_ignores_is_its_own(tmp_path: Path) -> None:
    outer = projects.committed(projects.sample(tmp_path / "outer", **{".gitignore": "/inner/\n"}))
    inner = projects.sample(outer / "inner")
    assert source_tree.list_git_files(inner) is None
    assert source.read_commit(inner) == ("", False, None)
    copy = source_tree.copy_directory(inner, tmp_path / "copy")
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in inner.iterdir())


def test_the_hash_is_of_names_modes_and_contents(tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p")
    before = source.hash_tree(folder)
    assert source.hash_tree(projects.sample(tmp_path / "another" / "place")) == before
    os.utime(folder / "sample.c", (5, 5))
    assert source.hash_tree(folder) == before
    (folder / "sample.c").rename(folder / "renamed.c")
    renamed = source.hash_tree(folder)
    (folder / "setup.py").write_text("")
    assert len({before, renamed, source.hash_tree(folder)}) == 3


@pytest.mark.skipif(os.name != "posix", reason="POSIX's modes")
def test_an_executable_file_has_another_hash(tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p")
    before = source.hash_tree(folder)
    (folder / "setup.py").chmod(0o755)
    assert source.hash_tree(folder) != before


@pytest.mark.parametrize("text", ["", "[project]\n", "[build-system]\n"])
def test_setuptools_is_the_default(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert source.read_build_requirements(tmp_path) == ["setuptools"]


BROKEN = [b"[", b"\xff", b"build-system = 1", b"[build-system]\nrequires = 'x'", b"build-system=[]"]


@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_pyproject_is_reported(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(data)
    with pytest.raises(WheelworksError, match=r"pyproject\.toml"):
        source.read_build_requirements(tmp_path)


@pytest.mark.parametrize(
    ("requires", "backend", "expected"),
    [  # as in argon2-cffi-bindings, contourpy, cryptography, bcrypt, jpype1 and charset-normalizer
        ("scikit-build-core>=1.0", "scikit_build_core.build", "CMake (scikit-build-core), which can't be cross-built"),
        ("meson-python >= 0.18.0", "mesonpy", "Meson (meson-python), which can't be cross-built here"),
        ("maturin>=1.14.1,<2", "maturin", "Rust (maturin), which can't be cross-built here"),
        ("setuptools-rust>=1.7.0", "setuptools.build_meta", "Rust (setuptools-rust), which can't be cross-built here"),
        ("SIP[x]; python_version > '3'", "sipbuild.api", "SIP (sip), which can't be cross-built here"),
        ("flit_core >=3.2,<4", "flit_core.buildapi", "Flit (flit-core), which compiles no extension modules"),
        ("uv_build", "uv_build", "uv (uv-build), which compiles no extension modules"),
        ("setuptools>=68,<84.3", "backend", ""),
        ("hatchling>1.24", "hatchling.build", ""),
        ("pdm-backend", "pdm.backend", ""),
    ],
)
def test_another_build_system_is_refused_by_name(requires: str, backend: str, expected: str, tmp_path: Path) -> None:
    text = f'[build-system]\nrequires = ["wheel", "{requires}"]\nbuild-backend = "{backend}"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    try:
        source.check_build_system(tmp_path)
        found = ""
    except WheelworksError as error:
        found = f"{error.message}; {error.hint}"
    assert expected in found and bool(found) is bool(expected)


def test_git_output_isnt_taken_for_granted(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert source.read_commit(tmp_path) == ("", False, None), "no commit yet"


@pytest.mark.parametrize("with_git", [True, False])
def test_a_loop_of_links_stops_the_copy_at_once(with_git: bool, tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p", **{"deep/x.c": ""})
    (folder / "deep/again").symlink_to("..")
    if with_git:
        projects.committed(folder)
    with pytest.raises(WheelworksError, match="deep/again is a link to a folder that contains it"):
        source_tree.copy_directory(folder, tmp_path / "copy")


def test_links_become_copies(tmp_path: Path) -> None:
    folder = projects.sample(tmp_path / "p", **{"deep/x.c": "x"})
    for name, target in {"folder": "deep", "file.c": "deep/x.c", "dangling": "nowhere"}.items():
        (folder / name).symlink_to(target)
    copy = source_tree.copy_directory(folder, tmp_path / "copy")
    assert (copy / "folder/x.c").read_text() == (copy / "file.c").read_text() == "x"
    assert not (copy / "folder").is_symlink() and not (copy / "dangling").exists()


@pytest.mark.parametrize("above", [True, False])
def test_a_project_below_the_top_of_its_repository(above: bool, tmp_path: Path) -> None:
    setup = 'from setuptools import setup\nsetup(use_scm_version={"root": ".."})\n' if above else None
    projects.sample(tmp_path / "repository/python", setup_py=setup)
    projects.write(tmp_path / "repository", {"shared/x.h": "", "python/own.h": ""})
    projects.committed(tmp_path / "repository")
    copy = source_tree.copy_directory(tmp_path / "repository/python", tmp_path / "copy")
    assert copy == tmp_path / "copy/python" and (copy / "own.h").is_file()
    assert (tmp_path / "copy/shared/x.h").is_file() is above
    assert projects.git(copy, "rev-parse", "--show-toplevel") == str(tmp_path / "copy")
    assert (projects.git(copy, "status", "--porcelain") == "") is above
