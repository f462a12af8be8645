"""TORNADO_SPEEDUPS_EXTENSION at import time: each value, with the C extension present, missing or broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import BuiltinFunctionType

import pytest

import tornado_speedups
from tornado_speedups import _python

PACKAGE = Path(tornado_speedups.__file__).parent
STUB = PACKAGE / "_speedups.pyi"
SWITCH = "TORNADO_SPEEDUPS_EXTENSION"
SHOW = """
import tornado_speedups as package
print(package.implementation, package.websocket_mask.__module__, package.websocket_mask(b"abcd", bytes(5)))
"""
C = "c tornado_speedups._speedups b'abcda'"
PYTHON = "python tornado_speedups._python b'abcda'"


def run(switch: str | None, site: Path = PACKAGE.parent) -> subprocess.CompletedProcess[str]:
    """Import the package from ``site`` in a new process, and print which implementation it uses."""
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment["PYTHONPATH"] = str(site)
    if switch is not None:
        environment[SWITCH] = switch
    return subprocess.run([sys.executable, "-c", SHOW], check=False, env=environment, capture_output=True, text=True)


@pytest.fixture
def without_c(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("_speedups.*[!i]", "__pycache__"))
    assert (tmp_path / PACKAGE.name / "_speedups.pyi").exists()
    return tmp_path


@pytest.fixture
def with_broken_c(without_c: Path, c_extension: object) -> Path:
    name = Path(c_extension.__file__).name  # type: ignore[attr-defined]
    (without_c / PACKAGE.name / name).write_bytes(b"not a shared library")
    return without_c


def test_the_functions_have_the_same_names_everywhere(c_extension: object) -> None:
    """``__all__`` of the package lists all functions. Its only other names are these four."""
    functions = set(tornado_speedups.__all__) - {"implementation", "install", "status", "uninstall"}
    assert set(_python.__all__) == functions
    assert {name for name, value in vars(c_extension).items() if isinstance(value, BuiltinFunctionType)} == functions
    assert set(re.findall(r"^def (\w+)", STUB.read_text(), re.MULTILINE)) == functions


def test_the_stub_lists_all_types(c_extension: object) -> None:
    types = {name for name, value in vars(c_extension).items() if isinstance(value, type)}
    assert set(re.findall(r"^from .+ import \w+ as (\w+)", STUB.read_text(), re.MULTILINE)) == types


@pytest.mark.parametrize("switch", [None, "", "1"])
@pytest.mark.usefixtures("c_extension")
def test_c_where_there_is_one(switch: str | None) -> None:
    finished = run(switch)
    assert (finished.stdout.strip(), finished.stderr) == (C, "")


def test_0_takes_python() -> None:
    finished = run("0")
    assert (finished.stdout.strip(), finished.stderr) == (PYTHON, "")


@pytest.mark.parametrize("switch", [None, "", "0"])
def test_python_where_c_is_missing(switch: str | None, without_c: Path) -> None:
    finished = run(switch, without_c)
    assert (finished.stdout.strip(), finished.stderr) == (PYTHON, "")


def test_1_refuses_missing_c(without_c: Path) -> None:
    finished = run("1", without_c)
    assert finished.returncode == 1
    last_line = finished.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ImportError: TORNADO_SPEEDUPS_EXTENSION=1 asks for the C extension")
    assert "Install a wheel" in last_line and "unset TORNADO_SPEEDUPS_EXTENSION" in last_line


def test_broken_c_is_not_silent(with_broken_c: Path) -> None:
    finished = run(None, with_broken_c)
    assert finished.stdout.strip() == PYTHON
    assert "RuntimeWarning: tornado_speedups uses Python: its C extension cannot be imported" in finished.stderr


def test_1_refuses_broken_c(with_broken_c: Path) -> None:
    finished = run("1", with_broken_c)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "ImportError: TORNADO_SPEEDUPS_EXTENSION=1 asks for the C extension" in finished.stderr


def test_other_values_are_refused() -> None:
    finished = run("yes")
    assert finished.returncode == 1
    last_line = finished.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ValueError: TORNADO_SPEEDUPS_EXTENSION must be 1 (C), 0 (Python) or unset")
    assert last_line.endswith("not 'yes'")


def test_importing_it_imports_no_tornado() -> None:
    code = "import sys, tornado_speedups; print([name for name in sys.modules if name.split('.')[0] == 'tornado'])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").exists() and STUB.exists()


def test_sources_are_not_shipped() -> None:
    assert [path for path in PACKAGE.rglob("*") if path.suffix in (".c", ".h") or path.name == "_speedups"] == []
