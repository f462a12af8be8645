"""Test wheelworks as other projects use it: installed from its folder, and called from their own noxfile."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheelworks import __main__ as program
from wheelworks import __version__
from wheelworks.core import manifest
from wheelworks.core.errors import UsageError

from tests.fixtures import pages, projects
from tests.fixtures.schemas import jsonschema

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
TUTORIAL = ROOT / "docs" / "tutorial.md"
EXAMPLE = ROOT / "tests" / "projects" / "sums"
FIVE_MINUTES = 300.0
# The packages in requirements/wheelworks.in that only the tests of tornado-speedups need.
PACKAGES_OWN = {"hypothesis", "pytest", "tornado"}


def project() -> dict[str, list[str]]:
    found: dict[str, list[str]] = tomllib.loads((SCRIPTS / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def names(*inputs: str) -> set[str]:
    lines = [line for name in inputs for line in (ROOT / f"requirements/{name}.in").read_text().splitlines()]
    return {
        canonicalize_name(Requirement(line.partition("#")[0]).name) for line in lines if line and line[0] not in "#-"
    }


def test_it_requires_what_the_lock_files_ask_for() -> None:
    required = {canonicalize_name(Requirement(one).name) for one in project()["dependencies"]}
    assert required == names("wheelworks", "audit") - PACKAGES_OWN | {"pip", "zizmor"}  # lint-project runs zizmor


def test_what_decides_the_bytes_is_pinned_as_locked() -> None:
    pins = [one for one in project()["dependencies"] if "==" in one]
    assert sorted(one.partition("==")[0] for one in pins) == ["deflate", "ziglang"]
    lock = (ROOT / "requirements/wheelworks.txt").read_text(encoding="utf-8")
    assert all(f"\n{pin} \\\n" in lock for pin in pins)


@pytest.mark.parametrize(
    ("copy", "original"),
    [(f"wheelworks/locks/{name}.txt", f"requirements/{name}.txt") for name in ("build", "wheelworks")]
    + [("LICENSE", "LICENSE")],
)
def test_what_it_carries_is_a_true_copy(copy: str, original: str) -> None:
    assert (SCRIPTS / copy).read_bytes() == (ROOT / original).read_bytes(), "nox -s lock writes the locks' copies"


def test_the_tutorial_shows_the_example_project() -> None:
    shown = pages.files(TUTORIAL)
    assert shown == {path.name: path.read_text(encoding="utf-8") for path in EXAMPLE.iterdir() if path.is_file()}
    assert len(shown) == 5


@pytest.mark.parametrize("path", [TUTORIAL, EXAMPLE / "noxfile.py", SCRIPTS / "README.md"], ids=lambda path: path.name)
def test_nothing_installs_it_by_its_name(path: Path) -> None:
    """The package index has no wheelworks, so anyone who registers that name could run code on users' machines."""
    text = path.read_text(encoding="utf-8")
    assert "WHEELWORKS" in text and not re.search(r'install\("wheelworks"|"WHEELWORKS", ', text)


@pytest.mark.integration
def test_the_example_asks_for_the_suites_folder(tmp_path: Path) -> None:
    shutil.copy2(EXAMPLE / "noxfile.py", tmp_path)
    command = [sys.executable, "-m", "nox", "--no-venv", "-s", "wheelworks"]
    ended = subprocess.run(command, cwd=tmp_path, env=newcomers(tmp_path), check=False, capture_output=True, text=True)
    assert ended.returncode != 0 and "WHEELWORKS isn't set: name the folder scripts/" in ended.stdout + ended.stderr


@pytest.mark.parametrize("command", program.OWN)
def test_a_command_of_this_repository_says_so_elsewhere(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "CHECKOUT", tmp_path)
    with pytest.raises(UsageError, match=f"{command} belongs to the repository of tornado-speedups") as told:
        program._check_checkout([command])
    assert f"nox -s {command}" in told.value.hint


@pytest.mark.parametrize("words", [["--source", "."], ["x.whl", "--source=x.tar.gz"]])
def test_the_tests_of_any_project_run_elsewhere(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "CHECKOUT", tmp_path)
    program._check_checkout(["test-native", *words])
    with pytest.raises(UsageError):
        program._check_checkout(["release", *words])


@pytest.mark.parametrize(
    ("word", "start"), [("--help", "usage: wheelworks COMMAND"), ("--version", f"wheelworks {__version__}\n")]
)
def test_it_describes_itself(word: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([word]) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.integration
def test_its_wheel_holds_every_file_of_the_tree(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(SCRIPTS)]
    subprocess.run(command, check=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("wheelworks-")}
    assert packed == set(projects.files(SCRIPTS, "wheelworks"))
    left = {path.name for path in SCRIPTS.iterdir()}
    assert left == {"LICENSE", "README.md", "pyproject.toml", "wheelworks"}, "building leaves nothing beside it"


def shell_in(place: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a shell in a process group of its own, so that it can be killed with all its children."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(["bash"], cwd=place, env=env, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload, no-any-return]


def typed(command: str, shell: subprocess.Popen[str], seconds: float = 900.0) -> tuple[int, str]:
    """Type a command into a shell; return its exit status and output. Kill the shell if the command takes too long."""
    assert shell.stdin and shell.stdout
    limit = threading.Timer(seconds, os.killpg, (shell.pid, signal.SIGKILL))
    limit.start()
    shell.stdin.write(f'{command}\necho "ended: $?"\n')
    shell.stdin.flush()
    lines: list[str] = []
    for line in shell.stdout:
        if line.startswith("ended: "):
            limit.cancel()
            return int(line.removeprefix("ended: ")), "".join(lines)
        lines.append(line)
    limit.cancel()
    raise AssertionError(f"{command}: the shell ended: {''.join(lines)}")


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_command_that_hangs_is_killed(tmp_path: Path) -> None:
    with shell_in(tmp_path, dict(os.environ)) as shell:
        assert typed("echo so; false", shell) == (1, "so\n")
        with pytest.raises(AssertionError, match=r"sleep 600: the shell ended: so far"):
            typed("echo so far; sleep 600", shell, 1.0)


def home_with_a_clone(home: Path) -> Path:
    """Make a home folder with the clone that the tutorial asks for, including uncommitted changes; return it."""
    projects.copied(ROOT, home / "tornado-speedups", "scripts")
    return home


def newcomers(home: Path) -> dict[str, str]:
    """Return the environment of a new user, without variables of this test run and with an empty cache."""
    steering = (
        "PYTHON",
        "NOX",
        "VIRTUAL_ENV",
        "WHEELWORKS",
        "SOURCE_DATE_EPOCH",
        "PIP_REQUIRE",
        "COLUMNS",
        "FORCE_COLOR",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    folders = [one for one in kept["PATH"].split(os.pathsep) if one != str(Path(sys.executable).parent)]
    return {**kept, "HOME": str(home), "PATH": os.pathsep.join(folders)}


@pytest.mark.integration
def test_the_tutorial_word_by_word(tmp_path: Path) -> None:
    """From an empty folder, the tutorial gives audited and executed ARM64 wheels within five minutes."""
    here, home = tmp_path / "sums", home_with_a_clone(tmp_path / "home")
    here.mkdir()
    for name, text in pages.files(TUTORIAL).items():
        (here / name).write_text(text, encoding="utf-8")
    said: dict[str, str] = {}
    seconds: dict[str, float] = {}
    start = time.monotonic()
    with shell_in(here, newcomers(home)) as shell:
        for command in pages.commands(TUTORIAL):
            status, said[command] = typed(command, shell)
            assert status == 0, said[command]
            seconds[command] = time.monotonic() - start
    steps = [command.partition(" -- ")[2] for command in said if " -- " in command]
    assert steps == ["cross-arm64", "audit", "audit --explain W022", "reproduce"]
    audited = next(at for command, at in seconds.items() if command.endswith("-- audit"))
    assert audited < FIVE_MINUTES, seconds
    explained = next(text for command, text in said.items() if command.endswith("W022"))
    assert "no-licence" in explained
    told = json.loads((here / "dist" / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(told, manifest.generate_schema())
    assert [min(wheel["targets"]) for wheel in told["wheels"]] == [
        "macosx_11_0_arm64",
        "manylinux_2_17_aarch64",
        "win_arm64",
    ]
    for wheel in told["wheels"]:
        assert {run["outcome"] for run in wheel["runs"]} == {"passed"}, wheel["runs"]
        assert wheel["audit"]["checks"] == {**dict.fromkeys(wheel["audit"]["checks"], "passed"), "archive": "warning"}
        assert wheel["reproduced"]["same"] is True, wheel["reproduced"]
