"""Finding the extension modules in a wheel, without trusting it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from wheelworks.errors import UsageError, WheelworksError
from wheelworks.execute.image import MAX_FILE

SUFFIXES = (".so", ".pyd", ".dylib")
MAX_METADATA = 1 << 20


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
    try:
        if path.suffix != ".whl" and not zipfile.is_zipfile(path):
            return (Extension(path.name, _bounded(path)),)
        with zipfile.ZipFile(path) as wheel:
            tags = _tags(wheel, path)
            names = [info for info in wheel.infolist() if info.filename.endswith(SUFFIXES)]
            return tuple(Extension(info.filename, _member(wheel, info, path), tags) for info in names)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory", "give wheel files") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise WheelworksError(f"{path.name}: not a readable wheel: {error}", "download or build it again") from None
    except Exception as error:
        if type(error).__module__ in ("zlib", "_lzma", "lzma"):
            raise WheelworksError(f"{path.name}: damaged: {error}", "download or build it again") from None
        raise


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


def _member(wheel: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, limit: int = MAX_FILE) -> bytes:
    """A member's bytes: as many as it has, whatever its header says."""
    with wheel.open(info) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise WheelworksError(f"{path.name}: {info.filename} has more than {limit >> 20} MiB")
    return data


def _tags(wheel: zipfile.ZipFile, path: Path) -> tuple[str, ...]:
    """The tags in the WHEEL file (the binary distribution format specification), else those of the file name."""
    for info in wheel.infolist():
        if info.filename.endswith(".dist-info/WHEEL") and info.filename.count("/") == 1:
            text = _member(wheel, info, path, MAX_METADATA).decode("utf-8", "replace")
            return tuple(line.removeprefix("Tag:").strip() for line in text.splitlines() if line.startswith("Tag:"))
    return ("-".join(path.stem.split("-")[-3:]),)
