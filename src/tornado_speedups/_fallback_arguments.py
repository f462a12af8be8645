"""Arguments of the functions in Python, bytes and numbers: the twin of arguments.c."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, SupportsIndex

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def as_bytes(name: str, value: ReadableBuffer | str) -> bytes:
    """The bytes of the argument ``name``; what subclasses of bytes and str override has no say in it, as in C."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return str.encode(value)
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{name} must be a bytes-like object or str, not {type(value).__name__}") from None
    with view:
        if not view.c_contiguous:
            raise BufferError(f"{name} must be contiguous")
        return view.tobytes()


def as_int(name: str, value: SupportsIndex) -> int:
    """The number that the argument ``name`` is."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
