"""Test virtual environments: the path of their Python, and the messages of pip's failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.core import venv
from wheelworks.core.errors import WheelworksError


@pytest.mark.parametrize(("windows", "place"), [(True, "Scripts/python.exe"), (False, "bin/python")])
def test_where_an_environments_interpreter_is(windows: bool, place: str) -> None:
    assert venv.python_of(Path("venv"), windows=windows) == Path("venv", place)


def test_an_environment_is_created_and_a_failed_installation_is_explained(tmp_path: Path) -> None:
    python = venv.create_venv(sys.executable, tmp_path / "venv")
    said = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], check=True, capture_output=True, text=True)
    assert Path(said.stdout.strip()) == tmp_path / "venv"
    with pytest.raises(WheelworksError, match=r"it can't be installed:\n.*gone\.whl"):
        venv.install_requirements(python, "it can't be installed", "--no-index", tmp_path / "gone.whl")


def test_a_program_that_is_no_python_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="can't create an environment"):
        venv.create_venv("false", tmp_path / "venv")
