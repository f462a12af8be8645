"""Create virtual environments, and install packages into them with the pip of this process's Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError


def python_of(environment: Path, *, windows: bool = os.name == "nt") -> Path:
    """Return the Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if windows else "bin/python")


def create_venv(python: str | Path, folder: Path) -> Path:
    """Create a virtual environment without pip; returns its Python. Raises WheelworksError."""
    process.run_checked([python, "-m", "venv", "--without-pip", folder], f"{python} can't create an environment")
    return python_of(folder)


def pip_command(python: str | Path, *words: str | Path) -> list[str | Path]:
    """Return a command line of this process's pip that acts on another interpreter."""
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", python, *words]


_INDEX_HINT = "the package index didn't answer: look at the network, and at `pip config list`"


def install_requirements(python: Path, failure: str, *words: str | Path, **options: Any) -> None:
    """Install with pip into the environment of ``python``. Raises WheelworksError with ``failure`` and pip's message.

    PYTHONPATH is dropped: pip would take the packages in its folders for installed.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = process.run(pip_command(python, "install", "--quiet", *words), env=env, **options)
    if ended.status:
        lines = [line for line in ended.output.splitlines() if not line.startswith("WARNING: Retrying")]
        hint = _INDEX_HINT if len(lines) < len(ended.output.splitlines()) else ""
        raise WheelworksError(f"{failure}:\n" + "\n".join(lines[-8:]), hint)
