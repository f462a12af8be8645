"""``python -m tornado_speedups``, mostly run in separate processes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tornado

import tornado_speedups
from tornado_speedups import _implementation, _python
from tornado_speedups.__main__ import main

PACKAGE = Path(tornado_speedups.__file__).parent
RUN = "import runpy, sys; sys.argv[1:] = []; runpy.run_module('tornado_speedups', run_name='__main__')"


def run(prepare: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{prepare}\n{RUN}"]
    return subprocess.run(command, check=False, env=os.environ | environment, capture_output=True, text=True)


@pytest.fixture
def check() -> ModuleType:
    return import_module("tornado_speedups.commands.check")


@pytest.mark.usefixtures("c_extension")
def test_all_is_well() -> None:
    finished = run()
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("tornado-speedups ") and lines[0].endswith(", implementation: c")
    assert lines[1].startswith(f"Tornado {tornado.version}, ")
    hooks = ("masking", "websocket", "headers", "http")
    assert lines[2:] == [*(f"{name}: installed" for name in hooks), "self-test: passed"]
    assert (finished.stderr, finished.returncode) == ("", 0)


@pytest.mark.usefixtures("c_extension")
def test_connections_are_driven_through_each_function() -> None:
    command = [sys.executable, "-m", "tornado_speedups", "--self-test"]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = finished.stdout.splitlines()
    assert (lines[6], lines[-1]) == ("self-test: passed", "connections: passed")
    done = [line for line in lines[7:-1] if re.fullmatch(r"[\w:.]+: \d+ calls?(; left to Tornado .*)?", line)]
    assert done == lines[7:-1] and len(done) >= 10
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_connections_that_fail_fail_the_check(monkeypatch: pytest.MonkeyPatch, check: Any) -> None:
    monkeypatch.setattr(check, "install", lambda: None)
    monkeypatch.setattr("tornado_speedups.self_test._GET", b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
    lines, status = check.check(connections=True)
    assert (lines[-1], status) == ("connections: failed", 1)


def test_a_variable_turns_it_off() -> None:
    finished = run(TORNADO_SPEEDUPS_INSTALL="0")
    assert finished.stdout.count("not installed: TORNADO_SPEEDUPS_INSTALL=0 turns the speedups off\n") == 4
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_connections_that_test_nothing_do_not_pass() -> None:
    command = [sys.executable, "-m", "tornado_speedups", "--self-test"]
    environment = os.environ | {"TORNADO_SPEEDUPS_INSTALL": "0"}
    shown = subprocess.check_output(command, env=environment, text=True)
    assert shown.splitlines()[-1] == "connections: nothing is installed that they could test"


@pytest.mark.usefixtures("stock_tornado")
def test_what_is_left_to_tornado_is_named_with_the_reason(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.describe_left() == [] or _implementation.implementation == "python"
    tornado_speedups.uninstall()
    monkeypatch.setattr(tornado, "version_info", (7, 0, 0, 0))
    left = f"left to Tornado {tornado.version}, a version it doesn't know"
    assert check.describe_left() == [f"masking, websocket, headers, http: {left}"]


def test_python_in_place_of_c() -> None:
    pytest.importorskip("tornado.speedups")
    finished = run(TORNADO_SPEEDUPS_EXTENSION="0")
    assert "implementation: python (TORNADO_SPEEDUPS_EXTENSION=0 selects it)\n" in finished.stdout
    assert f"masking: left to Tornado {tornado.version}, whose C is faster\n" in finished.stdout
    assert finished.stdout.endswith("self-test: passed\n")
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_an_unknown_tornado() -> None:
    finished = run("import tornado; tornado.version_info = (7, 0, 0, 0); tornado.version = '7.0'")
    assert "websocket: left to Tornado 7.0, a version it doesn't know" in finished.stdout
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_no_tornado() -> None:
    finished = run("import sys; sys.modules['tornado'] = None")
    assert finished.stderr.startswith("error: tornado_speedups needs Tornado, which cannot be imported: ")
    assert (finished.stdout, finished.returncode) == ("", 2)


def test_it_says_why_it_is_python_and_how_to_get_c(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("_speedups.*[!i]", "__pycache__"))
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    finished = run(PYTHONPATH=path, TORNADO_SPEEDUPS_EXTENSION="")
    why = "not compiled: the package was installed without its C extension"
    assert f"implementation: python ({why})\n" in finished.stdout
    assert (
        "to get C: python -m pip install --no-cache-dir --force-reinstall --no-deps tornado-speedups" in finished.stdout
    )
    assert "headers: installed\n" in finished.stdout
    assert "install a C compiler and Python's headers" in finished.stdout
    assert (finished.stderr, finished.returncode) == ("", 0)


@pytest.mark.usefixtures("stock_tornado")
def test_status_says_that_it_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_implementation, "why_no_c", "not compiled: why")
    tornado_speedups.install(masking=False, websocket=False)
    found = tornado_speedups.status()
    assert (found["http"], found["masking"]) == ("installed; in Python: not compiled: why", "not installed")


@pytest.mark.usefixtures("stock_tornado")
def test_a_wrong_function_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_implementation, "websocket_mask", lambda mask, data: data)
    assert main([]) == 1


@pytest.mark.parametrize("value", ["yes", "1"])
def test_a_wrong_variable_needs_no_traceback(value: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("_speedups.*[!i]", "__pycache__"))
    command = [sys.executable, "-m", "tornado_speedups"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TORNADO_SPEEDUPS_EXTENSION": value}
    finished = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (2, "", 1)
    assert finished.stderr.startswith("error: TORNADO_SPEEDUPS_EXTENSION")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(("where", "status", "said"), [("| true", 0, ""), ("> /dev/full", 2, "error: can't")])
def test_a_closed_pipe_needs_no_traceback(where: str, status: int, said: str) -> None:
    if "full" in where and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    command = ["bash", "-o", "pipefail", "-c", f"{shlex.quote(sys.executable)} -m tornado_speedups {where}"]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr[:12]) == (status, said)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: python -m tornado_speedups") and "examples:" in captured.out
    assert max(map(len, captured.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m"], "-m needs a module"),
        (["--port"], "there is no option --port"),
        (["--self-test", "server.py"], "--self-test takes no arguments, not server.py"),
    ],
)
def test_wrong_use(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {said}\nhint: python -m tornado_speedups --help\n"


NAMES = [
    "parse_head",
    "parse_headers",
    "parse_start_line",
    "serialize_head",
    "build_frame",
    "build_frame_into",
    "parse_frames",
    "websocket_mask",
    "websocket_mask_inplace",
]


def test_the_self_test_passes(native: Any, check: Any) -> None:
    assert check.find_differences(native) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_notices_a_wrong_function(name: str, check: Any) -> None:
    functions: Any = SimpleNamespace(**{each: getattr(_python, each) for each in NAMES})
    setattr(functions, name, lambda *arguments: None)
    assert check.find_differences(functions) == [name]
