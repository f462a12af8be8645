"""install(headers=True) and install(http=True): what they replace, when they refuse, and edge cases."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import socket
import time
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import tornado.web
from hypothesis import given
from hypothesis import strategies as st
from tornado import http1connection, httputil, iostream
from tornado.iostream import IOStream, PipeIOStream, StreamClosedError

import tornado_speedups
from tests.speedups.heads import outcome
from tornado_speedups import definitions, fingerprints
from tornado_speedups.http import heads, streams
from tornado_speedups.patching import REQUIRED

SUBJECTS = {"headers": "HTTP headers", "http": "HTTP connections"}
NEEDED = [
    *(("headers", name) for name in REQUIRED["headers"]),
    *(("http", name) for name in REQUIRED["http"]),
]
OWNERS: list[Any] = [
    httputil,
    httputil.HTTPHeaders,
    http1connection.HTTP1Connection,
    iostream.BaseIOStream,
    iostream.IOStream,
    tornado.web._HandlerDelegate,
]


def attributes() -> list[dict[str, Any]]:
    return [dict(vars(owner)) for owner in OWNERS]


@pytest.fixture(autouse=True)
def stock_tornado() -> Iterator[None]:
    """Uninstall after the test, and check that Tornado has exactly the attributes that it had before."""
    before = attributes()
    yield
    tornado_speedups.uninstall()
    assert attributes() == before


def install(hook: str) -> None:
    tornado_speedups.install(**{name: name == hook for name in tornado_speedups.status()})


def refused(hook: str, reason: str) -> None:
    before = attributes()
    left = f"to Tornado {tornado.version}, {reason}"
    with pytest.warns(RuntimeWarning) as caught:
        install(hook)
    assert [str(each.message) for each in caught] == [f"tornado_speedups leaves {SUBJECTS[hook]} {left}"]
    assert caught[0].filename.endswith("test_http_patches.py")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        install(hook)
    assert tornado_speedups.status()[hook] == f"left {left}"
    assert attributes() == before


@pytest.mark.parametrize("hook", SUBJECTS)
def test_each_is_installed_on_its_own(hook: str) -> None:
    before = attributes()
    install(hook)
    assert [name for name, text in tornado_speedups.status().items() if text == "installed"] == [hook]
    assert attributes() != before
    added = [set(now) - set(stock) for now, stock in zip(attributes(), before, strict=True)]
    assert set.union(*added) == ({"get"} if hook == "headers" else set())  # which HTTPHeaders inherits
    tornado_speedups.uninstall()
    assert attributes() == before


@pytest.mark.usefixtures("tornado_in_python")
@pytest.mark.parametrize("first", ["masking", "websocket", "headers", "http"])
def test_hooks_do_not_stand_in_each_others_way(first: str) -> None:
    install(first)
    tornado_speedups.install()
    assert set(tornado_speedups.status().values()) == {"installed"}


@pytest.mark.parametrize(("hook", "name"), NEEDED)
def test_code_with_another_hash_is_left_alone(hook: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fingerprints.RELEASED, name.partition(":")[0], "")
    monkeypatch.setitem(definitions.FINGERPRINTS, name, ("0123456789abcdef",))
    refused(hook, f"whose {name.replace(':', '.')} it doesn't know")


@pytest.mark.parametrize("hook", SUBJECTS)
def test_another_version_is_left_alone(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado, "version_info", (6, 7, 0, 0))
    refused(hook, "a version it doesn't know")


@pytest.mark.parametrize(
    ("hook", "owner", "function", "name"),
    [
        ("headers", httputil, "parse_request_start_line", "tornado.httputil.parse_request_start_line"),
        ("headers", httputil, "_normalize_header", "tornado.httputil._normalize_header"),
        ("headers", httputil.HTTPHeaders, "add", "tornado.httputil.HTTPHeaders"),
        (
            "headers",
            http1connection.HTTP1Connection,
            "_parse_headers",
            "tornado.http1connection.HTTP1Connection._parse_headers",
        ),
        ("http", http1connection.HTTP1Connection, "finish", "tornado.http1connection.HTTP1Connection"),
        ("http", iostream.IOStream, "write_to_fd", "tornado.iostream.IOStream"),
        ("http", iostream.BaseIOStream, "write", "tornado.iostream.BaseIOStream"),
    ],
)
def test_patched_code_is_left_alone(
    hook: str, owner: Any, function: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, function, partial(getattr(owner, function)))
    refused(hook, f"whose {name} has been patched")


def test_the_first_6_5_is_left_alone() -> None:
    """The parser in the first release of Tornado 6.5 has no parameters other than the text."""
    assert "2945df7bf75a0255" not in definitions.FINGERPRINTS["tornado.httputil:HTTPHeaders"]


# Headers


@pytest.mark.parametrize(
    "key", ["Host", "host", "HOST", "Set-Cookie", "set-cookie", "Missing", "", 5, None, b"Host", []]
)
def test_a_header_is_got_as_by_tornado(key: Any) -> None:
    def get_all() -> list[Any]:
        headers: Any = httputil.HTTPHeaders.parse("Host: h\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n")
        calls = [
            lambda: headers.get(key),
            lambda: headers.get(key, "default"),
            lambda: headers.get(key, default=None),
        ]
        got = [outcome(call) for call in calls]
        headers.add("set-cookie", "c")
        headers["host"] = "other"
        got += [outcome(call) for call in calls]
        del headers["HOST"]
        return got + [outcome(call) for call in calls]

    expected = get_all()
    install("headers")
    assert get_all() == expected


# Timestamps

format_timestamp = heads.wrap_format_timestamp(httputil.format_timestamp)


@given(st.floats() | st.floats(0, 1e12) | st.integers(0, 10**10).map(lambda n: n / 8))
def test_dates_are_tornados(moment: float) -> None:
    assert outcome(format_timestamp, moment) == outcome(httputil.format_timestamp, moment)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.9, 0.999998, 0.9999991, 0.9999994, 0.9999995, 0.9999996, 0.99999999])
def test_the_end_of_a_second(fraction: float) -> None:
    for second in (0, 1, 1_700_000_000, 1_700_000_001):
        for _ in range(2):
            assert format_timestamp(second + fraction) == httputil.format_timestamp(second + fraction)


@pytest.mark.parametrize(
    "moment", [5, time.gmtime(5), datetime.datetime(2020, 1, 2, 3, 4, 5), (2020, 1, 2, 3, 4, 5), ""]
)
def test_other_kinds_of_timestamps(moment: Any) -> None:
    assert outcome(format_timestamp, moment) == outcome(httputil.format_timestamp, moment)


def test_a_date_is_made_once() -> None:
    made: list[float] = []

    def slow(ts: float) -> str:
        made.append(ts)
        return str(int(ts))

    function = heads.wrap_format_timestamp(slow)
    assert [function(ts) for ts in (1.1, 1.2, 2.0, 2.9, 1.5)] == ["1", "1", "2", "2", "1"]
    assert made == [1.1, 2.0, 1.5]


# Streams


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"]), max_size=12).map(b"".join))
def test_the_end_of_a_head(data: bytes) -> None:
    for pattern, ours in streams._ENDS_OF_HEAD.items():
        stock = re.compile(pattern)
        expected, found = stock.search(data), ours.search(data)
        assert (found and found.end()) == (expected and expected.end())
        assert repr(ours) == repr(stock)
        assert streams._find_end(bytearray(data + b"\n\n"), len(data)) == (expected.end() if expected else 0)


def pair() -> tuple[IOStream, socket.socket]:
    ours, peer = socket.socketpair()
    return IOStream(ours), peer


@pytest.mark.parametrize("pattern", [b"\r?\n\r?\n", rb"\r?\n\r?\n"])
def test_reads_by_other_patterns_are_tornados(pattern: bytes) -> None:
    async def run() -> None:
        stream, peer = pair()
        peer.sendall(b"abc\r\n\r\ndef")
        assert await stream.read_until_regex(b"b.") == b"abc"
        assert await stream.read_until_regex(pattern, 10) == b"\r\n\r\n"
        peer.sendall(b"more than ten")
        with pytest.raises(StreamClosedError) as closed:
            await stream.read_until_regex(pattern, max_bytes=10)
        assert str(closed.value.real_error) == f"delimiter {re.compile(pattern)!r} not found within 10 bytes"
        peer.close()

    install("http")
    asyncio.run(run())


@pytest.mark.parametrize("waits", [False, True])
def test_a_head_that_is_too_long_is_refused_though_the_peer_has_gone(waits: bool) -> None:
    async def drive() -> Any:
        stream, peer = pair()
        reading = stream.read_until_regex(b"\r?\n\r?\n", max_bytes=10) if waits else None
        peer.sendall(b"x" * 20 + b"\r\n\r\n")
        peer.close()
        with pytest.raises(StreamClosedError):
            await (reading or stream.read_until_regex(b"\r?\n\r?\n", max_bytes=10))
        return type(stream.error)

    assert asyncio.run(drive()) is iostream.UnsatisfiableReadError
    tornado_speedups.install()
    assert asyncio.run(drive()) is iostream.UnsatisfiableReadError


def test_writes_that_the_socket_does_not_take() -> None:
    async def run() -> None:
        stream, peer = pair()
        data = bytes(range(256)) * 400
        futures = [stream.write(data) for _ in range(30)]
        assert futures[0].done() and not futures[-1].done() and stream.writing()
        loop = asyncio.get_running_loop()
        peer.setblocking(False)
        received = b""
        while len(received) < 30 * len(data):
            received += await loop.sock_recv(peer, 1 << 20)
        await asyncio.gather(*futures)
        assert received == data * 30 and not stream.writing()
        assert stream._total_write_index == stream._total_write_done_index == len(received)
        stream.close()
        peer.close()

    install("http")
    asyncio.run(run())


@pytest.mark.parametrize("last", [b"", b"last"])
def test_a_write_sends_what_the_application_has_put_into_the_buffer(last: bytes) -> None:
    async def run() -> None:
        stream, peer = pair()
        for part in (b"first", memoryview(b"second")):
            stream._write_buffer.append(part)  # as distributed does
            stream._total_write_index += len(part)
        await stream.write(last)
        peer.setblocking(False)
        received = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 100), 10)
        assert received == b"firstsecond" + last
        assert stream._total_write_index == stream._total_write_done_index == 11 + len(last)
        stream.close()
        peer.close()

    install("http")
    asyncio.run(run())


def test_writes_to_a_broken_socket() -> None:
    async def run() -> None:
        stream, peer = pair()
        peer.close()
        with pytest.raises(StreamClosedError) as closed:
            await stream.write(b"data")
        assert isinstance(closed.value.real_error, BrokenPipeError) and stream.closed()
        with pytest.raises(StreamClosedError):
            stream.write(b"data")

    install("http")
    asyncio.run(run())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_nodelay_is_set_and_cleared(family: socket.AddressFamily) -> None:
    async def run() -> None:
        try:
            listener = socket.create_server(("", 0), family=family)
        except OSError:
            pytest.skip("this machine has no such addresses")
        with listener, socket.socket(family) as peer:
            peer.connect(("localhost" if family == socket.AF_INET else "::1", listener.getsockname()[1]))
            stream = IOStream(listener.accept()[0])
            for value in (True, False, True):
                stream.set_nodelay(value)
                assert bool(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) == value
            stream.close()
            stream.set_nodelay(True)
        local, other = pair()
        local.set_nodelay(True)  # does nothing for a Unix socket
        local.close()
        other.close()

    install("http")
    asyncio.run(run())


def test_other_streams_are_tornados() -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        reader, writer = PipeIOStream(reading), PipeIOStream(writing)
        whole = reader.read_until_regex(rb"\r?\n\r?\n")
        await writer.write(b"x" * 100_000 + b"\n\n")
        assert len(await whole) == 100_002
        small, peer = socket.socketpair()
        stream = IOStream(small, read_chunk_size=10, max_buffer_size=50)
        peer.sendall(b"y" * 30)
        assert await stream.read_bytes(30) == b"y" * 30
        limited = IOStream(peer, max_write_buffer_size=10)
        with pytest.raises(iostream.StreamBufferFullError):
            limited.write(b"z" * 11)
        for each in (reader, writer, stream, limited):
            each.close()

    install("http")
    asyncio.run(run())


def test_streams_do_not_mix_what_they_read() -> None:
    """Streams share one chunk for reading. Each stream consumes its data before another stream reads."""

    async def run() -> None:
        pairs = [pair() for _ in range(20)]
        reads = [stream.read_bytes(3000) for stream, _ in pairs]
        for part in range(3):
            for number, (_, peer) in enumerate(pairs):
                peer.sendall(bytes([number]) * (500 + 500 * part))
            await asyncio.sleep(0)
        assert [await read for read in reads] == [bytes([number]) * 3000 for number in range(20)]
        for stream, peer in pairs:
            stream.close()
            peer.close()

    install("http")
    asyncio.run(run())
