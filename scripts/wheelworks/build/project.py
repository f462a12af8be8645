"""What a project says of itself without being built: its name and version, and how its pure wheel is made."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from wheelworks.core import plan
from wheelworks.core.errors import WheelworksError

HOW = """\
[tool.wheelworks]
pure = { NAME_OF_A_SWITCH = "0" }   # the variables with which the build leaves the extension out"""


def stem(path: Path) -> str:
    """What the files of the release that ``path`` (a folder or an sdist) gives begin with (PEP 427, PEP 625).

    Raises WheelworksError where that isn't known without building it.
    """
    if path.is_file():
        return _of_sdist(path)
    table = pyproject(path).get("project", {})
    try:
        return plan.stem(table["name"], table["version"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WheelworksError(
            f"{path}: its pyproject.toml doesn't tell name and version", "make its sdist, and name that"
        ) from error


def _of_sdist(path: Path) -> str:
    try:
        name, version = parse_sdist_filename(path.name)
        return plan.stem(name, str(version))
    except InvalidSdistFilename as error:
        raise WheelworksError(f"{path.name}: {error}", "an sdist is named NAME-VERSION.tar.gz") from error


def pure_variables(tree: Path) -> dict[str, str] | None:
    """The variables with which a project's build leaves its extension out; None where it doesn't say (``HOW``).

    Raises WheelworksError for something else than a table of strings.
    """
    tool = pyproject(tree).get("tool", {})
    table = tool.get("wheelworks", {}).get("pure")
    if table is None:
        return None
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] pure must be a table of strings", HOW)
    return dict(table)


def pyproject(tree: Path) -> dict[str, Any]:
    """A tree's pyproject.toml; empty where there is none. Raises WheelworksError for one that can't be read."""
    file = tree / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WheelworksError(f"pyproject.toml of {tree.name} can't be read: {error}") from error
