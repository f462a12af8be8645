"""Test what commands print on a terminal of 80 columns, without colour, and to a log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from wheelworks.__main__ import COMMANDS
from wheelworks.core import console

from tests.fixtures.commands import ROOT, environment, wheelworks_here

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX's", allow_module_level=True)

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|9\d|4\d)(?:;\d+)*m")
STYLE = re.compile(r"\x1b\[[\d;]*m")
# For each command, its exit status and arguments that take about a second. Slow commands get arguments they reject.
CHEAP: dict[str, tuple[int, tuple[str, ...]]] = {
    "cross-arm64": (2, ("cross-arm64", "--target", "no_such_target")),
    "build-wheels": (0, ("build-wheels", "--list", "--abi", "cp311-abi3")),
    "test-foreign": (0, ("test-foreign", "{wheel}")),
    "audit": (0, ("audit", "--offline", "{wheel}")),
    "lint-project": (2, ("lint-project", "{folder}")),
    "test-native": (2, ("test-native", "--wheel", "no-such.whl")),
    "test-autobahn": (2, ("test-autobahn", "--wheel", "no-such.whl")),
    "test-frameworks": (2, ("test-frameworks", "no-such-project")),
    "reproduce": (2, ("reproduce", "--vary", "nothing")),
    "release": (1, ("release", "0.0.0")),
    "host-wheel": (2, ("host-wheel", "no-such-folder", "--out", "{folder}")),
    "bench": (2, ("bench", "no-such-suite")),
    "report": (2, ("report", "{folder}")),
    "compare": (0, ("compare", "{wheel}", "{wheel}", "--no-run")),
}
# These print nothing in colour or bold. argparse prints the error for bench, and has colours from Python 3.14 on.
PLAIN = {"bench", "compare"}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, published_wheel: Path) -> dict[str, str]:
    return {"wheel": str(published_wheel), "folder": str(tmp_path_factory.mktemp("out"))}


@pytest.fixture(scope="module")
def published_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel with a long name, which takes two seconds; return its path."""
    from tests.fixtures import projects

    folder = tmp_path_factory.mktemp("terminal")
    out = folder / "dist"
    project = projects.sample(folder / "project")
    command = ["cross-arm64", str(project), "--target", "manylinux_2_17_aarch64", "--no-run", "--out", str(out)]
    assert run(folder, command)[0] == 0
    [wheel] = out.glob("*.whl")
    return wheel


def run(cache: Path, command: list[str], **more: str) -> tuple[int, str, str]:
    """Run a command without a terminal; return its exit status, stdout and stderr."""
    env = {name: value for name, value in environment(cache).items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    words = [sys.executable, "-m", "wheelworks", *command]
    ended = subprocess.run(words, env={**env, **more}, cwd=ROOT, check=False, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def on_a_terminal(cache: Path, command: list[str], **more: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; return its exit status and all its output."""
    import fcntl
    import pty
    import struct
    import termios

    env = {name: value for name, value in environment(cache).items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = [sys.executable, "-m", "wheelworks", *command]
    child = subprocess.Popen(
        words, env={**env, "TERM": "xterm-256color", **more}, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    seen = b""
    while chunk := _read(master):
        seen += chunk
    os.close(master)
    return child.wait(), seen.decode(errors="replace")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux raises this when the other end is closed
        return b""


def wide(text: str) -> list[str]:
    return [line for line in STYLE.sub("", text).splitlines() if len(line) > 80]


def filled(command: str, words: dict[str, str]) -> list[str]:
    return [word.format(**words) for word in CHEAP[command][1]]


def test_every_command_is_tried() -> None:
    assert CHEAP.keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = wheelworks_here(command, "--help", cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert (ended.status, ended.err) == (0, "") and "usage: " in ended.out
    assert wide(ended.out) == [] and not CONTROL.search(ended.out)


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_gets_plain_lines(command: str, words: dict[str, str], tmp_path: Path) -> None:
    status, out, err = run(tmp_path, filled(command, words))
    assert status == CHEAP[command][0], err
    assert out + err and not CONTROL.search(out + err)
    assert wide(out) == []


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_gets_colours_if_forced_but_no_moving_cursor(command: str, words: dict[str, str], tmp_path: Path) -> None:
    _, out, err = run(tmp_path, filled(command, words), FORCE_COLOR="1", TERM="xterm-256color")
    plain = STYLE.sub("", out + err)
    assert not CONTROL.search(plain)
    assert command in PLAIN or STYLE.search(out + err)
    assert wide(out) == []


@pytest.mark.integration
@pytest.mark.parametrize("command", ["audit", "test-foreign", "reproduce"])
def test_a_terminal_gets_colours_unless_refused(command: str, words: dict[str, str], tmp_path: Path) -> None:
    status, seen = on_a_terminal(tmp_path, filled(command, words))
    assert status == CHEAP[command][0] and COLOUR.search(seen), seen
    status, seen = on_a_terminal(tmp_path, filled(command, words), NO_COLOR="1")
    assert status == CHEAP[command][0] and not COLOUR.search(seen), seen


def progress_in_a_log(capsys: pytest.CaptureFixture[str], *, everything: bool) -> list[str]:
    """Return what a log gets of a task that reports its progress each second of half an hour."""
    seconds = iter(range(3600))
    with console.Progress(everything=everything, clock=lambda: float(next(seconds))) as progress:
        for number in range(1800):
            progress.update("wheel", f"step {number}")
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_few_lines_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress_in_a_log(capsys, everything=False)
    assert lines[:3] == ["wheel: step 0", "wheel: step 30", "wheel: step 90"]
    assert 8 < len(lines) < 13


def test_a_log_gets_all_lines_of_progress_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(progress_in_a_log(capsys, everything=True)) == 1800


def test_progress_counts_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 0.0, 31.0])
    with console.Progress(clock=lambda: next(seconds)) as progress:
        progress.update("a", "compiling")
        progress.finish("a")
        progress.finish("b")
        progress.update("c", "compiling")
    assert capsys.readouterr().err.splitlines() == ["a: compiling", "c: compiling (2 done)"]


@pytest.mark.parametrize("width", [26, 40, 60])
def test_a_table_breaks_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "out", Console(width=width, highlight=False))
    table = console.create_table("", "wheel", "extension", "determinism")
    for name in ("a-1-\ncp311-abi3-\nwin32.whl", "b-1-py3-none-any.whl"):
        table.add_row(name, "[green]passed[/]", "1 error\n2 warnings")
    console.print_table(table)
    lines = capsys.readouterr().out.splitlines()
    words = re.findall(r"[\w.-]+", "\n".join(lines))
    assert {"extension", "determinism", "passed", "error", "warnings", "b-1-py3-none-any.whl"} <= set(words)
    assert ("a-1-cp311-abi3-win32.whl" in words) == (width < 60)
    assert max(map(len, lines)) <= width
