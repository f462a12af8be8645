"""websocket_mask: every implementation gives the results of Tornado's functions, for every length and alignment."""

from __future__ import annotations

import array
import ctypes
import inspect
import mmap
from collections.abc import Callable
from typing import Any

import pytest
import tornado.util
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tornado_speedups import _python

MASK = b"\x37\xfa\x21\x3d"
POWERS = [2**exponent for exponent in range(9, 17)]
LENGTHS = [*range(301), *(power + delta for power in POWERS for delta in (-1, 0, 1))]

TORNADO_IN_PYTHON = tornado.util._websocket_mask_python
TORNADO = tornado.util._websocket_mask

# Characters by their number of bytes in UTF-8, from which FOUR_BYTES makes text of four bytes.
_TAKES = {
    1: st.characters(max_codepoint=0x7F),
    2: st.characters(min_codepoint=0x80, max_codepoint=0x7FF),
    3: st.characters(min_codepoint=0x800, max_codepoint=0xFFFF, exclude_categories=["Cs"]),
    4: st.characters(min_codepoint=0x10000),
}
_SIZES = st.sampled_from([(1, 1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2), (1, 3), (3, 1), (4,)])
FOUR_BYTES = _SIZES.flatmap(lambda sizes: st.tuples(*(_TAKES[size] for size in sizes))).map("".join)


def bytes_of(length: int) -> bytes:
    """Return bytes without a short period, which could hide a wrong offset in the mask."""
    return bytes((i * 167 + (i >> 8) * 59 + 13) & 0xFF for i in range(length))


def test_known_answer(speedups: Any) -> None:
    """RFC 6455, section 5.7, contains this masked "Hello" as an example."""
    assert speedups.websocket_mask(MASK, b"Hello") == b"\x7f\x9f\x4d\x51\x58"


def test_every_length(speedups: Any) -> None:
    for length in LENGTHS:
        data = bytes_of(length)
        masked = speedups.websocket_mask(MASK, data)
        assert type(masked) is bytes
        assert masked == TORNADO_IN_PYTHON(MASK, data) == TORNADO(MASK, data), length


def test_every_alignment(speedups: Any) -> None:
    buffer = bytes_of(256)
    for start in range(17):
        for length in (0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 79, 127, 128, 129, 200):
            view = memoryview(buffer)[start : start + length]
            assert speedups.websocket_mask(MASK, view) == TORNADO_IN_PYTHON(MASK, bytes(view)), (start, length)


def test_every_alignment_of_the_mask(speedups: Any) -> None:
    buffer = bytes_of(24)
    for start in range(17):
        view = memoryview(buffer)[start : start + 4]
        assert speedups.websocket_mask(view, bytes_of(77)) == TORNADO_IN_PYTHON(bytes(view), bytes_of(77)), start


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(mask=st.binary(min_size=4, max_size=4), data=st.binary(max_size=2000))
def test_parity(speedups: Any, mask: bytes, data: bytes) -> None:
    masked = speedups.websocket_mask(mask, data)
    assert masked == _python.websocket_mask(mask, data) == TORNADO_IN_PYTHON(mask, data) == TORNADO(mask, data)
    assert speedups.websocket_mask(mask, masked) == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(mask=FOUR_BYTES, data=st.text())
def test_str_stands_for_its_utf_8(speedups: Any, mask: str, data: str) -> None:
    assert speedups.websocket_mask(mask, data) == TORNADO_IN_PYTHON(mask.encode(), data.encode())


class Bytes(bytes):
    """A subclass whose methods return wrong data, which no implementation may use."""

    def __bytes__(self) -> bytes:
        return b"lies"

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return b"lies"


class Str(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"lies"


def as_mmap(data: bytes) -> mmap.mmap:
    mapping = mmap.mmap(-1, len(data))
    mapping[:] = data
    return mapping


FORMS: dict[str, Callable[[bytes], Any]] = {
    "bytearray": bytearray,
    "memoryview": memoryview,
    "bytes subclass": Bytes,
    "mmap": as_mmap,
    "writable view": lambda data: memoryview(bytearray(data)),
    "view of ints": lambda data: memoryview(data).cast("I"),
    "view of two dimensions": lambda data: memoryview(data).cast("B", [2, len(data) // 2]),
    "array": lambda data: array.array("H", data),
    "ctypes array": lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
    "str subclass": lambda data: Str(data.decode()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_bytes_like_arguments(speedups: Any, form: Callable[[bytes], Any]) -> None:
    mask, data = b"ab~\x01", b"any bytes-like object, here: 40 bytes..."
    assert speedups.websocket_mask(form(mask), form(data)) == TORNADO_IN_PYTHON(mask, data)


def test_the_data_is_left_alone(speedups: Any) -> None:
    data = bytearray(bytes_of(100))
    masked = speedups.websocket_mask(MASK, data)
    assert data == bytes_of(100)
    data.append(1)  # raises BufferError if the buffer was not released
    assert masked == TORNADO_IN_PYTHON(MASK, bytes_of(100))


def released() -> memoryview:
    view = memoryview(b"1234")
    view.release()
    return view


GAPPED = memoryview(b"1.2.3.4.")[::2]
NOT_BYTES = "must be a bytes-like object or str, not "
WRONG: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "no arguments": ((), TypeError, "websocket_mask() missing 2 required positional arguments: 'mask' and 'data'"),
    "no data": ((MASK,), TypeError, "websocket_mask() missing 1 required positional argument: 'data'"),
    "three": ((MASK, b"", 0), TypeError, "websocket_mask() takes 2 positional arguments but 3 were given"),
    "None mask": ((None, b""), TypeError, f"mask {NOT_BYTES}NoneType"),
    "int data": ((MASK, 1), TypeError, f"data {NOT_BYTES}int"),
    "list data": ((MASK, [1, 2]), TypeError, f"data {NOT_BYTES}list"),
    "both wrong": ((1.5, [1]), TypeError, f"mask {NOT_BYTES}float"),
    "short mask and wrong data": ((b"", object()), TypeError, f"data {NOT_BYTES}object"),
    "empty mask": ((b"", b""), ValueError, "mask must be 4 bytes, not 0"),
    "mask of 3": ((b"abc", b"data"), ValueError, "mask must be 4 bytes, not 3"),
    "mask of 5": ((bytearray(b"abcde"), b"data"), ValueError, "mask must be 4 bytes, not 5"),
    "mask of 4 characters, 8 bytes": (("éééé", b"data"), ValueError, "mask must be 4 bytes, not 8"),
    "gapped mask": ((GAPPED, b"data"), BufferError, "mask must be contiguous"),
    "gapped data": ((MASK, GAPPED), BufferError, "data must be contiguous"),
    "backward data": ((MASK, memoryview(b"1234")[::-1]), BufferError, "data must be contiguous"),
    "lone surrogate": (
        (MASK, "\ud800"),
        UnicodeEncodeError,
        "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed",
    ),
    "released view": ((MASK, released()), ValueError, "operation forbidden on released memoryview object"),
}


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments(speedups: Any, arguments: tuple[Any, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(Exception) as caught:
        speedups.websocket_mask(*arguments)
    assert (type(caught.value), str(caught.value)) == (kind, message)


def test_keywords_are_refused(speedups: Any) -> None:
    with pytest.raises(TypeError):
        speedups.websocket_mask(mask=MASK, data=b"")


def test_buffers_are_released_after_errors(speedups: Any) -> None:
    mask, data = bytearray(b"12345"), bytearray(b"data")
    for arguments in ((mask, data), (mask, 1), (mask, GAPPED)):
        with pytest.raises((TypeError, ValueError, BufferError)):
            speedups.websocket_mask(*arguments)
        mask.append(1)
        data.append(1)


def test_the_c_function_describes_itself(c_extension: Any) -> None:
    signature = inspect.signature(_python.websocket_mask)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    assert list(inspect.signature(c_extension.websocket_mask).parameters.values()) == bare
    assert c_extension.websocket_mask.__doc__
    assert c_extension.websocket_mask.__module__ == "tornado_speedups._speedups"
