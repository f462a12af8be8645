"""Test typical mistakes as a user makes them: each message says what is wrong, where, and what to do.

The commands run in this process; `test_slow_mistakes.py` has what needs a build. None prints a traceback or leaves a
file behind.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheelworks import __main__
from wheelworks.core import process
from wheelworks.core.errors import Unsupported
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.foreign import machine
from wheelworks.foreign.pythons import find_runtimes

from tests.fixtures import projects

WHEEL = "sample-1.0-cp311-abi3-win_arm64.whl"
DAMAGED = "damaged-1.0-cp311-abi3-win_arm64.whl"
OTHER = "other-1.0-cp311-abi3-win_arm64.whl"
MATURIN = '[build-system]\nrequires = ["maturin>=1"]\nbuild-backend = "maturin"\n'
MANIFEST = '{"schema": 1, "wheels": []}'


@dataclass(frozen=True)
class Ended:
    """The exit status of a command, and all that it printed."""

    status: int
    text: str


@dataclass(frozen=True)
class Mistake:
    """A command line, its exit status, and the parts of its message: what is wrong, where, what to do."""

    line: str
    status: int
    what: str
    where: str
    do: str


Run = Callable[[str], Ended]

MISTAKES = [
    Mistake("", 2, "no command", "no command", "one of: cross-arm64, build-wheels"),
    Mistake("cross-arm46", 2, "no command", "'cross-arm46'", "did you mean cross-arm64?"),
    Mistake("build-wheels --targt win32", 2, "unrecognized arguments", "--targt", "did you mean --target?"),
    Mistake("build-wheels --out", 2, "expected one argument", "--out", "build-wheels -- --help lists the options"),
    Mistake(f"test-foreign --how emulatd {WHEEL}", 2, "invalid choice", "--how", "did you mean emulated?"),
    Mistake(f"compare {WHEEL}", 2, "required", "B", "compare -- --help"),
    Mistake("build-wheels nowhere", 2, "no such file or folder", "nowhere", "name a project's folder or its sdist"),
    Mistake("build-wheels empty", 2, "neither pyproject.toml nor setup.py", "empty", "name a project's folder"),
    Mistake("build-wheels text.txt", 2, "neither a folder nor an sdist", "text.txt", "name a project's folder"),
    Mistake(f"build-wheels {WHEEL}", 2, "neither a folder nor an sdist", WHEEL, "name a project's folder"),
    Mistake("build-wheels project --target win_arm46", 2, "unknown target", "'win_arm46'", "did you mean win_arm64?"),
    Mistake("build-wheels project --target solaris", 2, "unknown target", "'solaris'", "the targets are win_arm64,"),
    Mistake("build-wheels project --abi cp38", 2, "unknown ABI", "'cp38'", "the ABIs are cp310-abi3,"),
    Mistake("build-wheels project --env CFLAGS", 2, "not of the form NAME=VALUE", "--env CFLAGS", "--env CFLAGS=-O2"),
    Mistake("build-wheels project --prefix win_arm64", 2, "not of the form", "--prefix win_arm64", "TARGET=DIR"),
    Mistake(
        "build-wheels project --out text.txt", 2, "a file, not a folder", "--out text.txt", "that you may write to"
    ),
    Mistake("build-wheels project --out text.txt/dist", 2, "Not a directory", "--out text.txt/dist", "name a folder"),
    Mistake("cross-arm64 project --python no/python --out out", 2, "no such file", "no/python", "install 3.11"),
    Mistake("build-wheels damaged-1.0.tar.gz --out out", 1, "damaged or not an sdist", "damaged-1.0", "again"),
    Mistake("cross-arm64 rust --out out", 1, "can't be cross-built here", "rust", "maturin build --zig --target"),
    Mistake("cross-arm64 broken --out out", 1, "can't be read", "pyproject.toml of broken", "correct that line"),
    Mistake("test-foreign nowhere.whl", 2, "no such file", "nowhere.whl", "name wheel files, such as dist/*.whl"),
    Mistake("test-foreign text.txt", 2, "not a wheel's file name", "text.txt", "name wheel files"),
    Mistake("test-foreign damaged-1.0.tar.gz", 2, "not a wheel's file name", "damaged-1.0.tar.gz", "name wheel files"),
    Mistake("test-foreign wrong-name.whl", 2, "not a wheel's file name", "wrong-name.whl", "name wheel files"),
    Mistake(f"test-foreign {DAMAGED}", 1, "damaged, or not a wheel", DAMAGED, "again: nox -s test-foreign"),
    Mistake(f"test-foreign {WHEEL} --python 3.99", 2, "Debian has no CPython", "3.99", "available versions: 3.11"),
    Mistake(f"test-foreign {WHEEL} --root nowhere", 2, "no CPython", "--root nowhere", "name a root file system"),
    Mistake(f"test-foreign {WHEEL} --tests project", 2, "project", "--tests project", "--source SDIST"),
    Mistake("audit nowhere.whl", 2, "no such file or folder", "nowhere.whl", "name wheels, or build some"),
    Mistake("audit text.txt", 2, "there is no wheel among these", "text.txt", "name wheels, sdists, or their folders"),
    Mistake("audit empty", 2, "there is no wheel in this folder", "empty", "build some: nox -s cross-arm64"),
    Mistake("audit --explain what", 2, "no code", "'what'", "the codes are W001 to"),
    Mistake(f"audit {WHEEL} --cpu avx3", 2, "no such feature", "--cpu avx3", "one of: adx,"),
    Mistake("reproduce empty", 2, "neither pyproject.toml nor setup.py", "empty", "name a project's folder"),
    Mistake("reproduce nowhere", 2, "no such file or folder", "nowhere", "a folder with wheels and their sdist"),
    Mistake(f"reproduce {WHEEL}", 2, "there is no sample-1.0.tar.gz beside", ".:", "--source FILE.tar.gz"),
    Mistake("reproduce project --vary clok", 2, "unknown variation", "--vary clok", "one of: temporary folder,"),
    Mistake("reproduce project --keep text.txt", 2, "a file, not a folder", "--keep text.txt", "that you may write to"),
    Mistake(f"compare {WHEEL} {OTHER} --no-run", 2, "the first set is of sample", "other", "sets of one project"),
    Mistake(f"compare {WHEEL} text.txt --no-run", 2, "not a wheel's file name", "text.txt", "name a wheel, a folder"),
    Mistake(f"compare {WHEEL} empty --no-run", 2, "no wheels in this folder", "empty", "name the folder that a build"),
    Mistake(f"compare {DAMAGED} {DAMAGED} --no-run", 1, "damaged, or not a wheel", DAMAGED, "download the wheel again"),
    Mistake("report nowhere", 2, "there is no manifest.json", "nowhere", "build wheels first"),
    Mistake("report old", 1, "no manifest of this version", "old/manifest.json", "delete it and build again"),
    Mistake("report cut", 1, "no manifest of this version", "cut/manifest.json", "delete it and build again"),
    Mistake(
        "lint-project nowhere", 2, "no such folder", "nowhere", "name the folder with the project's pyproject.toml"
    ),
    Mistake("lint-project empty", 2, "it has no pyproject.toml", "empty", "name the folder with the project's"),
    Mistake("release 1.0", 2, "not a project: it has no pyproject.toml", "place", "run it in the project's folder"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line in the folder of `place`, as the program does."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests' own handlers stay
    for name in ("watch_parent", "stop_all"):  # the tests' process goes on
        monkeypatch.setattr(process, name, lambda: None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("COLUMNS", "200")

    def main(line: str) -> Ended:
        status = __main__.main(line.split())
        said = capsys.readouterr()
        return Ended(status, " ".join((said.out + said.err).split()))

    return main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the current folder: a project, projects that can't be built, and files that aren't what they seem."""
    folder = tmp_path / "place"
    texts = dict.fromkeys(("text.txt", WHEEL, DAMAGED, OTHER, "wrong-name.whl", "damaged-1.0.tar.gz"), "no archive")
    texts |= {"rust/pyproject.toml": MATURIN, "broken/pyproject.toml": "[build-system\n"}
    projects.write(folder, texts | {"old/manifest.json": MANIFEST, "cut/manifest.json": MANIFEST[:9]})
    projects.sample(folder / "project")
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    return folder


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.line)
def test_a_mistake_is_explained(mistake: Mistake, run: Run, place: Path, tmp_path: Path) -> None:
    before = listing(tmp_path)
    ended = run(mistake.line)
    assert ended.status == mistake.status, ended.text
    for part in (mistake.what, mistake.where, mistake.do):
        assert part in ended.text
    assert "error" in ended.text and any(word in ended.text for word in ("hint:", "try:", "again:")), ended.text
    assert "Traceback" not in ended.text
    assert listing(tmp_path) == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_release_that_is_not_ready_is_explained(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = projects.write(place / "project", {"CHANGELOG.md": "# Changelog\n"})
    projects.committed(folder)
    projects.git(folder, "branch", "--move", "topic")
    monkeypatch.chdir(folder)
    for line, what, do in (
        ("release 1.0", "the current branch is topic", "git switch main"),
        ("release 1.0.x", "1.0.x: not a version", "such as 1.2.0"),
        ("release 1.0.0", "pyproject.toml has version 1.0, not 1.0.0", "change it there, and commit"),
        ("release 1.0", "CHANGELOG.md has no entry for 1.0", 'write "## 1.0" above the changes'),
    ):
        ended = run(line)
        assert ended.status in (1, 2) and what in ended.text and f"hint: {do}" in ended.text, ended.text
        if "branch" in what:
            projects.git(folder, "branch", "--move", "main")
    (folder / "new.txt").touch()
    assert "the work tree isn't clean: ?? new.txt hint: git commit, or git stash" in run("release 1.0").text
    assert not (folder / "dist").exists()


def test_a_missing_emulator_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_emulator", lambda _: None)
    [runtime] = find_runtimes(parse_wheel_name("a-1-cp313-cp313-manylinux_2_17_s390x.whl"), ("3.13",))
    with pytest.raises(Unsupported, match=r"qemu-s390x-static isn't installed: apt-get install .* qemu-user-static"):
        machine.require_emulator(runtime)
