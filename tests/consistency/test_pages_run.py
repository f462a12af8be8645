"""Run the commands that README and the how-to pages show, page after page, in a clone of this project.

Each ``nox -s NAME --`` is replaced by the command that the session runs. tests/wheelworks/test_distribution.py runs the
commands of the tutorial, including nox. Commands that take many minutes are left out: DEAR names the file that runs
each of them.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fixtures import commands, downloads, pages, projects, tools
from tests.fixtures.commands import ROOT

HOWTO = ROOT / "docs/howto"
# The order matters: the first commands build what later ones read. The page about the user's own project is last.
PAGES = (ROOT / "README.md", *(HOWTO / f"{name}.md" for name in ("add-a-platform", "add-a-c-function")))
PAGES += tuple(HOWTO / f"{name}.md" for name in ("debug-an-emulation", "release"))
OWN_PROJECT = HOWTO / "your-noxfile.md"
CI, WHEELWORKS = ".ci/run", "tests/wheelworks"


class Elsewhere(NamedTuple):
    """Where a command runs instead: a file, the text in it that shows this, and the part that it leaves out."""

    file: str
    words: str
    left_out: str = ""


OFFICIAL, SELECTED = f"{WHEELWORKS}/build/test_cibuildwheel.py", "choosing files, which is pytest's own"
DEAR = {
    "python3 bootstrap.py -s cross-arm64": Elsewhere(CI, "python3 bootstrap.py -s cross-arm64\n"),
    "python3 bootstrap.py -s test-suite": Elsewhere(
        CI, "python3 bootstrap.py -s test-suite -- --integration ", "leaving the slow tests out"
    ),
    "nox -s test-suite -- tests/speedups": Elsewhere(CI, "-s test-suite -- --integration ", SELECTED),
    "nox -s test-suite -- tests/consistency tests/wheelworks/core/test_targets.py": Elsewhere(
        CI, "-s test-suite -- --integration ", SELECTED
    ),
    "nox -s build-wheels": Elsewhere(CI, "python3 bootstrap.py -s build-wheels\n"),
    "nox -s build-wheels -- tornado-6.6.1.tar.gz --out dist-tornado": Elsewhere(
        "tests/conftest.py",
        '"build-wheels", "--no-run", published.sdist("tornado==6.6.1"), "--out", out',
        "running the 45 wheels",
    ),
    "nox -s build-wheels -- --builder cibuildwheel --out wheelhouse": Elsewhere(
        OFFICIAL,
        '"build-wheels", sdist, "--builder", "cibuildwheel", *words, "--out"',
        "all targets but one, which --target chooses",
    ),
    "nox -s compare -- dist wheelhouse --subset": Elsewhere(
        OFFICIAL,
        'wheelworks("compare", built.cross, built.cibuildwheel, "--subset"',
        "wheels of other targets than one",
    ),
    "wheelworks compare dist wheelhouse --subset": Elsewhere(
        OFFICIAL, 'wheelworks("compare", built.cross, built.cibuildwheel, "--subset"', "a project other than this one"
    ),
    "nox -s compare -- dist-tornado tornado==6.6.1": Elsewhere(
        f"{WHEELWORKS}/compare/test_official.py", 'wheelworks("compare", tornado_release, RELEASE'
    ),
    "nox -s test-foreign -- dist/*linux*.whl --how cpython --tests tornado": Elsewhere(
        f"{WHEELWORKS}/foreign/test_foreign.py",
        'run(tornado_aarch64, tests="tornado")',
        "other CPUs than ARM64, and the options' way from the command line",
    ),
    "nox -s test-foreign -- FILE.whl --tests project --source SDIST.tar.gz": Elsewhere(
        f"{WHEELWORKS}/foreign/test_project_run.py",
        '["--tests", "project", "--source", TALLIES, "--python", "3.13"]',
        "an sdist in place of a folder",
    ),
    "nox -s test-native": Elsewhere(
        CI,
        "python3 bootstrap.py -s test-native -- --python 3.11\n",
        "CPythons other than this and the next line's 3.13",
    ),
    "nox -s test-native -- --wheel dist/FILE.whl --python 3.13 --tornado 6.6.1": Elsewhere(
        f"{WHEELWORKS}/testing/test_native.py",
        '["--wheel", str(faulty), "--python", "3.11", "--tornado", "6.6", ',
        "Tornado by its whole version",
    ),
    "nox -s test-autobahn -- --sections all": Elsewhere(
        CI, "python3 bootstrap.py -s test-autobahn\n", "the sections that aren't run by default, an hour of them"
    ),
    "nox -s test-frameworks": Elsewhere(
        "scripts/wheelworks/release/steps.py",
        'run_wheelworks(release, FRAMEWORKS, "--from", release.dist)',
        "the wheel that it builds itself",
    ),
    "nox -s test-frameworks -- flower bokeh": Elsewhere(
        f"{WHEELWORKS}/testing/test_frameworks_run.py", 'wheelworks("test-frameworks", "flower"', "other projects"
    ),
    "nox -s reproduce -- .": Elsewhere(
        f"{WHEELWORKS}/reproduce/test_command.py", 'wheelworks("reproduce", ROOT, *words, ', "most targets"
    ),
    "nox -s reproduce -- tornado==6.6.1": Elsewhere(
        f"{WHEELWORKS}/reproduce/test_tornado.py",
        '"reproduce", RELEASE, *CHOSEN, "--vary=umask", ',
        "all wheels but three, and all that is varied but the umask",
    ),
    "nox -s report -- --pictures assets": Elsewhere(
        f"{WHEELWORKS}/report/test_chromium.py", '"report", tmp_path, "--pictures", '
    ),
    "nox -s bench -- --compare main": Elsewhere(
        f"{WHEELWORKS}/bench/test_compare.py", '("bench", "--compare", "HEAD", "mask")', "two of its three suites"
    ),
    "nox -s bench -- applications": Elsewhere(
        f"{WHEELWORKS}/bench/test_applications.py",
        '"-s", "bench", "--", "applications", "--quick"',
        "five of seven rounds",
    ),
}
# Options that are added to a line, to make it faster or to keep new vulnerabilities from failing it. The wheels of
# `cross-arm64` are run by .ci/run's own.
LESS = {
    "nox -s bench": " --quick --only speedups --only cross",
    "wheelworks build-wheels --abi cp311-abi3": " --no-run",
}
LESS |= dict.fromkeys(("nox -s audit", "nox -s audit -- dist/FILE.whl --verbose"), " --offline")
LESS |= dict.fromkeys(
    (
        "nox -s cross-arm64",
        "nox -s cross-arm64 -- --target win_arm64 --target manylinux_2_17_aarch64",
        "nox -s cross-arm64 -- --target manylinux_2_17_aarch64 --verbose",
    ),
    " --no-run",
)
# Commands that must fail: the example has no licence file (the tutorial says so), and --strict makes that a failure.
FAILS = {"wheelworks audit --strict --sarif"}
# What lines need that a plain machine lacks.
NEEDS = {
    "nox -s build-wheels -- --target manylinux_2_17_s390x --abi cp314t": ("headers",),
    "nox -s test-foreign -- dist/FILE.whl --how cpython": ("mmdebstrap", "qemu-user", "namespaces"),
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the lines are typed into a POSIX shell")


class Reader:
    """A user with a clone, a shell, and the commands of the sessions' environments."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.clone = clone(folder / "tornado-speedups")
        self.env = commands.environment(cache, PYTHONPATH="", COLUMNS="80")
        self.env["PYTHONPATH"] = str(self.clone / "scripts")

    def types(self, line: str, folder: Path | None = None) -> None:
        """Run a line in a shell. A session is replaced by its command, and FILE.whl by an existing wheel's name."""
        suite = f"{shlex.quote(sys.executable)} -m wheelworks "
        typed = re.sub(r"^(nox -s |wheelworks )", suite, line).replace(" -- ", " ", 1) + LESS.get(line, "")
        [wheel, *_] = [path.name for path in (self.clone / "dist").glob("*linux*aarch64*.whl")] or ["FILE.whl"]
        ended = subprocess.run(
            ["bash", "-c", typed.replace("FILE.whl", wheel)],
            cwd=folder or self.clone, env=self.env, check=False, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.returncode == int(line in FAILS), f"{line}\n{ended.stdout}\n{ended.stderr}"


def clone(place: Path) -> Path:
    """Copy the working tree, including uncommitted changes, into a repository with a branch ``main``."""
    projects.committed(projects.copied(ROOT, place))
    projects.git(place, "branch", "--move", "main")
    return place


def shown() -> list[str]:
    """Return every line of the pages once, in reading order, without the lines in DEAR."""
    lines = dict.fromkeys(line for page in PAGES for line in pages.commands(page))
    return [line for line in lines if line not in DEAR]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path, published: downloads.Published) -> Reader:
    """Return a reader who has a project beside the clone, as in README, and an official wheel of Tornado."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "tests/projects/sums", folder / "project")
    made = Reader(folder, wheelworks_cache)
    shutil.copy2(published.wheel("tornado==6.6.1", "win_arm64"), made.clone)
    return made


def test_what_is_dear_is_shown_and_run_elsewhere() -> None:
    lines = {line for page in (*PAGES, OWN_PROJECT) for line in pages.commands(page)}
    assert (DEAR.keys() | LESS.keys() | NEEDS.keys() | FAILS) - lines == set()
    for line, (file, words, _) in DEAR.items():
        assert words in (ROOT / file).read_text(encoding="utf-8"), line


def test_most_is_typed() -> None:
    assert len(shown()) > 20


@pytest.mark.integration
@pytest.mark.parametrize("line", shown())
def test_a_line_of_the_pages(reader: Reader, line: str) -> None:
    """The lines run in reading order, because the later ones read what the first ones build."""
    tools.require(*NEEDS.get(line, ()))
    reader.types(line)


@pytest.mark.integration
def test_a_project_of_ones_own(reader: Reader, tmp_path: Path) -> None:
    project = shutil.copytree(ROOT / "tests/projects/sums", tmp_path / "sums")
    for line in pages.commands(OWN_PROJECT):
        if line not in DEAR:
            reader.types(line, project)
