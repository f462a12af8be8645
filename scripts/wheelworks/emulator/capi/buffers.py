"""The buffer protocol: this interpreter opens the buffer, the guest gets a copy that is copied back on release."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelworks.emulator.capi.table import Int, Object, Pointer, Ssize, answer
from wheelworks.emulator.findings import CannotRun, fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.host import GET_BUFFER, RELEASE_BUFFER, HostBuffer
from wheelworks.emulator.objects import GuestObject

if TYPE_CHECKING:
    from wheelworks.emulator.interpreter import Interpreter

VIEW = "PPnniiPPPPP"
ODD = 1  # how far a buffer that promises no alignment is kept off it


@dataclass(eq=False)
class View:
    """An open Py_buffer: the host's, what it exports, and the guest's copy of the bytes from ``low`` on."""

    host: HostBuffer
    exporter: GuestObject
    block: Block
    start: int
    low: int
    size: int
    own: list[Block]
    origin: str


@answer()
def PyObject_GetBuffer(guest: Interpreter, exporter: Object, view: Pointer, flags: Int) -> Int:
    host = HostBuffer()
    guest.objects.value(exporter)
    guest.memory.store(view + guest.abi.pointer, bytes(guest.abi.pointer))  # view->obj is NULL after a failure
    GET_BUFFER(exporter.value, ctypes.byref(host), flags)
    guest.memory.store(view, show_view(guest, exporter, host, view))
    return 0


@answer()
def PyObject_CheckBuffer(guest: Interpreter, exporter: Object) -> Int:
    try:
        with memoryview(guest.objects.value(exporter)):  # type: ignore[arg-type]
            return 1
    except TypeError:
        return 0
    except BufferError:
        return 1


@answer()
def PyBuffer_Release(guest: Interpreter, view: Pointer) -> None:
    offset = guest.abi.pointer
    if guest.memory.pointer(view + offset) == 0:
        return
    opened = open_view(guest, view)
    close_view(guest, view, opened)
    guest.memory.store(view + offset, bytes(offset))
    guest.objects.remove_reference(opened.exporter)


@answer()
def PyBuffer_IsContiguous(guest: Interpreter, view: Pointer, order: Int) -> Int:
    host = open_view(guest, view).host
    if host.suboffsets:
        return 0
    if host.len == 0 or not host.strides:
        return 1
    return int(any(_strides_fit(host, kind) for kind in ("CF" if chr(order) == "A" else chr(order))))


@answer()
def PyBuffer_FillInfo(
    guest: Interpreter, view: Pointer, exporter: Object, buf: Pointer, size: Ssize, readonly: Int, flags: Int
) -> Int:
    raise CannotRun("it exports buffers of its own (PyBuffer_FillInfo), which the emulated interpreter doesn't answer")


def open_view(guest: Interpreter, address: int) -> View:
    """The view that was opened into the Py_buffer at ``address``, or a copy of it. Raises Fault if there is none."""
    if address in guest.views:
        return guest.views[address]
    start = guest.memory.pointer(address)
    copies = [view for view in guest.views.values() if view.start == start]
    if not copies:
        raise fault("bad-api-use", f"the Py_buffer at {address:#x} isn't open")
    return copies[0]


def show_view(guest: Interpreter, exporter: GuestObject, host: HostBuffer, address: int) -> bytes:
    """Give the guest a host's view; returns the content of its Py_buffer. It owns a reference to the exporter."""
    low, size = _extent(host)
    block, start = _shared(guest, low, size) or _copy(guest, exporter, host, low, size)
    view = View(host, exporter, block, start, low, size, [], guest.objects.caller)
    guest.views[address] = view
    guest.objects.add_reference(exporter)
    arrays = [_array(guest, view, values, host.ndim) for values in (host.shape, host.strides, host.suboffsets)]
    form = _string(guest, view, host.format)
    first = start + (host.buf or 0) - low
    fields = (first, exporter.address, host.len, host.itemsize, host.readonly, host.ndim, form, *arrays, 0)
    return guest.abi.packer(VIEW).pack(*fields)


def close_view(guest: Interpreter, address: int, view: View) -> None:
    """Copy back what the guest wrote, and let the exporter go."""
    copy_back(guest, view)
    RELEASE_BUFFER(ctypes.byref(view.host))
    guest.views = {at: other for at, other in guest.views.items() if other is not view}
    for block in view.own:
        guest.memory.free(block)
    if view.block is not view.exporter.data and not any(other.block is view.block for other in guest.views.values()):
        guest.memory.free(view.block)


def release_view(host: HostBuffer) -> None:
    """Close a host's view that the guest never saw."""
    if host.obj:
        RELEASE_BUFFER(ctypes.byref(host))


def copy_back(guest: Interpreter, view: View) -> None:
    if not view.host.readonly and view.size:
        content = guest.memory.peek(view.start, view.size)
        if content != ctypes.string_at(view.low, view.size):
            ctypes.memmove(view.low, content, view.size)


def _extent(host: HostBuffer) -> tuple[int, int]:
    """The lowest address of the buffer's items and the number of bytes up to the highest."""
    if host.suboffsets:
        raise CannotRun("a buffer with suboffsets was opened, which the emulated interpreter doesn't copy")
    start = host.buf or 0
    if not host.strides or host.len == 0:
        return start, host.len
    steps = [(host.shape[i] - 1) * host.strides[i] for i in range(host.ndim)]
    return start + sum(min(step, 0) for step in steps), sum(abs(step) for step in steps) + host.itemsize


def _shared(guest: Interpreter, low: int, size: int) -> tuple[Block, int] | None:
    """An open view's copy that has these bytes already, so that the guest sees what overlaps as overlapping."""
    for view in guest.views.values():
        if size and view.low <= low and low + size <= view.low + view.size:
            return view.block, view.start + low - view.low
    return None


def _copy(guest: Interpreter, exporter: GuestObject, host: HostBuffer, low: int, size: int) -> tuple[Block, int]:
    if isinstance(exporter.value, (bytes, bytearray)):
        block = guest.objects.data(exporter)
        return block, block.start
    block = guest.memory.allocate(size, f"the buffer of {exporter}", offset=ODD)
    guest.memory.poke(block.start, ctypes.string_at(low, size) if size else b"")
    if host.readonly:
        guest.memory.freeze(block)
    return block, block.start


def _array(guest: Interpreter, view: View, values: object, length: int) -> int:
    if not values or not length:
        return 0
    content = guest.abi.packer("n" * length).pack(*(values[i] for i in range(length)))  # type: ignore[index]
    return _own(guest, view, content, "the shape or strides of a buffer")


def _string(guest: Interpreter, view: View, text: bytes | None) -> int:
    return 0 if text is None else _own(guest, view, text + b"\0", "the format of a buffer")


def _own(guest: Interpreter, view: View, content: bytes, what: str) -> int:
    block = guest.memory.allocate(len(content), what)
    guest.memory.poke(block.start, content)
    view.own.append(block)
    return block.start


def _strides_fit(host: HostBuffer, order: str) -> bool:
    expected = host.itemsize
    axes = range(host.ndim)
    for axis in axes if order == "F" else reversed(axes):
        if host.shape[axis] > 1 and host.strides[axis] != expected:
            return False
        expected *= host.shape[axis]
    return True
