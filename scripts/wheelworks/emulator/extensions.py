"""Finding the extension modules in a wheel, without trusting it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelworks.core.archive import Limits, Member
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import read_members
from wheelworks.emulator.image import MAX_FILE

SUFFIXES = (".so", ".pyd", ".dylib")
LIMITS = Limits(MAX_FILE)  # all extensions of a wheel together


@dataclass(frozen=True)
class Extension:
    """A binary with the name it has in its wheel, and the wheel's tags."""

    name: str
    data: bytes
    tags: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The last part of the module's name: what its PyInit_ function is called after."""
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]


def extensions(path: Path) -> tuple[Extension, ...]:
    """The extension modules of a wheel, or the one binary that ``path`` is.

    Raises WheelworksError where the file can't be read, isn't a zip file, or claims absurd sizes.
    """
    if not path.is_file():
        raise UsageError(f"{path} is a directory" if path.is_dir() else f"{path}: no such file", "give wheel files")
    if path.suffix != ".whl" and not zipfile.is_zipfile(path):
        return (Extension(path.name, _bounded(path)),)
    members = read_members(path, LIMITS, lambda name: name.endswith((*SUFFIXES, ".dist-info/WHEEL")))
    tags = _tags(members, path)
    return tuple(Extension(name, member.data, tags) for name, member in members.items() if name.endswith(SUFFIXES))


def choose(found: tuple[Extension, ...], member: str | None, path: Path) -> Extension:
    """The one extension, or the one that ``member`` names. Raises WheelworksError if there isn't exactly one."""
    names = ", ".join(extension.name for extension in found)
    if member is not None:
        found = tuple(e for e in found if member in (e.name, e.name.rsplit("/", 1)[-1], e.module))
    if not found:
        reason = f"no extension module {member!r} in it (it has {names})" if member else "no extension module in it"
        raise WheelworksError(f"{path.name}: {reason}", "was it built without a compiler?")
    if len(found) > 1:
        raise UsageError(f"{path.name}: several extension modules: {names}", "say which one")
    return found[0]


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise WheelworksError(f"{path.name}: more than {MAX_FILE >> 20} MiB: larger than any small extension")
    return data


def _tags(members: Mapping[str, Member], path: Path) -> tuple[str, ...]:
    """The tags in the WHEEL file (the binary distribution format specification), else those of the file name."""
    for name, member in members.items():
        if name.endswith(".dist-info/WHEEL") and name.count("/") == 1:
            lines = member.data.decode("utf-8", "replace").splitlines()
            return tuple(line.removeprefix("Tag:").strip() for line in lines if line.startswith("Tag:"))
    return ("-".join(path.stem.split("-")[-3:]),)
