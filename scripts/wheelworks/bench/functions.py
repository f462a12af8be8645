"""The suites of functions, ``mask``, ``frames`` and ``headers``: CPU time of a call.

A call is measured in slices that are so short that most of them aren't interrupted by other work of the machine, and
the best slice of a round counts.

Tornado parses and builds frames inside its protocol class. That class is given a stream that already has the bytes and
accepts all writes, so that neither the event loop nor a socket is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from timeit import Timer
from types import SimpleNamespace
from typing import Any

from wheelworks.bench import clients, requests
from wheelworks.bench.measurements import Measurement, Plan, Suite, Update
from wheelworks.core.errors import WheelworksError

MASK_SIZES = (0, 8, 32, 125, 512, 1024, 4096, 16384, 65536, 1 << 20)
FRAME_SIZES = (16, 125, 1024, 16384, 1 << 18)
_SLICE_SECONDS = 0.0005
_SLICES = 40
_MASK = b"\x37\xfa\x21\x3d"
_BINARY = 0x82
_MAX_SIZE = 1 << 30

Timers = dict[str, Timer]


def import_function(module: str, name: str) -> Any:
    """Return a module's attribute. Raises WheelworksError if the module or the attribute is missing."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WheelworksError(f"cannot measure {module}.{name}: {error}", "install requirements/bench.txt") from error


def make_timer(function: Any, *arguments: object) -> Timer:
    """Return a timer of the CPU time of a call."""
    names = [f"argument_{number}" for number in range(len(arguments))]
    known = dict(zip(names, arguments, strict=True)) | {"function": function}
    return Timer(f"function({', '.join(names)})", timer=time.thread_time, globals=known)


def measure_calls(
    case: str, timers: Timers, plan: Plan, series: str = "", size: int | None = None
) -> Sequence[Measurement]:
    """Return the nanoseconds of CPU time per call of each subject, measured in turns."""
    wanted = {subject: timer for subject, timer in timers.items() if plan.wants(subject)}
    counts = {subject: _calibrate(timer) for subject, timer in wanted.items()}
    rounds = [_measure_round(wanted, counts, max(3, int(_SLICES * plan.scale))) for _ in range(plan.rounds)]
    return [Measurement(case, one, "ns", tuple(each[one] for each in rounds), series, size) for one in wanted]


def _measure_round(timers: Timers, counts: dict[str, int], slices: int) -> dict[str, float]:
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(slices):
        for subject, timer in timers.items():
            best[subject] = min(best[subject], timer.timeit(counts[subject]) / counts[subject] * 1e9)
    return best


def _calibrate(timer: Timer) -> int:
    """Return how many calls take about as long as a slice."""
    count = 1
    while timer.timeit(count) < _SLICE_SECONDS / 2:
        count *= 2
    return count


def _measure_sizes(
    suite: str, series: Mapping[str, Callable[[int], Timers]], sizes: Sequence[int], plan: Plan, update: Update
) -> list[Measurement]:
    found: list[Measurement] = []
    for name, make_timers in series.items():
        for size in sizes:
            update(suite, f"{name}, {size} bytes")
            found += measure_calls(f"{name}, {size:,} B", make_timers(size), plan, name, size)
    return found


def time_mask_to_bytes(size: int) -> Timers:
    """Return timers of masking ``size`` bytes to new ones."""
    data = bytes(size)
    return {
        "tornado": make_timer(import_function("tornado.speedups", "websocket_mask"), _MASK, data),
        "speedups": make_timer(import_function("tornado_speedups._speedups", "websocket_mask"), _MASK, data),
        "websockets": make_timer(import_function("websockets.speedups", "apply_mask"), data, _MASK),
        "copy": make_timer(bytes, bytearray(data)),
    }


def time_mask_in_place(size: int) -> Timers:
    """Return timers of masking ``size`` bytes in place. Tornado has no such function, and makes new bytes."""
    buffer = bytearray(size)
    aiohttp = import_function("aiohttp._websocket.mask", "_websocket_mask_cython")
    return {
        "tornado": make_timer(import_function("tornado.speedups", "websocket_mask"), _MASK, bytes(size)),
        "speedups": make_timer(import_function("tornado_speedups._speedups", "websocket_mask_inplace"), _MASK, buffer),
        "aiohttp": make_timer(aiohttp, _MASK, buffer),
        "copy": make_timer(bytes, bytearray(size)),
    }


def tornado_frame_parser() -> Callable[[bytes], Any]:
    """Return Tornado's function from a frame's bytes to its opcode and payload."""
    protocol: Any = import_function("tornado.websocket", "WebSocketProtocol13")

    class Parser(protocol):  # type: ignore[misc]
        def __init__(self) -> None:
            self._decompressor = self._fragmented_message_buffer = None
            self.params = SimpleNamespace(max_message_size=_MAX_SIZE)

        async def _read_bytes(self, count: int) -> bytes:
            self.at += count
            part: bytes = self.data[self.at - count : self.at]
            return part

        def _handle_message(self, opcode: int, data: bytes) -> None:
            self.message = opcode, data

    parser = Parser()

    def parse(data: bytes) -> Any:
        parser.data, parser.at = data, 0
        run_coroutine(parser._receive_frame())
        return parser.message

    return parse


def run_coroutine(coroutine: Any) -> Any:
    """Return the result of a coroutine or generator. Raises RuntimeError if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("the coroutine waits for more input than it was given")


def websockets_frame_parser() -> Callable[[bytes], Any]:
    """Return the same function of the websockets library."""
    frame = import_function("websockets.frames", "Frame")
    reader = import_function("websockets.streams", "StreamReader")()

    def parse(data: bytes) -> Any:
        reader.feed_data(data)
        found = run_coroutine(frame.parse(reader.read_exact, mask=True))
        return int(found.opcode), bytes(found.data)

    return parse


def tornado_frame_builder() -> Callable[[bytes], bytes]:
    """Return Tornado's function from a payload to a server's frame."""
    write = import_function("tornado.websocket", "WebSocketProtocol13")._write_frame
    stream = SimpleNamespace(write=lambda frame: frame)
    protocol = SimpleNamespace(FIN=0x80, mask_outgoing=False, _wire_bytes_out=0, stream=stream)

    def build(payload: bytes) -> bytes:
        frame: bytes = write(protocol, True, 2, payload)
        return frame

    return build


def time_frame_parsers(size: int) -> Timers:
    """Return timers of parsing a masked frame with a payload of ``size`` bytes."""
    data = bytes([_BINARY]) + clients.make_frame(size)[1:]
    tornado, websockets = tornado_frame_parser(), websockets_frame_parser()
    if tornado(data) != websockets(data):
        raise WheelworksError(f"Tornado and websockets parse a frame of {size} bytes differently")
    return {
        "tornado": make_timer(tornado, data),
        "websockets": make_timer(websockets, data),
        "python": make_timer(import_function("tornado_speedups._python", "parse_frames"), data, 0, _MAX_SIZE),
        "speedups": make_timer(import_function("tornado_speedups._speedups", "parse_frames"), data, 0, _MAX_SIZE),
        "copy": make_timer(bytes, bytearray(size)),
    }


def time_frame_builders(size: int) -> Timers:
    """Return timers of building an unmasked frame with a payload of ``size`` bytes."""
    payload = bytes(size)
    opcode = import_function("websockets.frames", "Opcode").BINARY
    websockets = import_function("websockets.frames", "Frame")(opcode, payload)
    return {
        "tornado": make_timer(tornado_frame_builder(), payload),
        "websockets": make_timer(partial(websockets.serialize, mask=False)),
        "python": make_timer(import_function("tornado_speedups._python", "build_frame"), _BINARY, payload, None),
        "speedups": make_timer(import_function("tornado_speedups._speedups", "build_frame"), _BINARY, payload, None),
        "copy": make_timer(bytes, bytearray(payload)),
    }


class CollectedHeaders:
    """The callbacks of httptools, which collect the headers of each message as strings."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []

    def on_message_begin(self) -> None:
        """Forget the headers of the previous message."""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))


@contextmanager
def install_headers() -> Iterator[None]:
    """Install the C speedups of headers in Tornado. Raises WheelworksError if they aren't available."""
    import_function("tornado_speedups._speedups", "parse_headers")
    import tornado_speedups

    tornado_speedups.install(masking=False, websocket=False, http=False)
    try:
        found = tornado_speedups.implementation, tornado_speedups.status()["headers"]
        if found != ("c", "installed"):
            problem = f"cannot measure the speedups of headers: {', '.join(found)}"
            raise WheelworksError(problem, "leave them switched on")
        yield
    finally:
        tornado_speedups.uninstall()


_TUNED = "tuned python"


def header_parsers(*, tuned: bool = True) -> dict[str, Callable[[str], Any]]:
    """Return functions from header lines to HTTPHeaders: Tornado's, tuned Python with the speedups' last step, C.

    Without ``tuned``, tuned Python is left out, for which ``--compare`` has no use: it isn't in old revisions.
    """
    headers = import_function("tornado.httputil", "HTTPHeaders")
    original = headers.parse
    with install_headers():
        replacement = headers.parse
    return {"tornado": original, **({_TUNED: _tuned_header_parser()} if tuned else {}), "speedups": replacement}


def _tuned_header_parser() -> Callable[[str], Any]:
    make = import_function("tornado_speedups.http.heads", "make_headers")
    parse = import_function("tornado_speedups._python", "parse_headers")
    return lambda lines: make(*parse(lines))


def head_parsers(*, tuned: bool = True) -> dict[str, Callable[[bytes], Any]]:
    """Return functions from the bytes of a head to its first line and HTTPHeaders, as ``header_parsers()`` does."""
    connection = import_function("tornado.http1connection", "HTTP1Connection")
    original = connection._parse_headers
    with install_headers():
        replacement = connection._parse_headers
    # Neither uses the connection.
    return {
        "tornado": lambda head: original(None, head),
        **({_TUNED: _tuned_head_parser()} if tuned else {}),
        "speedups": lambda head: replacement(None, head),
    }


def _tuned_head_parser() -> Callable[[bytes], Any]:
    make = import_function("tornado_speedups.http.heads", "make_headers")
    parse = import_function("tornado_speedups._python", "parse_head")

    def parse_head(head: bytes) -> Any:
        line, *rest = parse(head)
        return line, make(*rest)

    return parse_head


def httptools_parser() -> Callable[[bytes], Any]:
    """Return one parser for all heads, as a server has one for each connection."""
    return import_function("httptools", "HttpRequestParser")(CollectedHeaders()).feed_data  # type: ignore[no-any-return]


def _measure_headers(plan: Plan, update: Update) -> list[Measurement]:
    httptools = {"httptools": make_timer(httptools_parser(), requests.BROWSER_REQUEST)}
    lines = requests.BROWSER_HEADERS.decode()
    head = requests.BROWSER_REQUEST
    tuned = plan.wants(_TUNED)
    cases = {
        "HTTPHeaders.parse": {name: make_timer(parse, lines) for name, parse in header_parsers(tuned=tuned).items()},
        "the whole head": {name: make_timer(parse, head) for name, parse in head_parsers(tuned=tuned).items()},
    }
    found: list[Measurement] = []
    for case, timers in cases.items():
        update("headers", case)
        found += measure_calls(case, timers | httptools, plan)
    return found


_MASK_SERIES = {"to bytes": time_mask_to_bytes, "in place": time_mask_in_place}
_FRAME_SERIES = {"parse": time_frame_parsers, "build": time_frame_builders}
MASK = Suite("masking, per call", "tornado", partial(_measure_sizes, "mask", _MASK_SERIES, MASK_SIZES))
FRAMES = Suite("WebSocket frames, per frame", "tornado", partial(_measure_sizes, "frames", _FRAME_SERIES, FRAME_SIZES))
HEADERS = Suite("a browser's 12 headers, per call", "speedups", _measure_headers)
