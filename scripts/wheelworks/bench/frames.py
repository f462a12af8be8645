"""WebSocket frames: taking a client's masked one apart, and building a server's.

Tornado does both inside its protocol class: it is given a stream that has the bytes already and takes all that is
written, so that neither its event loop nor a socket is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from timeit import Timer
from types import SimpleNamespace
from typing import Any

from wheelworks.bench import calls, load
from wheelworks.bench.calls import call, function
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.core.errors import WheelworksError

TITLE = "WebSocket frames, per frame"
BASE = "tornado"
SIZES = (16, 125, 1024, 16384, 1 << 18)
_BINARY = 0x82
_MOST = 1 << 30


def tornado_parser() -> Callable[[bytes], Any]:
    """Tornado's own way from a frame's bytes to its opcode and payload."""
    protocol: Any = function("tornado.websocket", "WebSocketProtocol13")

    class Given(protocol):  # type: ignore[misc]
        def __init__(self) -> None:
            self._decompressor = self._fragmented_message_buffer = None
            self.params = SimpleNamespace(max_message_size=_MOST)

        async def _read_bytes(self, count: int) -> bytes:
            self.at += count
            part: bytes = self.data[self.at - count : self.at]
            return part

        def _handle_message(self, opcode: int, data: bytes) -> None:
            self.message = opcode, data

    given = Given()

    def parse(data: bytes) -> Any:
        given.data, given.at = data, 0
        _finish(given._receive_frame())
        return given.message

    return parse


def _finish(coroutine: Any) -> Any:
    """What a coroutine or generator that never has to wait returns."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("it waits for more than it was given")


def websockets_parser() -> Callable[[bytes], Any]:
    """The same by the websockets library."""
    frame, reader = function("websockets.frames", "Frame"), function("websockets.streams", "StreamReader")()

    def parse(data: bytes) -> Any:
        reader.feed_data(data)
        found = _finish(frame.parse(reader.read_exact, mask=True))
        return int(found.opcode), bytes(found.data)

    return parse


def tornado_builder() -> Callable[[bytes], bytes]:
    """Tornado's own way from a payload to a server's frame."""
    write = function("tornado.websocket", "WebSocketProtocol13")._write_frame
    stream = SimpleNamespace(write=lambda frame: frame)
    given = SimpleNamespace(FIN=0x80, mask_outgoing=False, _wire_bytes_out=0, stream=stream)

    def build(payload: bytes) -> bytes:
        frame: bytes = write(given, True, 2, payload)
        return frame

    return build


def parsing(size: int) -> dict[str, Timer]:
    """Taking a masked frame with a payload of this many bytes apart."""
    data = bytes([_BINARY]) + load.message(size)[1:]
    tornado, websockets = tornado_parser(), websockets_parser()
    if tornado(data) != websockets(data):
        raise WheelworksError(f"Tornado and websockets don't take a frame of {size} bytes apart alike")
    return {
        "tornado": call(tornado, data),
        "websockets": call(websockets, data),
        "python": call(function("tornado_speedups._python", "parse_frames"), data, 0, _MOST),
        "speedups": call(function("tornado_speedups._speedups", "parse_frames"), data, 0, _MOST),
        "copy": call(bytes, bytearray(size)),
    }


def building(size: int) -> dict[str, Timer]:
    """Building an unmasked frame with a payload of this many bytes."""
    payload = bytes(size)
    websockets = function("websockets.frames", "Frame")(function("websockets.frames", "Opcode").BINARY, payload)
    return {
        "tornado": call(tornado_builder(), payload),
        "websockets": call(partial(websockets.serialize, mask=False)),
        "python": call(function("tornado_speedups._python", "build_frame"), _BINARY, payload, None),
        "speedups": call(function("tornado_speedups._speedups", "build_frame"), _BINARY, payload, None),
        "copy": call(bytes, bytearray(payload)),
    }


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """Nanoseconds of CPU time per frame, for each size."""
    found: list[Measurement] = []
    for series, calls_of in (("parse", parsing), ("build", building)):
        found += calls.sizes(series, {size: calls_of(size) for size in SIZES}, plan, partial(say, "frames"))
    return found
