"""A release as the index has it: its wheels, its sdist, and the account of how it was made that lies beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wheelworks.core import index, manifest
from wheelworks.core.errors import UsageError
from wheelworks.reproduce.provenance import FILE
from wheelworks.reproduce.selection import Selection


def fetch(pin: str, chosen: Selection, into: Path, say: Callable[[str], None]) -> tuple[list[Path], Path | None]:
    """Download the chosen wheels of ``name==version``, and the sdist if there is one; returns both.

    ``provenance.json`` comes into the same folder where it lies beside them. Raises UsageError where no wheel is left,
    and WheelworksError where the index can't be asked.
    """
    into.mkdir(parents=True, exist_ok=True)
    listed = index.files(pin)
    wanted = [file for file in listed if chosen.covers(file.name)]
    wheels = [file for file in wanted if file.name.endswith(".whl")]
    if not wheels:
        raise UsageError(
            f"{pin}: the index has no such wheel of it", f"it has {', '.join(file.name for file in listed)}"
        )
    say(f"downloading {len(wanted)} files of {pin}")
    paths = index.download(wanted, into)
    if told := index.beside(wheels[0], FILE):
        manifest.write(into / FILE, told)
    sdists = [path for path in paths if path.name.endswith(".tar.gz")]
    return [path for path in paths if path.suffix == ".whl"], sdists[0] if sdists else None
