"""``python -m tornado_speedups PROGRAM`` against ``python PROGRAM``: a program sees the same of itself in both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipapp
from importlib import import_module
from pathlib import Path

import pytest

import tornado_speedups

WITH_SPEEDUPS = ("-m", "tornado_speedups")
PROGRAM = """\
import sys, tornado_speedups, beside
print(__name__, sys.argv[1:], sorted(tornado_speedups.status().items()), beside.HERE)
sys.exit(3)
"""
SHOW = """\
import atexit, pickle, sys, threading
main = sys.modules["__main__"]
class Thing: pass
def show(*names):
    print(*names)
show(__name__, __file__, __spec__ and __spec__.name, type(__loader__).__name__, __package__, __cached__)
show(sys.argv, sys.path[:2])
show(vars(main) is globals(), __builtins__ is main.__builtins__, sys.excepthook is sys.__excepthook__)
show(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
atexit.register(lambda: show(sys.modules["__main__"] is main, pickle.dumps(Thing())))
"""


def python(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(
        command, check=False, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"]])
@pytest.mark.usefixtures("c_extension")
def test_a_program_is_run_with_the_speedups(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("HERE = 'here'")
    finished = python(*WITH_SPEEDUPS, *words, "--port", "8888", cwd=tmp_path)
    hooks = sorted((name, "installed") for name in tornado_speedups.status())
    assert finished.stdout == f"__main__ ['--port', '8888'] {hooks} here\n"
    assert (finished.stderr, finished.returncode) == ("", 3)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with a program, a package that is one, and programs that fail."""
    for folder in ("folder", "package"):
        (tmp_path / folder).mkdir()
    for path in ("folder/show.py", "package/__main__.py", "folder/__main__.py"):
        (tmp_path / path).write_text(SHOW)
    (tmp_path / "package/__init__.py").write_text("")
    (tmp_path / "package/fails.py").write_text("def fail():\n    raise KeyError('it')\nfail()\n")
    (tmp_path / "package/wrong.py").write_text("x = = 1\n")
    (tmp_path / "package/hook.py").write_text(
        "import sys\nsys.excepthook = lambda kind, error, tb: print(kind, tb.tb_frame.f_code.co_name)\n1 / 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["folder/show.py", "a", "--b", "-m"],
        ["-m", "package", "-c", "d"],
        ["-m", "package.fails"],
        ["package/wrong.py"],
        ["package/hook.py"],
    ],
    ids=" ".join,
)
def test_a_program_sees_and_shows_the_same(words: list[str], programs: Path) -> None:
    stock = python(*words, cwd=programs)
    ours = python(*WITH_SPEEDUPS, *words, cwd=programs)
    assert stock.stdout or stock.returncode
    shown = [line for line in stock.stderr.splitlines() if "runpy" not in line]  # Python shows its own part of -m
    assert (ours.stdout, ours.stderr.splitlines(), ours.returncode) == (stock.stdout, shown, stock.returncode)


@pytest.mark.parametrize("name", ["folder", "archive"])
def test_a_folder_or_an_archive_is_run_by_its_main_file(name: str, programs: Path) -> None:
    zipapp.create_archive(programs / "folder", programs / "archive")
    finished = python(*WITH_SPEEDUPS, name, "a", cwd=programs)
    assert finished.returncode == 0 and f"['{name}', 'a'] ['{name}', " in finished.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["missing.py"], 2, "can't open 'missing.py': No such file or directory"),
        (["-m", "missing"], 1, "no module named missing"),
        (["-m", "package.missing"], 1, "no module named package.missing"),
        (["-m", "missing.part"], 1, "no module named missing.part"),
        (["-m", "_socket"], 1, "the module _socket has no Python code to run"),
    ],
)
def test_what_cannot_be_run_is_named(
    words: list[str], status: int, said: str, programs: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(programs)
    monkeypatch.setattr(sys, "argv", [])
    run = import_module("tornado_speedups.commands.run")
    assert run.run_program(words, speedups=False) == status
    assert capsys.readouterr().err == f"error: {said}\n"
    sys.modules.pop("package", None)


def test_without_tornado_a_program_is_not_run(programs: Path) -> None:
    (programs / "tornado.py").write_text("raise ImportError('this one is broken')")
    finished = python(
        *WITH_SPEEDUPS,
        "folder/show.py",
        cwd=programs,
        PYTHONPATH=f"{programs}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    said = "error: tornado_speedups needs Tornado, which cannot be imported: this one is broken\n"
    assert (finished.returncode, finished.stdout, finished.stderr) == (2, "", said)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX")
def test_ctrl_c_ends_it_as_python_does(tmp_path: Path) -> None:
    handled = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # the tests may run where SIGINT is ignored
    (tmp_path / "waits.py").write_text(f"import signal\n{handled}\nsignal.raise_signal(signal.SIGINT)\n")
    stock, ours = (python(*words, "waits.py", cwd=tmp_path) for words in ((), WITH_SPEEDUPS))
    assert (ours.stderr, ours.returncode) == (stock.stderr, stock.returncode)
    assert stock.returncode == -signal.SIGINT


RELOADED = """\
import sys, tornado.autoreload, tornado.ioloop, tornado_speedups
print(tornado_speedups.status()["http"], sys.argv[1:], flush=True)
with open("runs", "a") as file:
    file.write("x")
if open("runs").read() == "xx":
    sys.exit(4)
tornado.autoreload._reload()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows starts another process, which outlives the first one")
@pytest.mark.parametrize("words", [["reloaded.py"], ["-m", "reloaded"]])
def test_autoreload_keeps_the_speedups(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "reloaded.py").write_text(RELOADED)
    finished = python(*WITH_SPEEDUPS, *words, "--debug", cwd=tmp_path)
    line = "installed ['--debug']\n"
    assert (finished.stdout, finished.stderr, finished.returncode) == (line * 2, "", 4)
