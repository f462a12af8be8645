"""``python -m tornado_speedups``, mostly run in separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tornado

import tornado_speedups
from tornado_speedups import _python
from tornado_speedups.__main__ import _HEAD_FUNCTIONS, find_differences, main

RUN = "import runpy, sys; sys.argv[1:] = []; runpy.run_module('tornado_speedups', run_name='__main__')"


def run(prepare: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{prepare}\n{RUN}"]
    return subprocess.run(command, check=False, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.usefixtures("c_extension")
def test_all_is_well() -> None:
    finished = run()
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("tornado-speedups ") and lines[0].endswith(", implementation: c")
    hooks = ("masking", "websocket", "headers", "http")
    assert lines[1:] == [*(f"{name}: installed" for name in hooks), "self-test: passed"]
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_python_in_place_of_c() -> None:
    pytest.importorskip("tornado.speedups")
    finished = run(TORNADO_SPEEDUPS_EXTENSION="0")
    assert "implementation: python" in finished.stdout and "self-test: passed" in finished.stdout
    assert f"masking: left to Tornado {tornado.version}, whose C is faster" in finished.stdout
    assert finished.returncode == 1


def test_an_unknown_tornado() -> None:
    finished = run("import tornado; tornado.version_info = (7, 0, 0, 0); tornado.version = '7.0'")
    assert "websocket: left to Tornado 7.0, a version it doesn't know" in finished.stdout
    assert (finished.stderr, finished.returncode) == ("", 1)


def test_no_tornado() -> None:
    finished = run("import sys; sys.modules['tornado'] = None")
    assert finished.stdout.startswith("tornado_speedups needs Tornado, which cannot be imported: ")
    assert (finished.stderr, finished.returncode) == ("", 1)


PROGRAM = """\
import sys, tornado_speedups, beside
print(__name__, sys.argv[1:], sorted(tornado_speedups.status().items()), beside.HERE)
sys.exit(3)
"""


@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"]])
@pytest.mark.usefixtures("c_extension")
def test_a_program_is_run_with_the_speedups(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("HERE = 'here'")
    command = [sys.executable, "-m", "tornado_speedups", *words, "--port", "8888"]
    finished = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    hooks = sorted((name, "installed") for name in tornado_speedups.status())
    assert finished.stdout == f"__main__ ['--port', '8888'] {hooks} here\n"
    assert (finished.stderr, finished.returncode) == ("", 3)


def test_a_program_elsewhere_finds_what_is_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "program.py").write_text("import beside; print(beside.HERE)")
    (folder / "beside.py").write_text("HERE = 'here'")
    command = [sys.executable, "-m", "tornado_speedups", "folder/program.py"]
    finished = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert finished.stdout == "here\n"


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["-m"], 2), (["--port"], 2)])
def test_usage(words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    captured = capsys.readouterr()
    assert "usage: python -m tornado_speedups" in (captured.err if status else captured.out)


NAMES = [
    *_HEAD_FUNCTIONS,
    "build_frame",
    "build_frame_into",
    "parse_frames",
    "websocket_mask",
    "websocket_mask_inplace",
]


def test_the_self_test_passes(native: Any) -> None:
    assert find_differences(native) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_notices_a_wrong_function(name: str) -> None:
    functions: Any = SimpleNamespace(**{each: getattr(_python, each) for each in NAMES})
    setattr(functions, name, lambda *arguments: None)
    assert find_differences(functions) == [name]
