"""The little languages of PyUnicode_FromFormat and Py_BuildValue."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wheelworks.emulator.calling import Arguments
from wheelworks.emulator.capi.table import NewReference, Text, Variadic, answer
from wheelworks.emulator.findings import CannotRun

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

DIRECTIVE = re.compile(
    r"%(?:%|(?P<flags>[-0]*)(?P<width>\d*)(?:\.(?P<precision>\d+))?(?P<size>ll|l|z|j|t)?(?P<kind>.))"
)
TEXTS: dict[str, Callable[[object], str]] = {"U": str, "S": str, "R": repr, "A": ascii}
MAX_WIDTH = 1 << 20
SPACING = " \t,:"
CLOSING = {"(": ")", "[": "]", "{": "}"}


def formatted(guest: Interpreter, form: str, rest: Arguments) -> str:
    """What PyUnicode_FromFormat makes of a format and its arguments. Raises CannotRun for an unknown directive."""
    return DIRECTIVE.sub(lambda found: "%" if found[0] == "%%" else _directive(guest, found, rest), form)


def _directive(guest: Interpreter, found: re.Match[str], rest: Arguments) -> str:
    kind, width = found["kind"], int(found["width"] or 0)
    if width > MAX_WIDTH or int(found["precision"] or 0) > MAX_WIDTH:
        raise MemoryError
    if kind in "diouxX":
        size = {"": 4, "l": guest.abi.long, "ll": 8, "j": 8}.get(found["size"] or "", guest.abi.pointer)
        number = rest.signed(size) if kind in "di" else rest.unsigned(size)
        text = format(number, {"u": "d", "i": "d"}.get(kind, kind))
        digits = int(found["precision"] or 0)
        if "0" in found["flags"]:
            return text.zfill(width)
        return _padded(text.zfill(digits), width, found["flags"])
    text = _text(guest, kind, rest)
    if found["precision"] is not None:
        text = text[: int(found["precision"])]
    return _padded(text, width, found["flags"])


def _padded(text: str, width: int, flags: str) -> str:
    return text.ljust(width) if "-" in flags else text.rjust(width)


def _text(guest: Interpreter, kind: str, rest: Arguments) -> str:
    word = guest.abi.pointer
    if kind == "c":
        return chr(rest.unsigned(4))
    if kind == "p":
        return f"{rest.unsigned(word):#x}"
    if kind == "s":
        return guest.memory.text(rest.unsigned(word)).decode(errors="replace")
    if kind == "V":
        address, default = rest.unsigned(word), rest.unsigned(word)
        if not address:
            return guest.memory.text(default).decode(errors="replace")
        return str(guest.objects.value(guest.objects.at(address)))
    convert = TEXTS.get(kind)
    if convert is None:
        raise CannotRun(f"it formats text with %{kind}, which the emulated interpreter doesn't answer")
    return convert(guest.objects.value(guest.objects.at(rest.unsigned(word))))


@answer("_Py_BuildValue_SizeT")
def Py_BuildValue(guest: Interpreter, form: Text, rest: Variadic) -> NewReference:
    builder = Builder(guest, form, rest)
    values = builder.until("")
    return None if not values else values[0] if len(values) == 1 else tuple(values)


class Builder:
    """Reads a Py_BuildValue format from left to right."""

    def __init__(self, guest: Interpreter, form: str, rest: Arguments) -> None:
        self.guest, self.form, self.rest = guest, form, rest
        self.position = 0

    def until(self, closing: str) -> list[object]:
        """Values up to the closing bracket, or the end."""
        values: list[object] = []
        while self.position < len(self.form):
            code = self.form[self.position]
            self.position += 1
            if code == closing:
                return values
            if code not in SPACING:
                values.append(self.value(code))
        if closing:
            raise SystemError("unmatched paren in format")
        return values

    def value(self, code: str) -> object:
        """The value that a format unit stands for."""
        if code in CLOSING:
            values = self.until(CLOSING[code])
            if code == "(":
                return tuple(values)
            return values if code == "[" else dict(zip(values[::2], values[1::2], strict=True))
        if code in "szyU":
            return self._string(code)
        if code in "OSN":
            return self._object(code)
        return self._number(code)

    def _string(self, code: str) -> object:
        address = self.rest.unsigned(self.guest.abi.pointer)
        content: bytes | None = None
        if self.position < len(self.form) and self.form[self.position] == "#":
            self.position += 1
            size = self.rest.signed(self.guest.abi.pointer)
            content = self.guest.memory.load(address, size) if address and size else b"" if address else None
        elif address:
            content = self.guest.memory.text(address)
        if content is None:
            return None
        return content if code == "y" else content.decode()

    def _object(self, code: str) -> object:
        if self.position < len(self.form) and self.form[self.position] == "&":
            raise CannotRun("it builds a value with O&, which the emulated interpreter doesn't answer")
        address = self.rest.unsigned(self.guest.abi.pointer)
        if not address:
            raise self.guest.errors.take() or SystemError("NULL object passed to Py_BuildValue")
        made = self.guest.objects.at(address)
        value = self.guest.objects.value(made)
        if code == "N":
            self.guest.objects.remove_reference(made)
        return value

    def _number(self, code: str) -> object:
        sizes = {"b": 4, "h": 4, "i": 4, "l": self.guest.abi.long, "L": 8, "n": self.guest.abi.pointer}
        unsigned = {"B": 4, "H": 4, "I": 4, "k": self.guest.abi.long, "K": 8}
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
        raise CannotRun(f"it builds a value with {code!r} in {self.form!r}, which isn't answered")
