"""Verify that a wheel that the backend built is one for its target: what must hold before it counts as built.

The audit checks any wheel, and far more of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import abi3info
from abi3info.models import PyVersion, Symbol

from wheelworks.build.command_lines import is_python_symbol
from wheelworks.core.archive import Member
from wheelworks.core.binary import SUFFIXES, Binary, describe, name_entry_points
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target
from wheelworks.core.wheel import WheelName

_SUFFIXES = re.compile(r"\.[^/]*$")  # of a file's name: ".abi3.so"
_LIBRARY_FOLDER = re.compile(r"^[^/]+\.data/(platlib|purelib)/")  # whose contents are installed beside the others
_PLATFORM_SETTING = re.compile(rb"\bplat[_-]name[\"']?\s*[=:](?!=)")  # in setup.cfg, TOML or Python
_FORMAT = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}


@dataclass(frozen=True)
class NativeFile:
    """A native file of a wheel: its member name and its parsed binary."""

    member: str
    binary: Binary


def check_platform(name: WheelName, target: Target, tree: Path) -> None:
    """Check that the backend built for the target's platform; ``tree`` is the project's. Raises WheelworksError."""
    wanted = target.platform.replace("-", "_").replace(".", "_")
    if name.platforms == {"any"}:
        raise WheelworksError(
            f"{target.id}: the project builds a wheel for any platform: it has no extension module",
            "a wheel of pure Python needs no cross-building",
        )
    if name.platforms != {wanted}:
        made = f"a wheel for {', '.join(sorted(name.platforms))}, not {wanted}"
        if file := _find_platform_setting(tree):
            message = f"{target.id}: the project's {file} sets plat_name, which makes {made}"
            raise WheelworksError(message, f"remove plat_name from {file}: each build names its own platform")
        raise WheelworksError(f"{target.id}: the build backend made {made}", "it ignores the target's sysconfig")


def _find_platform_setting(tree: Path) -> str:
    """Return the file of a project that sets the platform of its wheels for every build; "" if there is none."""
    files = [tree / name for name in ("setup.cfg", "pyproject.toml", "setup.py")]
    found = (file.name for file in files if file.is_file() and _PLATFORM_SETTING.search(file.read_bytes()))
    return next(found, "")


def check_abi(name: WheelName, target: Target, abi: Abi) -> None:
    """Check that the backend built for the requested ABI. Raises WheelworksError."""
    if not abi.accepts(name.abi):
        floor = re.fullmatch(r"cp3(\d+)-abi3", name.abi)
        later = floor is not None and int(floor[1]) > abi.minor
        raise WheelworksError(
            f"{target.id}: the build backend made a wheel for {name.abi}, not {abi.id}",
            f"build for that Python: --abi {name.abi}" if later else "it ignores the target's sysconfig",
        )


def find_missing_modules(members: Iterable[str], declared: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Return the extension modules that a project declares and its wheel lacks, without the ``allowed`` ones."""
    natives = [_LIBRARY_FOLDER.sub("", name) for name in members if name.endswith(SUFFIXES)]
    present = {_SUFFIXES.sub("", name) for name in natives}
    return sorted(name for name in {*declared} - {*allowed} if name.replace(".", "/") not in present)


def check_native_files(members: Mapping[str, Member], target: Target) -> list[NativeFile]:
    """Return the native files of a wheel. Each is for ``target``.

    Raises WheelworksError for a wheel without one (an optional extension whose compilation failed is left out), or with
    one of another format or machine (something bypassed the target's compiler).
    """
    natives = [
        NativeFile(name, binary)
        for name, member in members.items()
        if name.endswith(SUFFIXES)
        for binary in describe(member.data, name)
    ]
    if not natives:
        raise WheelworksError(
            f"{target.id}: the wheel has no extension module",
            "the project builds none, or made it optional and dropped it when it failed to compile",
        )
    for native in natives:
        _check_target(native, target)
        _check_entry_point(native, target)
    return natives


def _check_target(native: NativeFile, target: Target) -> None:
    binary, prefix = native.binary, f"{target.id}: {native.member}"
    wanted = (_FORMAT[target.os], target.cpu)
    if (binary.format, binary.machine) != wanted:
        raise WheelworksError(
            f"{prefix} is {binary.format} for {binary.machine}, not {' for '.join(wanted)}",
            "something in the project's build called the host's compiler rather than $CC",
        )
    if target.os == "macos" and binary.minimum != target.minimum:
        raise WheelworksError(f"{prefix} needs macOS {binary.minimum}, not {target.minimum}")
    if target.os == "macos" and target.cpu == "aarch64" and not binary.signed:  # macOS kills unsigned ARM64 code
        raise WheelworksError(f"{prefix} isn't signed")


def _check_entry_point(native: NativeFile, target: Target) -> None:
    """Check the entry point of an extension module (PEP 489, PEP 793).

    Plain shared libraries have none, and call nothing of CPython; projects give them a module's name for ctypes.
    """
    stem, _, suffix = native.member.rsplit("/", 1)[-1].partition(".")
    entries = name_entry_points(stem)
    is_module = suffix == "pyd" or suffix.startswith(("cp", "abi3"))
    uses_python = any(map(is_python_symbol, native.binary.symbols))
    if is_module and uses_python and not {*entries} & set(native.binary.exports):
        raise WheelworksError(f"{target.id}: {native.member} exports no {entries[0]}: Python could not import it")


def check_stable_abi(natives: Iterable[NativeFile], name: WheelName, target: Target) -> None:
    """Check that an abi3 wheel only uses the stable ABI of its Python tag's version (PEP 384, PEP 803).

    Raises WheelworksError that names the other symbols.
    """
    if "-abi3" not in name.abi:
        return
    floor = PyVersion(*min((int(tag.interpreter[2:3]), int(tag.interpreter[3:])) for tag in name.tags))
    for native in natives:
        symbols = sorted(filter(is_python_symbol, native.binary.symbols))
        if unstable := [symbol for symbol in symbols if not _is_stable(symbol, floor)]:
            raise WheelworksError(
                f"{target.id}: {native.member} is tagged {name.abi} but calls {', '.join(unstable[:5])}, which is not "
                f"in the stable ABI of {floor.major}.{floor.minor}",
                f"define Py_LIMITED_API as 0x{floor.major:02x}{floor.minor:02x}0000 in the extension, "
                "or drop py_limited_api",
            )


def _is_stable(name: str, floor: PyVersion) -> bool:
    known = abi3info.FUNCTIONS.get(Symbol(name)) or abi3info.DATAS.get(Symbol(name))
    return known is not None and known.added <= floor


def check_host_paths(members: Mapping[str, Member], folders: Iterable[str], target: Target) -> None:
    """Check that no file contains a path of the building machine. Raises WheelworksError that names the file."""
    # Compilers for Windows write their file names with backslashes, wherever they run.
    spellings = {text for folder in folders for text in (folder, folder.replace("/", "\\"), folder.replace("\\", "/"))}
    forms = [form for text in sorted(spellings) for form in (text.encode(), text.encode("utf-16-le"))]
    for name, member in members.items():
        for form in forms:
            if (offset := member.data.find(form)) >= 0:
                text = member.data[offset : offset + 80].split(b"\0")[0].decode("utf-8", "replace")
                raise WheelworksError(f"{target.id}: {name} names a folder of this machine at byte {offset}: {text}")


def check_timestamps(natives: Iterable[NativeFile], epoch: int, target: Target) -> None:
    """Check that the timestamp of PE files is the source's time, ``epoch`` (Unix seconds). Raises WheelworksError."""
    for native in natives:
        if native.binary.timestamp not in (None, epoch & 0xFFFFFFFF):
            raise WheelworksError(f"{target.id}: {native.member} has the time {native.binary.timestamp}, not {epoch}")
