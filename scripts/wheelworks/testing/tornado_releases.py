"""The versions of Tornado to test with: the newest of a series, or one by name; asked of the index, and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from wheelworks.core import manifest, process, venv
from wheelworks.core.errors import UsageError, WheelworksError

DEFAULT = ("6.5", "6.6")


@dataclass(frozen=True)
class Tornado:
    """A distribution file of Tornado, and what it is."""

    file: Path
    version: str
    sha256: str


def requirement(asked: str) -> str:
    """What pip is asked for: "6.5" is the newest of its series, "6.5.2" that version.

    Raises UsageError for anything else.
    """
    try:
        version = Version(asked)
    except InvalidVersion:
        raise UsageError(
            f"--tornado {asked}: no version", "use 6.6 for the newest 6.6.x, or a version as 6.6.1"
        ) from None
    return f"tornado~={version}.0" if len(version.release) == 2 and not version.is_prerelease else f"tornado=={version}"


def fetch(asked: str, python: Path, folder: Path) -> Tornado:
    """Download into an empty folder the file that pip takes for this interpreter.

    Raises WheelworksError where the index has none.
    """
    folder.mkdir(parents=True)
    words = ("download", "--quiet", "--no-deps", "--dest", folder, requirement(asked))
    ended = process.run(venv.pip_command(python, *words), timeout=300)
    files = list(folder.iterdir())
    if ended.status or len(files) != 1:
        said = ended.last_lines(3)
        raise WheelworksError(
            f"{requirement(asked)} can't be had from the package index: {said}", "name another version"
        )
    return Tornado(files[0], _version(files[0].name), manifest.sha256(files[0]))


def _version(name: str) -> str:
    return str(parse_wheel_filename(name)[1] if name.endswith(".whl") else parse_sdist_filename(name)[1])
