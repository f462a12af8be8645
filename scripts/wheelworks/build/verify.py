"""Whether a built wheel is one for its target: the builder's own last look, which fails closed.

The audit asks far more of any wheel; this is what must hold before a wheel may be called built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import abi3info
from abi3info.models import PyVersion

from wheelworks.core.archive import Member
from wheelworks.core.binary import SUFFIXES, Binary, describe
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Target
from wheelworks.core.wheel import WheelName

_FORMAT = {"linux": "ELF", "macos": "Mach-O", "windows": "PE"}


@dataclass(frozen=True)
class NativeFile:
    """A native file of a wheel: its member name and what it says of itself."""

    member: str
    binary: Binary


def check_native_files(members: Mapping[str, Member], target: Target) -> list[NativeFile]:
    """The native files of a wheel built for ``target``.

    Raises WheelworksError where there is none, or one of another format or machine: what an optional extension
    leaves behind when its compiler failed, or a build that went round the target's compiler.
    """
    found = [
        NativeFile(name, binary)
        for name, member in members.items()
        if name.endswith(SUFFIXES)
        for binary in describe(member.data, name)
    ]
    if not found:
        raise WheelworksError(
            f"{target.id}: the wheel has no extension module",
            "the project builds none, or made it optional and dropped it when it failed to compile",
        )
    for one in found:
        _check_target(one, target)
        _check_entry_point(one, target)
    return found


def _check_target(one: NativeFile, target: Target) -> None:
    wanted = (_FORMAT[target.os], target.cpu)
    if (one.binary.format, one.binary.machine) != wanted:
        raise WheelworksError(
            f"{target.id}: {one.member} is {one.binary.format} for {one.binary.machine}, not {' for '.join(wanted)}",
            "something in the project's build called the host's compiler rather than $CC",
        )
    if target.os == "macos" and one.binary.minimum != target.minimum:
        raise WheelworksError(f"{target.id}: {one.member} needs macOS {one.binary.minimum}, not {target.minimum}")
    if target.os == "macos" and target.cpu == "aarch64" and not one.binary.signed:  # which Apple's ARM64 kernel kills
        raise WheelworksError(f"{target.id}: {one.member} isn't signed")


def _check_entry_point(one: NativeFile, target: Target) -> None:
    """A module's file name promises its entry point (PEP 489, PEP 793); a plain shared library's doesn't."""
    stem, _, ending = one.member.rsplit("/", 1)[-1].partition(".")
    entries = {f"PyInit_{stem}", f"PyModExport_{stem}"}
    is_module = ending == "pyd" or ending.startswith(("cp", "abi3"))
    if is_module and not entries & set(one.binary.exports):
        raise WheelworksError(f"{target.id}: {one.member} exports no PyInit_{stem}: Python could not import it")


def check_stable_abi(found: Iterable[NativeFile], name: WheelName, target: Target) -> None:
    """Whether an abi3 wheel asks CPython for its stable ABI only, as old as its Python tag (PEP 384, PEP 803).

    Raises WheelworksError that names the symbols.
    """
    if "-abi3" not in name.abi:
        return
    floor = min(tuple(map(int, (tag.interpreter[2:3], tag.interpreter[3:]))) for tag in name.tags)
    for one in found:
        pythons = {symbol for symbol in one.binary.symbols if symbol.startswith(("Py", "_Py"))}
        if wrong := sorted(symbol for symbol in pythons if not _is_stable(symbol, floor)):
            raise WheelworksError(
                f"{target.id}: {one.member} is tagged {name.abi} but calls {', '.join(wrong[:5])}, which is not in "
                f"the stable ABI of {floor[0]}.{floor[1]}",
                f"define Py_LIMITED_API as 0x{floor[0]:02x}{floor[1]:02x}0000 in the extension, or drop py_limited_api",
            )


def _is_stable(symbol: str, floor: tuple[int, ...]) -> bool:
    known = abi3info.FUNCTIONS.get(abi3info.models.Symbol(symbol)) or abi3info.DATAS.get(abi3info.models.Symbol(symbol))
    return known is not None and known.added <= PyVersion(floor[0], floor[1])


def check_host_paths(members: Mapping[str, Member], folders: Iterable[str], target: Target) -> None:
    """Whether no file names a folder of the building machine. Raises WheelworksError that names the file."""
    forms = [form for folder in folders for form in (folder.encode(), folder.encode("utf-16-le"))]
    for name, member in members.items():
        for form in forms:
            if (offset := member.data.find(form)) >= 0:
                shown = member.data[offset : offset + 80].split(b"\0")[0].decode("utf-8", "replace")
                raise WheelworksError(f"{target.id}: {name} names a folder of this machine at byte {offset}: {shown}")


def check_timestamps(found: Iterable[NativeFile], epoch: int, target: Target) -> None:
    """Whether a PE file's timestamp is the source's time. Raises WheelworksError."""
    for one in found:
        if one.binary.timestamp not in (None, epoch & 0xFFFFFFFF):
            raise WheelworksError(f"{target.id}: {one.member} bears the time {one.binary.timestamp}, not {epoch}")
