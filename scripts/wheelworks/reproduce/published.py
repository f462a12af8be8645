"""The files of a release, as pip gets them from the index."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from wheelworks import processes, targets
from wheelworks.errors import WheelworksError
from wheelworks.reproduce.selection import Selection

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)")


def is_pin(word: str) -> bool:
    """Whether a word is NAME==VERSION."""
    return _PIN.fullmatch(word) is not None


def wheels(pin: str, chosen: Selection, into: Path, say: Callable[[str], None]) -> list[Path]:
    """Download the wheels of ``pin`` for every target that has one, each once.

    Raises WheelworksError where there is none at all.
    """
    into.mkdir(parents=True, exist_ok=True)
    said = ""
    for row in [targets.find(name) for name in chosen.targets] or targets.all_targets():
        say(f"downloading {pin} for {row.id}")
        tags = [word for tag in row.tags for word in ("--platform", tag)]
        ended = _pip("--only-binary", ":all:", "--python-version", "3.11", *tags, "--dest", str(into), pin)
        said = ended.output if ended.status else said
    found = sorted(into.glob("*.whl"))
    if not found:
        raise WheelworksError(f"{pin}: no wheel of it can be had:\n{_last(said)}")
    return found


def sdist(pin: str, into: Path) -> Path:
    """Download the sdist of ``pin``. Raises WheelworksError with pip's words where there is none."""
    into.mkdir(parents=True, exist_ok=True)
    ended = _pip("--no-binary", ":all:", "--dest", str(into), pin)
    found = [path for path in into.iterdir() if path.name.endswith(".tar.gz")]
    if ended.status or len(found) != 1:
        raise WheelworksError(f"{pin}: its sdist can't be had:\n{_last(ended.output)}", "name it: --source FILE.tar.gz")
    return found[0]


def _pip(*words: str) -> processes.Result:
    return processes.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps", *words])


def _last(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-4:])
