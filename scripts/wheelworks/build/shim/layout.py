"""The target's C types: their sizes, alignments and byte order, and `struct` as it is on the target."""

from __future__ import annotations

import collections
import re
import struct
from typing import Any

# Sizes in bytes. ``widest`` is the alignment of 8-byte types: 4 in the System V ABI of 32-bit x86. ``order`` is "<" or
# ">", as in `struct`.
Layout = collections.namedtuple("Layout", "pointer long wchar long_double widest order")

_ITEM = re.compile(r"\s*(\d*)([xcbB?hHiIlLqQnNefdspP])")
_SIZES = {
    **dict.fromkeys("xcbB?sp", 1),
    **dict.fromkeys("hHe", 2),
    **dict.fromkeys("iIf", 4),
    **dict.fromkeys("qQd", 8),
}


def refuse(question: str, layout_of: str = "the target") -> Any:
    """Raise RuntimeError for a question to which this machine doesn't know the target's answer."""
    raise RuntimeError(f"the project's build asks {question}, which can't be answered for {layout_of} on this machine")


def translate_format(text: Any, layout: Layout) -> str:
    """Return a format of `struct` with the target's sizes, padding and byte order in place of native ones."""
    words = text.decode("ascii") if isinstance(text, bytes) else str(text)
    if words[:1] in ("<", ">", "!"):
        return words
    if words[:1] == "=":
        return f"{layout.order}{words[1:]}"
    made, offset = [layout.order], 0
    for count, native in _ITEM.findall(words):
        code, size = _choose_code(native, layout)
        padding = -offset % min(size, layout.widest)
        made.append(f"{padding}x{count}{code}" if padding else f"{count}{code}")
        offset += padding + int(count or 1) * size
    rest = _ITEM.sub("", words.removeprefix("@")).strip()
    return "".join(made) + rest  # what isn't a code makes `struct` raise its own error


def _choose_code(code: str, layout: Layout) -> tuple[str, int]:
    """Return the code with a standard size that a native code stands for on the target, and that size in bytes."""
    if code in "lL":
        size = layout.long
    elif code in "nNP":
        size = layout.pointer
    else:
        return code, _SIZES[code]
    signed = {4: "i", 8: "q"}[size]
    return signed if code.islower() else signed.upper(), size


def make_struct_view(layout: Layout) -> dict[str, Any]:
    """Return the functions of `struct` as they are on the target."""

    def on_target(function: Any) -> Any:
        return lambda text, *rest, **named: function(translate_format(text, layout), *rest, **named)

    names = ("calcsize", "pack", "pack_into", "unpack", "unpack_from", "iter_unpack", "Struct")
    return {name: on_target(getattr(struct, name)) for name in names}
