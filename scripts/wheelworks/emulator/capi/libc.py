"""The functions of libc and of compilers' run-time libraries that small extensions call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelworks.emulator.capi.table import Int, Pointer, Size, answer
from wheelworks.emulator.findings import fault

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter


@answer("__memmove_chk")
def memmove(guest: Interpreter, to: Pointer, origin: Pointer, size: Size) -> Pointer:
    if size:
        guest.memory.store(to, guest.memory.load(origin, size))
    return to


@answer("__memcpy_chk", "__aeabi_memcpy", "__aeabi_memcpy4", "__aeabi_memcpy8")
def memcpy(guest: Interpreter, to: Pointer, origin: Pointer, size: Size) -> Pointer:
    if size and to < origin + size and origin < to + size and to != origin:
        raise fault("bad-api-use", f"memcpy of {size} bytes from {origin:#x} to {to:#x}, which overlap")
    if size:
        guest.memory.store(to, guest.memory.load(origin, size))
    return to


@answer("__memset_chk")
def memset(guest: Interpreter, to: Pointer, byte: Int, size: Size) -> Pointer:
    guest.memory.fill(to, byte & 0xFF, size)
    return to


@answer()
def bzero(guest: Interpreter, to: Pointer, size: Size) -> None:
    guest.memory.fill(to, 0, size)


@answer("bcmp")
def memcmp(guest: Interpreter, left: Pointer, right: Pointer, size: Size) -> Int:
    if not size:
        return 0
    return _order(guest.memory.load(left, size), guest.memory.load(right, size))


@answer()
def memchr(guest: Interpreter, text: Pointer, byte: Int, size: Size) -> Pointer:
    """Reads no further than the byte it looks for."""
    for address in range(text, text + size):
        if guest.memory.load(address, 1)[0] == byte & 0xFF:
            return address
    return 0


@answer()
def strlen(guest: Interpreter, text: Pointer) -> Size:
    return len(guest.memory.text(text))


@answer()
def strcmp(guest: Interpreter, left: Pointer, right: Pointer) -> Int:
    return _order(guest.memory.text(left), guest.memory.text(right))


@answer()
def strncmp(guest: Interpreter, left: Pointer, right: Pointer, size: Size) -> Int:
    return _order(_prefix(guest, left, size), _prefix(guest, right, size))


@answer()
def strchr(guest: Interpreter, text: Pointer, byte: Int) -> Pointer:
    found = (guest.memory.text(text) + b"\0").find(byte & 0xFF)
    return text + found if found >= 0 else 0


@answer("__fortify_fail", "_invalid_parameter_noinfo_noreturn")
def abort(guest: Interpreter) -> None:
    raise fault("abort", "the code gave up: it called abort")


@answer("__stack_smash_handler", "__report_rangecheckfailure", "__report_gsfailure")
def __stack_chk_fail(guest: Interpreter) -> None:
    raise fault("stack-smashed", "the stack protector found its value overwritten")


@answer("__register_frame_info", "__deregister_frame_info", "__gmon_start__")
def __cxa_finalize(guest: Interpreter) -> Pointer:
    """What start-up code tells the C run-time: nothing is kept."""
    return 0


@answer()
def __cxa_atexit(guest: Interpreter, function: Pointer, argument: Pointer, library: Pointer) -> Int:
    """The process never ends here."""
    return 0


def _order(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


def _prefix(guest: Interpreter, text: int, size: int) -> bytes:
    """A string of at most ``size`` bytes: what follows them isn't read."""
    found = bytearray()
    while len(found) < size and (byte := guest.memory.load(text + len(found), 1)) != b"\0":
        found += byte
    return bytes(found)
