"""Reading a wheel of unknown origin: whether a Python of another platform would take it, and its files, checked.

Wheels are unpacked here, on the host, and not by pip in the root: an emulated pip takes half a minute, pip checks no
hash of what it unpacks, and whoever looks at every file can refuse a hostile wheel before anything runs.
The format is that of the "Binary distribution format" specification; platform tags are those of PEP 600 and PEP 656.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelworks.core.archive import Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import check_record, read_members

LIMITS = Limits(200 << 20, 20_000)  # whatever is run in a root is small
_GLIBC = re.compile(r"(?:linux|manylinux_2_\d+|manylinux1|manylinux2010|manylinux2014)_(.+)")


def project(wheel: Path) -> str:
    """The normalised name of the wheel's project; raises WheelworksError for a file name that is no wheel's."""
    return _parsed(wheel)[0]


def mismatch(wheel: Path, cpu: str, python: str) -> str:
    """Why CPython ``python`` ("3.11", with the GIL) of glibc Linux on ``cpu`` wouldn't take the wheel; "" if it would.

    Raises WheelworksError for a file name that is no wheel's.
    """
    tags = _parsed(wheel)[1]
    here = [tag for tag in tags if (match := _GLIBC.fullmatch(tag.platform)) and match[1] == cpu]
    if not here:
        return f"it is for {_listed(tag.platform for tag in tags)}, not for glibc Linux on {cpu}"
    if not any(_abi_fits(tag, python) for tag in here):
        abis = _listed(f"{tag.interpreter}-{tag.abi}" for tag in here)
        return f"it is for {abis}, not for CPython {python} with the GIL"
    return ""


def unpack(wheel: Path, site: Path, *, native: bool = True) -> list[str]:
    """Unpack a wheel into ``site`` and give the files' names there; without ``native``, shared objects stay out.

    Every file must be in RECORD with its right SHA-256 hash. Scripts, headers and data are not installed.
    Raises WheelworksError for what is no wheel, is damaged, would leave ``site``, or is too large.
    """
    members = read_members(wheel, LIMITS)
    check_record(members, wheel.name)
    wanted = [name for name in members if native or not name.endswith(".so")]
    return sorted(place for name in wanted if (place := _write(name, members[name].data, site)))


def extension_modules(files: Iterable[str]) -> list[str]:
    """The import names of the extension modules among a wheel's files, sorted."""
    paths = [PurePosixPath(name) for name in files if name.endswith(".so")]
    names = [".".join([*path.parts[:-1], path.name.partition(".")[0]]) for path in paths]
    return sorted(name for name in names if all(part.isidentifier() for part in name.split(".")))


def _parsed(wheel: Path) -> tuple[str, frozenset[Tag]]:
    try:
        name, _, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise WheelworksError(
            f"{wheel.name}: {error}", "a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        ) from None
    return name, tags


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def _abi_fits(tag: Tag, python: str) -> bool:
    major, minor = map(int, python.split("."))
    this = f"cp{major}{minor}"
    if tag.abi == "none":
        return tag.interpreter in (this, f"py{major}", f"py{major}{minor}")
    if tag.abi == "abi3":  # PEP 384: that version and every later one
        return bool(re.fullmatch(rf"cp{major}\d+", tag.interpreter)) and int(tag.interpreter[3:]) <= minor
    return tag.interpreter == this and tag.abi == this


def _write(name: str, content: bytes, site: Path) -> str:
    """Write one file; gives its name in ``site``, or "" for one that isn't installed there."""
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
            return ""
        parts = parts[2:]
    target = site.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return "/".join(parts)
