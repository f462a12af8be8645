"""The buffer protocol.

The CPython that runs this program opens a buffer. The guest gets a copy, which is copied back when it is released.
"""

from __future__ import annotations

import ctypes
from typing import Any

from wheelworks.core.errors import Unsupported
from wheelworks.emulator.exports import Int, Object, Pointer, Ssize, export
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import BufferView, HostBuffer, ProcessState

LIBRARY = ctypes.PyDLL(None, handle=ctypes.pythonapi._handle)
OBJECT, STRING, BUFFER = ctypes.py_object, ctypes.c_char_p, ctypes.POINTER(HostBuffer)


def _bind_function(name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
    function = getattr(LIBRARY, name)
    function.argtypes, function.restype = arguments, result
    return function


PARSE_TUPLE = _bind_function("_PyArg_ParseTuple_SizeT", OBJECT, STRING)
PARSE_TUPLE_AND_KEYWORDS = _bind_function(
    "_PyArg_ParseTupleAndKeywords_SizeT", OBJECT, OBJECT, STRING, ctypes.POINTER(STRING)
)
GET_BUFFER = _bind_function("PyObject_GetBuffer", OBJECT, BUFFER, ctypes.c_int)
RELEASE_BUFFER = _bind_function("PyBuffer_Release", BUFFER, result=None)
VIEW = "PPnniiPPPPP"
ODD = 1  # offset from alignment of a buffer that promises none


@export()
def PyObject_GetBuffer(state: ProcessState, exporter: Object, view: Pointer, flags: Int) -> Int:
    host = HostBuffer()
    state.objects.unwrap(exporter)
    state.memory.store(view + state.abi.pointer, bytes(state.abi.pointer))  # view->obj is NULL after a failure
    GET_BUFFER(exporter.value, ctypes.byref(host), flags)
    state.memory.store(view, create_view(state, exporter, host, view))
    return 0


@export()
def PyObject_CheckBuffer(state: ProcessState, exporter: Object) -> Int:
    try:
        with memoryview(state.objects.unwrap(exporter)):  # type: ignore[arg-type]
            return 1
    except TypeError:
        return 0
    except BufferError:
        return 1


@export()
def PyBuffer_Release(state: ProcessState, view: Pointer) -> None:
    offset = state.abi.pointer
    if state.memory.load_pointer(view + offset) == 0:
        return
    opened = open_view(state, view)
    close_view(state, view, opened)
    state.memory.store(view + offset, bytes(offset))
    state.objects.remove_reference(opened.exporter)


@export()
def PyBuffer_IsContiguous(state: ProcessState, view: Pointer, order: Int) -> Int:
    host = open_view(state, view).host
    if host.suboffsets:
        return 0
    if host.len == 0 or not host.strides:
        return 1
    return int(any(_check_strides(host, kind) for kind in ("CF" if chr(order) == "A" else chr(order))))


@export()
def PyBuffer_FillInfo(
    state: ProcessState, view: Pointer, exporter: Object, buf: Pointer, size: Ssize, readonly: Int, flags: Int
) -> Int:
    raise Unsupported("it exports buffers (PyBuffer_FillInfo), which isn't emulated")


def open_view(state: ProcessState, address: int) -> BufferView:
    """Return the open view of the Py_buffer at ``address``, or of a copy of it. Raises Fault if there is none."""
    if address in state.views:
        return state.views[address]
    start = state.memory.load_pointer(address)
    copies = [view for view in state.views.values() if view.start == start]
    if not copies:
        raise Fault("bad-api-use", f"the Py_buffer at {address:#x} isn't open")
    return copies[0]


def create_view(state: ProcessState, exporter: GuestObject, host: HostBuffer, address: int) -> bytes:
    """Copy a host's view to the guest and return the content of its Py_buffer, which owns a reference."""
    low, size = _measure_extent(host)
    block, start = _find_shared(state, low, size) or _copy_items(state, exporter, host, low, size)
    view = BufferView(host, exporter, block, start, low, size, [], state.objects.caller)
    state.views[address] = view
    state.objects.add_reference(exporter)
    arrays = [_copy_array(state, view, values, host.ndim) for values in (host.shape, host.strides, host.suboffsets)]
    form = 0 if host.format is None else _store_owned(state, view, host.format + b"\0", "the format of a buffer")
    first = start + (host.buf or 0) - low
    fields = (first, exporter.address, host.len, host.itemsize, host.readonly, host.ndim, form, *arrays, 0)
    return state.abi.packer(VIEW).pack(*fields)


def close_view(state: ProcessState, address: int, view: BufferView) -> None:
    """Copy back what the guest wrote, and release the host's view."""
    copy_back(state, view)
    RELEASE_BUFFER(ctypes.byref(view.host))
    state.views = {at: other for at, other in state.views.items() if other is not view}
    for block in view.own:
        state.memory.free(block)
    if view.block is not view.exporter.data and not any(other.block is view.block for other in state.views.values()):
        state.memory.free(view.block)


def release_view(host: HostBuffer) -> None:
    """Release a host's view that the guest never got."""
    if host.obj:
        RELEASE_BUFFER(ctypes.byref(host))


def copy_back(state: ProcessState, view: BufferView) -> None:
    if not view.host.readonly and view.size:
        content = state.memory.peek(view.start, view.size)
        if content != ctypes.string_at(view.low, view.size):
            ctypes.memmove(view.low, content, view.size)


def _measure_extent(host: HostBuffer) -> tuple[int, int]:
    """Return the lowest address of the buffer's items and the number of bytes to the end of the highest."""
    if host.suboffsets:
        raise Unsupported("it opens a buffer with suboffsets, which isn't emulated")
    start = host.buf or 0
    if not host.strides or host.len == 0:
        return start, host.len
    steps = [(host.shape[i] - 1) * host.strides[i] for i in range(host.ndim)]
    return start + sum(min(step, 0) for step in steps), sum(abs(step) for step in steps) + host.itemsize


def _find_shared(state: ProcessState, low: int, size: int) -> tuple[Block, int] | None:
    """Find a copy that contains these bytes already: overlapping buffers must overlap in the guest too."""
    for view in state.views.values():
        if size and view.low <= low and low + size <= view.low + view.size:
            return view.block, view.start + low - view.low
    return None


def _copy_items(state: ProcessState, exporter: GuestObject, host: HostBuffer, low: int, size: int) -> tuple[Block, int]:
    if isinstance(exporter.value, (bytes, bytearray)):
        block = state.objects.get_data(exporter)
        return block, block.start
    block = state.memory.allocate(size, f"the buffer of {exporter}", offset=ODD)
    state.memory.poke(block.start, ctypes.string_at(low, size) if size else b"")
    if host.readonly:
        state.memory.freeze(block)
    return block, block.start


def _copy_array(state: ProcessState, view: BufferView, values: object, length: int) -> int:
    if not values or not length:
        return 0
    content = state.abi.packer("n" * length).pack(*(values[i] for i in range(length)))  # type: ignore[index]
    return _store_owned(state, view, content, "the shape or strides of a buffer")


def _store_owned(state: ProcessState, view: BufferView, content: bytes, what: str) -> int:
    block = state.memory.allocate(len(content), what)
    state.memory.poke(block.start, content)
    view.own.append(block)
    return block.start


def _check_strides(host: HostBuffer, order: str) -> bool:
    expected = host.itemsize
    axes = range(host.ndim)
    for axis in axes if order == "F" else reversed(axes):
        if host.shape[axis] > 1 and host.strides[axis] != expected:
            return False
        expected *= host.shape[axis]
    return True
