"""Functions that interpret format strings: PyUnicode_FromFormat, Py_BuildValue and PyArg_Parse*.

The host's own PyArg_ParseTupleAndKeywords converts arguments and raises exceptions. Its results are then stored through
the guest's pointers, in the guest's sizes.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator import exports as c
from wheelworks.emulator.calling import ArgumentReader
from wheelworks.emulator.capi.buffers import PARSE_TUPLE, PARSE_TUPLE_AND_KEYWORDS, create_view, release_view
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.state import HostBuffer, ProcessState

DIRECTIVE = re.compile(
    r"%(?:%|(?P<flags>[-0]*)(?P<width>\d*)(?:\.(?P<precision>\d+))?(?P<size>ll|l|z|j|t)?(?P<kind>.))"
)
TEXTS: dict[str, Callable[[object], str]] = {"U": str, "S": str, "R": repr, "A": ascii}
MAX_WIDTH = 1 << 20
SPACING = " \t,:"
CLOSING = {"(": ")", "[": "]", "{": "}"}


def format_text(state: ProcessState, form: str, rest: ArgumentReader) -> str:
    """Format text as PyUnicode_FromFormat does. Raises Unsupported for an unknown directive."""
    return DIRECTIVE.sub(lambda found: "%" if found[0] == "%%" else _format_directive(state, found, rest), form)


def _format_directive(state: ProcessState, found: re.Match[str], rest: ArgumentReader) -> str:
    kind, width = found["kind"], int(found["width"] or 0)
    if width > MAX_WIDTH or int(found["precision"] or 0) > MAX_WIDTH:
        raise MemoryError
    if kind in "diouxX":
        size = {"": 4, "l": state.abi.long, "ll": 8, "j": 8}.get(found["size"] or "", state.abi.pointer)
        number = rest.signed(size) if kind in "di" else rest.unsigned(size)
        text = format(number, {"u": "d", "i": "d"}.get(kind, kind))
        if "0" in found["flags"]:
            return text.zfill(width)
        return _pad(text.zfill(int(found["precision"] or 0)), width, found["flags"])
    text = _format_object(state, kind, rest)
    if found["precision"] is not None:
        text = text[: int(found["precision"])]
    return _pad(text, width, found["flags"])


def _pad(text: str, width: int, flags: str) -> str:
    return text.ljust(width) if "-" in flags else text.rjust(width)


def _format_object(state: ProcessState, kind: str, rest: ArgumentReader) -> str:
    word = state.abi.pointer
    if kind == "c":
        return chr(rest.unsigned(4))
    if kind == "p":
        return f"{rest.unsigned(word):#x}"
    if kind == "s":
        return state.memory.load_string(rest.unsigned(word)).decode(errors="replace")
    if kind == "V":
        address, default = rest.unsigned(word), rest.unsigned(word)
        if not address:
            return state.memory.load_string(default).decode(errors="replace")
        return str(state.objects.unwrap(state.objects.find(address)))
    convert = TEXTS.get(kind)
    if convert is None:
        raise Unsupported(f"it formats text with %{kind}, which isn't emulated")
    return convert(state.objects.unwrap(state.objects.find(rest.unsigned(word))))


@c.export("_Py_BuildValue_SizeT")
def Py_BuildValue(state: ProcessState, form: c.Text, rest: c.Variadic) -> c.NewReference:
    builder = ValueBuilder(state, form, rest)
    values = builder.build_until("")
    return None if not values else values[0] if len(values) == 1 else tuple(values)


class ValueBuilder:
    """Reads a Py_BuildValue format from left to right."""

    def __init__(self, state: ProcessState, form: str, rest: ArgumentReader) -> None:
        self.state, self.form, self.rest = state, form, rest
        self.position = 0

    def build_until(self, closing: str) -> list[object]:
        """Return the values up to the closing bracket, or to the end."""
        values: list[object] = []
        while self.position < len(self.form):
            code = self.form[self.position]
            self.position += 1
            if code == closing:
                return values
            if code not in SPACING:
                values.append(self.build_value(code))
        if closing:
            raise SystemError("unmatched paren in format")
        return values

    def build_value(self, code: str) -> object:
        """Return the value of a format unit."""
        if code in CLOSING:
            values = self.build_until(CLOSING[code])
            if code == "(":
                return tuple(values)
            return values if code == "[" else dict(zip(values[::2], values[1::2], strict=True))
        if code in "szyU":
            return self._build_string(code)
        if code in "OSN":
            return self._build_object(code)
        return self._build_number(code)

    def _build_string(self, code: str) -> object:
        address = self.rest.unsigned(self.state.abi.pointer)
        size = None
        if self.form.startswith("#", self.position):
            self.position += 1
            size = self.rest.signed(self.state.abi.pointer)
        if not address:
            return None
        memory = self.state.memory
        content = memory.load_string(address) if size is None else memory.load(address, size)
        return content if code == "y" else content.decode()

    def _build_object(self, code: str) -> object:
        if self.form.startswith("&", self.position):
            raise Unsupported("it builds a value with O&, which isn't emulated")
        address = self.rest.unsigned(self.state.abi.pointer)
        if not address:
            raise self.state.take_error() or SystemError("NULL object passed to Py_BuildValue")
        made = self.state.objects.find(address)
        value = self.state.objects.unwrap(made)
        if code == "N":
            self.state.objects.remove_reference(made)
        return value

    def _build_number(self, code: str) -> object:
        sizes = {"b": 4, "h": 4, "i": 4, "l": self.state.abi.long, "L": 8, "n": self.state.abi.pointer}
        unsigned = {"B": 4, "H": 4, "I": 4, "k": self.state.abi.long, "K": 8}
        if code in sizes:
            return self.rest.signed(sizes[code])
        if code in unsigned:
            return self.rest.unsigned(unsigned[code])
        if code in "df":
            return self.rest.double()
        if code == "c":
            return bytes([self.rest.unsigned(4) & 0xFF])
        if code == "C":
            return chr(self.rest.unsigned(4))
        raise Unsupported(f"it builds a value with {code!r} in {self.form!r}, which isn't emulated")


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
class FormatUnit:
    """One item of a format: the guest addresses for its results, and the host's variables that receive them."""

    code: str
    targets: list[int]
    cells: list[Any]
    given: bool = False
    subject: object = None


@c.export("_PyArg_ParseTuple_SizeT", failed=0)
def PyArg_ParseTuple(state: ProcessState, args: c.Value, form: c.Text, rest: c.Variadic) -> c.Int:
    units = read_units(state, form, rest)
    PARSE_TUPLE(args, convert_format(state, form).encode(), *list_cells(units))
    for index, unit in enumerate(units[: len(args)]):
        unit.given, unit.subject = True, args[index]
    store_units(state, units)
    return 1


@c.export("_PyArg_ParseTupleAndKeywords_SizeT", failed=0)
def PyArg_ParseTupleAndKeywords(
    state: ProcessState, args: c.Value, kwargs: c.OptionalObject, form: c.Text, names: c.Pointer, rest: c.Variadic
) -> c.Int:
    keywords = read_names(state, names)
    units = read_units(state, form, rest)
    given: Any = state.objects.unwrap(kwargs) if kwargs is not None else {}
    array = (ctypes.c_char_p * (len(keywords) + 1))(*keywords, None)
    PARSE_TUPLE_AND_KEYWORDS(args, given, convert_format(state, form).encode(), array, *list_cells(units))
    for index, (unit, keyword) in enumerate(zip(units, keywords, strict=False)):
        unit.given = index < len(args) or keyword.decode() in given
        unit.subject = args[index] if index < len(args) else given.get(keyword.decode())
    store_units(state, units)
    return 1


@c.export(failed=0)
def PyArg_UnpackTuple(
    state: ProcessState, args: c.Object, name: c.Text, least: c.Ssize, most: c.Ssize, rest: c.Variadic
) -> c.Int:
    values = state.objects.unwrap(args)
    assert isinstance(values, tuple)
    if not least <= len(values) <= most:
        bound = f"at least {least}" if len(values) < least else f"at most {most}"
        raise TypeError(f"{name} expected {bound} arguments, got {len(values)}")
    for value in values:
        target = rest.unsigned(state.abi.pointer)
        state.memory.store_pointer(target, state.objects.borrow(args, value).address)
    return 1


def read_names(state: ProcessState, array: int) -> list[bytes]:
    """Read a NULL-terminated array of strings."""
    found: list[bytes] = []
    while address := state.memory.load_pointer(array + len(found) * state.abi.pointer):
        found.append(state.memory.load_string(address))
    return found


def convert_format(state: ProcessState, form: str) -> str:
    """Return the format with which the host converts to the guest's sizes, whose ``long`` may be shorter."""
    _check_clean_lengths(state, form)
    items, mark, message = re.fullmatch(r"([^:;]*)([:;]?)(.*)", form, re.DOTALL).groups()  # type: ignore[union-attr]
    return "".join(_convert_code(state, code) for code in items) + mark + message


def _convert_code(state: ProcessState, code: str) -> str:
    """Return the host's format unit with the guest's size and sign."""
    long, word = state.abi.long, state.abi.pointer
    if code in "lk" and long == ctypes.sizeof(ctypes.c_long):
        return code
    if code == "l":
        return "i" if long == 4 else "L"
    if code == "k":
        return "I" if long == 4 else "K"
    return "i" if code == "n" and word == 4 else code


def _check_clean_lengths(state: ProcessState, form: str) -> None:
    """Raise as 3.10 to 3.12 do where ``#`` is used without the ``_SizeT`` functions (PEP 353)."""
    plain = not state.called.endswith("_SizeT")
    if plain and "#" in re.split("[:;]", form)[0] and state.abi.python.version < (3, 13):
        raise SystemError("PY_SSIZE_T_CLEAN macro must be defined for '#' formats")


def read_units(state: ProcessState, form: str, rest: ArgumentReader) -> list[FormatUnit]:
    """Read the format's units and the pointers passed for them. Raises Unsupported for an unknown unit."""
    items, position = re.split("[:;]", form)[0], 0
    units = []
    while position < len(items):
        found = UNIT.match(items, position)
        if found is None:
            raise Unsupported(f"it parses arguments with {form!r}, whose {items[position:]!r} isn't emulated")
        position = found.end()
        if found[0] not in "|$":
            units.append(_read_unit(state, found[0], rest))
    return units


def _read_unit(state: ProcessState, code: str, rest: ArgumentReader) -> FormatUnit:
    word = state.abi.pointer
    if code == "O!":
        kind = state.objects.unwrap(state.objects.find(rest.unsigned(word)))
        return FormatUnit(code, [rest.unsigned(word)], [ctypes.py_object(kind), ctypes.c_void_p()])
    if code.endswith("*"):
        return FormatUnit(code, [rest.unsigned(word)], [HostBuffer()])
    if code.endswith("#"):
        return FormatUnit(code, [rest.unsigned(word), rest.unsigned(word)], [ctypes.c_void_p(), ctypes.c_ssize_t()])
    kind = NUMBERS[_convert_code(state, code)][0] if code in NUMBERS else ctypes.c_void_p
    return FormatUnit(code, [rest.unsigned(word)], [kind()])


def list_cells(units: Sequence[FormatUnit]) -> list[Any]:
    """Return the arguments of the host's parser: a type for ``O!``, pointers to variables otherwise."""
    return [cell if isinstance(cell, ctypes.py_object) else ctypes.byref(cell) for u in units for cell in u.cells]


def store_units(state: ProcessState, units: Sequence[FormatUnit]) -> None:
    """Store the results through the guest's pointers. Raises Fault if these can't be variables of the right size."""
    stores: list[tuple[int, bytes]] = []
    for unit in units:
        if unit.given:
            stores += zip(unit.targets, _pack_unit(state, unit), strict=True)
        elif unit.code.endswith("*"):
            release_view(unit.cells[0])
    _check_targets(state, [(target, len(content)) for target, content in stores])
    for target, content in stores:
        state.memory.store(target, content)


def _pack_unit(state: ProcessState, unit: FormatUnit) -> list[bytes]:
    """Return the content of each C variable of a unit."""
    pack = state.abi.packer
    if unit.code in NUMBERS:
        return [pack(NUMBERS[unit.code][1]).pack(unit.cells[0].value)]
    subject = state.objects.wrap(unit.subject)
    if unit.code in OBJECTS:
        return [pack("P").pack(subject.address)]
    if unit.code.endswith("*"):
        return [create_view(state, subject, unit.cells[0], unit.targets[0])]
    contents = [pack("P").pack(0 if unit.subject is None else state.objects.get_data(subject).start)]
    return contents + [pack("n").pack(unit.cells[1].value)] * (len(unit.targets) - 1)


def _check_targets(state: ProcessState, places: list[tuple[int, int]]) -> None:
    """Check that variables don't overlap and are aligned to their size; otherwise they are of another type."""
    for target, size in places:
        if target % min(size, state.abi.pointer):
            text = f"{target:#x} receives {size} bytes, but is misaligned for a variable of that size"
            raise Fault("wrong-output-size", text)
    for (first, size), (second, _) in itertools.pairwise(sorted(places)):
        if first + size > second:
            raise Fault("wrong-output-size", f"the {size} bytes for {first:#x} overlap the variable at {second:#x}")
