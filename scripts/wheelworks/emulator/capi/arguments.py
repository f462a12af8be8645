"""PyArg_*: Python arguments into C variables.

This interpreter's own PyArg_ParseTupleAndKeywords does the conversions and raises what it raises; what it wrote is
then stored through the guest's pointers, in the guest's sizes.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wheelworks.emulator.calling import Arguments
from wheelworks.emulator.capi.buffers import release_view, show_view
from wheelworks.emulator.capi.table import Int, Object, OptionalObject, Pointer, Ssize, Text, Value, Variadic, answer
from wheelworks.emulator.findings import CannotRun, fault
from wheelworks.emulator.host import PARSE_TUPLE, PARSE_TUPLE_AND_KEYWORDS, HostBuffer

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

UNIT = re.compile(r"[|$]|[szy][#*]?|w\*|O!|[bBhHiIlkLKncCfdpOSUY]")
OBJECTS = {"O", "O!", "S", "U", "Y"}
# Format unit: the C type here, and the code of wheelworks.emulator.abi.Abi.packer for it there.
NUMBERS: dict[str, tuple[Any, str]] = {
    "b": (ctypes.c_ubyte, "B"), "B": (ctypes.c_ubyte, "B"), "h": (ctypes.c_short, "h"), "H": (ctypes.c_ushort, "H"),
    "i": (ctypes.c_int, "i"), "I": (ctypes.c_uint, "I"), "l": (ctypes.c_long, "l"), "k": (ctypes.c_ulong, "L"),
    "L": (ctypes.c_longlong, "q"), "K": (ctypes.c_ulonglong, "Q"), "n": (ctypes.c_ssize_t, "n"),
    "c": (ctypes.c_ubyte, "B"), "C": (ctypes.c_int, "i"), "f": (ctypes.c_float, "f"), "d": (ctypes.c_double, "d"),
    "p": (ctypes.c_int, "i"),
}  # fmt: skip


@dataclass
class Unit:
    """One item of a format, where its results go in the guest, and the variables that receive them here."""

    code: str
    targets: list[int]
    cells: list[Any]
    given: bool = False
    subject: object = None


@answer("_PyArg_ParseTuple_SizeT", failed=0)
def PyArg_ParseTuple(guest: Interpreter, args: Value, form: Text, rest: Variadic) -> Int:
    units = read_units(guest, form, rest)
    PARSE_TUPLE(args, guest_format(guest, form).encode(), *host_cells(units))
    for index, unit in enumerate(units[: len(args)]):
        unit.given, unit.subject = True, args[index]
    store_units(guest, units)
    return 1


@answer("_PyArg_ParseTupleAndKeywords_SizeT", failed=0)
def PyArg_ParseTupleAndKeywords(
    guest: Interpreter, args: Value, kwargs: OptionalObject, form: Text, names: Pointer, rest: Variadic
) -> Int:
    keywords = read_names(guest, names)
    units = read_units(guest, form, rest)
    given: Any = guest.objects.value(kwargs) if kwargs is not None else {}
    array = (ctypes.c_char_p * (len(keywords) + 1))(*keywords, None)
    PARSE_TUPLE_AND_KEYWORDS(args, given, guest_format(guest, form).encode(), array, *host_cells(units))
    for index, (unit, keyword) in enumerate(zip(units, keywords, strict=False)):
        unit.given = index < len(args) or keyword.decode() in given
        unit.subject = args[index] if index < len(args) else given.get(keyword.decode())
    store_units(guest, units)
    return 1


@answer(failed=0)
def PyArg_UnpackTuple(guest: Interpreter, args: Object, name: Text, least: Ssize, most: Ssize, rest: Variadic) -> Int:
    values = guest.objects.value(args)
    assert isinstance(values, tuple)
    if not least <= len(values) <= most:
        bound = f"at least {least}" if len(values) < least else f"at most {most}"
        raise TypeError(f"{name} expected {bound} arguments, got {len(values)}")
    for value in values:
        target = rest.unsigned(guest.abi.pointer)
        guest.memory.store_pointer(target, guest.objects.child(args, value).address)
    return 1


def read_names(guest: Interpreter, array: int) -> list[bytes]:
    """A NULL-terminated array of strings."""
    found: list[bytes] = []
    while address := guest.memory.pointer(array + len(found) * guest.abi.pointer):
        found.append(guest.memory.text(address))
    return found


def guest_format(guest: Interpreter, form: str) -> str:
    """The format with which this interpreter converts to the guest's sizes: its ``long`` may be shorter."""
    _needs_clean_lengths(guest, form)
    items, mark, message = re.fullmatch(r"([^:;]*)([:;]?)(.*)", form, re.DOTALL).groups()  # type: ignore[union-attr]
    return "".join(_host_code(guest, code) for code in items) + mark + message


def _host_code(guest: Interpreter, code: str) -> str:
    """The format unit that has the guest's size and sign here."""
    long, word = guest.abi.long, guest.abi.pointer
    if code in "lk" and long == ctypes.sizeof(ctypes.c_long):
        return code
    if code == "l":
        return "i" if long == 4 else "L"
    if code == "k":
        return "I" if long == 4 else "K"
    return "i" if code == "n" and word == 4 else code


def _needs_clean_lengths(guest: Interpreter, form: str) -> None:
    """From 3.10 to 3.12 only the ``_SizeT`` functions take ``#`` (PEP 353)."""
    plain = not guest.called.endswith("_SizeT")
    if plain and "#" in re.split("[:;]", form)[0] and guest.abi.python.version < (3, 13):
        raise SystemError("PY_SSIZE_T_CLEAN macro must be defined for '#' formats")


def read_units(guest: Interpreter, form: str, rest: Arguments) -> list[Unit]:
    """The format's units with the pointers given for them. Raises CannotRun for a unit that isn't modelled."""
    items = re.split("[:;]", form)[0]
    units = []
    position = 0
    while position < len(items):
        found = UNIT.match(items, position)
        if found is None:
            raise CannotRun(f"it parses arguments with {form!r}, whose {items[position:]!r} isn't answered")
        position = found.end()
        if found[0] not in "|$":
            units.append(_read_unit(guest, found[0], rest))
    return units


def _read_unit(guest: Interpreter, code: str, rest: Arguments) -> Unit:
    word = guest.abi.pointer
    if code == "O!":
        kind = guest.objects.value(guest.objects.at(rest.unsigned(word)))
        return Unit(code, [rest.unsigned(word)], [ctypes.py_object(kind), ctypes.c_void_p()])
    if code.endswith("*"):
        return Unit(code, [rest.unsigned(word)], [HostBuffer()])
    if code.endswith("#"):
        return Unit(code, [rest.unsigned(word), rest.unsigned(word)], [ctypes.c_void_p(), ctypes.c_ssize_t()])
    kind = NUMBERS[_host_code(guest, code)][0] if code in NUMBERS else ctypes.c_void_p
    return Unit(code, [rest.unsigned(word)], [kind()])


def host_cells(units: Sequence[Unit]) -> list[Any]:
    """What this interpreter's parser is given: an object for ``O!``, pointers to variables for the rest."""
    return [cell if isinstance(cell, ctypes.py_object) else ctypes.byref(cell) for u in units for cell in u.cells]


def store_units(guest: Interpreter, units: Sequence[Unit]) -> None:
    """Store what was parsed through the guest's pointers. Raises Fault where they can't be what they should be."""
    stores: list[tuple[int, bytes]] = []
    for unit in units:
        if unit.given:
            stores += zip(unit.targets, _contents(guest, unit), strict=True)
        elif unit.code.endswith("*"):
            release_view(unit.cells[0])
    _check_places(guest, [(target, len(content)) for target, content in stores])
    for target, content in stores:
        guest.memory.store(target, content)


def _contents(guest: Interpreter, unit: Unit) -> list[bytes]:
    """The bytes of each C variable of a unit."""
    pack = guest.abi.packer
    if unit.code in NUMBERS:
        code = NUMBERS[unit.code][1]
        return [pack(code).pack(unit.cells[0].value)]
    subject = guest.objects.of(unit.subject)
    if unit.code in OBJECTS:
        return [pack("P").pack(subject.address)]
    if unit.code.endswith("*"):
        return [show_view(guest, subject, unit.cells[0], unit.targets[0])]
    missing = unit.subject is None
    contents = [pack("P").pack(0 if missing else guest.objects.data(subject).start)]
    return contents + [pack("n").pack(unit.cells[1].value)] * (len(unit.targets) - 1)


def _check_places(guest: Interpreter, places: list[tuple[int, int]]) -> None:
    """C variables lie apart from one another and at multiples of their size: else they are of another type."""
    for target, size in places:
        width = min(size, guest.abi.pointer)
        if target % width:
            text = f"{target:#x} is to receive {size} bytes, but can't be a variable of that size: it is misaligned"
            raise fault("wrong-output-size", text)
    ordered = sorted(places)
    for (first, size), (second, _) in itertools.pairwise(ordered):
        if first + size > second:
            raise fault("wrong-output-size", f"the {size} bytes for {first:#x} run into the variable at {second:#x}")
