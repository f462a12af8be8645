"""Behaviour of WebSocket connections beyond the bytes sent: the fast protocol behaves like Tornado's own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import tornado.test
import tornado.web
import tornado.websocket
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.testing import bind_unused_port
from tornado.websocket import WebSocketClosedError, WebSocketProtocol13, _WebSocketParams

import tornado_speedups
from tests.speedups.wires import Handler
from tornado_speedups._python import build_frame, parse_frames
from tornado_speedups.websocket import transport
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

HELLO = build_frame(0x81, "hello", b"mask")


@pytest.fixture(params=[WebSocketProtocol13, FastWebSocketProtocol13])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


PATIENCE = 60.0  # seconds until a hang is one, also on a busy machine and under an emulator


class End:
    """A server's end of a connection, and the socket of its peer."""

    def __init__(self, protocol: Any, answer: Callable[[Any, Any], Any]) -> None:
        self.socket, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.handler = Handler(answer)
        self.protocol = self.handler.protocol = protocol(self.handler, False, _WebSocketParams())
        self.protocol.stream = IOStream(self.socket)
        self.task = asyncio.ensure_future(self.protocol._receive_frame_loop())

    async def received(self, count: int) -> list[Any]:
        """Return the payloads of the next ``count`` frames that the peer receives."""
        data = b""
        while len(parse_frames(data, 0, count)[0]) < count:
            more = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.peer, 65536), PATIENCE)
            assert more, "the connection has ended"
            data += more
        return [payload for _, payload in parse_frames(data, 0, count)[0]]

    async def until(self, last: bytes) -> bytes:
        """Return the data that the peer receives, up to and including ``last``."""
        data = b""
        while not data.endswith(last):
            more = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.peer, 65536), PATIENCE)
            assert more, "the connection has ended"
            data += more
        return data


@asynccontextmanager
async def connected(protocol: Any, answer: Callable[[Any, Any], Any]) -> AsyncIterator[End]:
    end = End(protocol, answer)
    try:
        yield end
    finally:
        end.peer.close()
        await asyncio.wait_for(end.task, PATIENCE)
        assert end.handler.events[-1][0] == "close"


def echo(handler: Handler, message: Any) -> None:
    handler.protocol.write_message(message)


@pytest.mark.parametrize("begins", ["while the loop waits", "before the task runs"])
def test_who_cancels_the_connections_task_does_to_the_handler_what_tornado_does(begins: str) -> None:
    """Tornado 6.5 cancels the handler. Tornado 6.6 lets it finish."""

    async def scenario(protocol: Any) -> list[str]:
        said = []

        async def answer(handler: Handler, message: Any) -> None:
            try:
                await asyncio.sleep(0.02)
                said.append("finished")
            except asyncio.CancelledError:
                said.append("cancelled")
                raise

        end = End(protocol, answer)
        if begins == "while the loop waits":
            await asyncio.sleep(0.01)
        end.peer.send(HELLO)
        await asyncio.sleep(0.01)
        end.task.cancel()
        await asyncio.gather(end.task, return_exceptions=True)
        await asyncio.sleep(0.03)
        end.protocol.stream.close()
        end.peer.close()
        return said

    stock, fast = (asyncio.run(scenario(each)) for each in (WebSocketProtocol13, FastWebSocketProtocol13))
    assert fast == stock != []


def test_on_windows_a_long_message_is_not_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MAX_WRITE", 1000)
    written = []

    async def scenario() -> bytes:
        async with connected(FastWebSocketProtocol13, echo) as end:
            write = end.protocol.stream.write_to_fd

            def note(data: Any) -> Any:
                written.append(len(data))
                return write(data)

            end.protocol.stream.write_to_fd = note
            end.protocol.write_message("x" * 200_000)
            end.protocol.write_message(b"y", binary=True)
            return await end.until(b"\x82\x01y")

    received = asyncio.run(scenario())
    assert received[10:-3] == b"x" * 200_000
    assert written[0] == 1000 and len(written) > 1


def test_the_future_of_a_write(protocol: Any) -> None:
    """The future is pending when it is returned. It is resolved soon after, even if nothing awaits it."""

    async def scenario() -> None:
        futures: list[Any] = []

        def answer(handler: Handler, message: Any) -> None:
            futures.append(handler.protocol.write_message(message))
            assert not futures[-1].done()

        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 3)
            assert await end.received(3) == [b"hello"] * 3
            outside = end.protocol.write_message("more")
            assert not outside.done()
            for _ in range(3):
                await asyncio.sleep(0)
            assert [future.result() for future in [*futures, outside]] == [None] * 4

    asyncio.run(scenario())


def test_a_cancelled_write_harms_nobody(protocol: Any) -> None:
    async def scenario() -> None:
        async with connected(
            protocol, lambda handler, message: handler.protocol.write_message(message).cancel() and None
        ) as end:
            end.peer.send(HELLO * 2)
            assert await end.received(2) == [b"hello"] * 2

    asyncio.run(scenario())


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def test_task_and_context_are_those_of_the_connection(protocol: Any) -> None:
    tasks: list[Any] = []

    def answer(handler: Handler, message: Any) -> Any:
        tasks.append(asyncio.current_task())
        variable.set(variable.get() + message)
        handler.protocol.write_message(variable.get())
        return later(handler) if len(tasks) == 2 else None

    async def later(handler: Handler) -> None:
        variable.set("only mine")

    async def scenario() -> None:
        variable.set("opened,")
        async with connected(protocol, answer) as end:
            for said in (b"opened,hello", b"opened,hellohello", b"opened,hellohellohello"):
                end.peer.send(HELLO)
                assert await end.received(1) == [said]
            assert tasks == [end.task] * 3
            assert asyncio.current_task() not in tasks

    asyncio.run(scenario())


def test_the_context_is_one_wherever_messages_are_handled(protocol: Any) -> None:
    """The first and the last message are handled in the socket's callback, the long one in the coroutine."""

    def answer(handler: Handler, message: Any) -> None:
        variable.set(f"{variable.get()}{len(message)},")
        handler.protocol.write_message(variable.get())

    async def scenario() -> None:
        variable.set("")
        async with connected(protocol, answer) as end:
            for length, said in ((1, b"1,"), (70_000, b"1,70000,"), (2, b"1,70000,2,")):
                await asyncio.sleep(0.01)
                end.peer.send(build_frame(0x81, b"x" * length, b"mask"))
                assert await end.received(1) == [said]

    asyncio.run(scenario())


def test_a_write_never_overtakes_another(protocol: Any) -> None:
    """The socket can accept data again before the stream notices it."""

    async def scenario() -> None:
        async with connected(protocol, echo) as end:
            end.protocol.write_message("x" * 1_000_000)
            taken = end.peer.recv(400_000)
            for small in "abc":
                end.protocol.write_message(small)
            rest = await end.until(b"\x81\x01c")
            frames, _, _ = parse_frames(taken + rest, 0, 9)
            assert [payload for _, payload in frames] == [b"x" * 1_000_000, b"a", b"b", b"c"]

    asyncio.run(scenario())


def test_more_frames_than_are_parsed_at_once_while_one_is_waited_for(protocol: Any) -> None:
    async def wait(handler: Handler, message: Any) -> None:
        await asyncio.sleep(0.01)
        handler.protocol.write_message(message)

    def answer(handler: Handler, message: Any) -> Any:
        return wait(handler, message) if message == "0" else echo(handler, message)

    async def scenario() -> None:
        async with connected(protocol, answer) as end:
            await asyncio.sleep(0.01)
            end.peer.send(b"".join(build_frame(0x81, str(number), b"mask") for number in range(600)))
            assert await end.received(600) == [str(number).encode() for number in range(600)]

    asyncio.run(scenario())


def test_a_peer_that_closes_its_half_at_once_is_answered(protocol: Any) -> None:
    """The peer closes its half before the connection first waits for the socket."""

    async def answer(handler: Handler, message: Any) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await handler.protocol.write_message(message)

    async def scenario() -> list[Any]:
        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 2)
            end.peer.shutdown(socket.SHUT_WR)
            return await end.received(2)

    assert asyncio.run(scenario()) == [b"hello"] * 2


@pytest.mark.parametrize("frames", [HELLO, build_frame(0x01, "hel", b"mask") + build_frame(0x80, "lo", b"mask")])
def test_an_error_of_an_asynchronous_handler_is_reported_once(
    protocol: Any, frames: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(handler: Handler, message: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("only once")

    async def scenario() -> list[Any]:
        end = End(protocol, answer)
        end.peer.send(frames)
        await asyncio.gather(asyncio.wait_for(end.task, 5), return_exceptions=True)
        await asyncio.sleep(0.01)
        end.protocol._abort()
        end.peer.close()
        return [event for event in end.handler.events if event[0] == "exception"]

    reported = len(asyncio.run(scenario()))
    gc.collect()
    written = sum("only once" in str(record.exc_info) for record in caplog.records)
    assert (reported, written) in ((1, 0), (0, 1)), caplog.text


def test_answers_do_not_wait_for_slow_messages(protocol: Any) -> None:
    """One segment holds several slow messages. The first answers arrive before the last message is handled."""
    before: list[int] = []

    async def scenario() -> None:
        def answer(handler: Handler, message: Any) -> None:
            try:
                before.append(len(end.peer.recv(65536, socket.MSG_PEEK)))
            except BlockingIOError:
                before.append(0)
            handler.protocol.write_message(message)
            time.sleep(0.003)

        async with connected(protocol, answer) as end:
            end.peer.send(HELLO * 5)
            assert await end.received(5) == [b"hello"] * 5

    asyncio.run(scenario())
    frames = [length // 7 for length in before]
    assert all(sent >= handled - 1 for handled, sent in enumerate(frames)), frames


def test_a_flood_on_one_connection_leaves_turns_to_another(protocol: Any) -> None:
    if tornado.version_info < (6, 6) and protocol is WebSocketProtocol13:
        pytest.skip("Tornado 6.5 has no turns")

    async def scenario() -> int:
        handled = 0

        def count(handler: Handler, message: Any) -> None:
            nonlocal handled
            handled += 1
            end.peer.send(HELLO)  # ensures that there is always more to read

        async with connected(protocol, count) as end:
            end.peer.send(HELLO * 2)
            for _ in range(10):
                await asyncio.sleep(0)
            end.handler.answer = echo
            return handled

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE)) <= 10 * 300


def test_back_pressure() -> None:
    """If the peer doesn't read, both classes stop after the same message. When it reads, all arrive in order."""

    async def blocked_after(protocol: Any) -> int:
        written = 0
        async with connected(protocol, echo) as end:

            async def produce() -> None:
                nonlocal written
                for number in range(2000):
                    await end.protocol.write_message(str(number) * 50)
                    written += 1

            producing = asyncio.ensure_future(produce())
            async with asyncio.timeout(60):
                while not end.protocol.stream.writing():
                    await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            stopped = written
            assert not producing.done()
            assert await end.received(2000) == [(str(number) * 50).encode() for number in range(2000)]
            await producing
            return stopped

    assert asyncio.run(blocked_after(FastWebSocketProtocol13)) == asyncio.run(blocked_after(WebSocketProtocol13)) > 10


def test_answers_to_many_messages_survive_a_full_socket(protocol: Any) -> None:
    """The answers exceed what the socket accepts at once. The rest is sent in order when the peer reads."""
    frames = [str(number) * 1000 for number in range(60)]
    data = b"".join(build_frame(0x81, frame, b"mask") for frame in frames)

    async def scenario() -> None:
        futures: list[Any] = []

        def answer(handler: Handler, message: Any) -> None:
            futures.extend(handler.protocol.write_message(message) for _ in range(10))

        async with connected(protocol, answer) as end:
            end.protocol.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            await asyncio.get_running_loop().sock_sendall(end.peer, data)
            expected = [frame.encode() for frame in frames for _ in range(10)]
            assert await end.received(600) == expected
            await asyncio.gather(*futures)
            assert len(futures) == 600

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [10, 200_000])
def test_writes_to_a_peer_that_has_gone(protocol: Any, size: int) -> None:
    async def scenario() -> None:
        async with connected(protocol, echo) as end:
            await asyncio.sleep(0)
            end.peer.close()
            with pytest.raises(WebSocketClosedError):
                await end.protocol.write_message("x" * size)
            with pytest.raises(WebSocketClosedError):
                end.protocol.write_message("x")
            assert end.protocol.is_closing()

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_leaving_the_program_from_a_handler(protocol: Any, exception: type[BaseException]) -> None:
    """The exception leaves the event loop, and the answer written before it is sent."""
    ends: list[End] = []

    def answer(handler: Handler, message: Any) -> None:
        handler.protocol.write_message(message)
        raise exception

    async def scenario() -> None:
        ends.append(End(protocol, answer))
        ends[0].peer.send(HELLO * 2)
        await asyncio.sleep(1)

    with pytest.raises(exception):
        asyncio.run(scenario())
    with ends[0].peer as peer, ends[0].socket:
        assert peer.recv(100) == b"\x81\x05hello"


def test_cancelling_the_connection_from_its_handler(protocol: Any) -> None:
    async def scenario() -> list[Any]:
        def answer(handler: Handler, message: Any) -> None:
            handler.protocol.write_message(message)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        end = End(protocol, answer)
        end.peer.send(HELLO)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(end.task, PATIENCE)
        assert await end.received(1) == [b"hello"]
        end.protocol._abort()
        end.peer.close()
        return end.handler.events

    events = asyncio.run(scenario())
    assert [event[0] for event in events] in (["message"], ["message", "close"])


def test_streams_with_a_limit_keep_it(protocol: Any) -> None:
    """max_write_buffer_size is checked before anything is written to the socket."""

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        end = protocol(Mock(), False, _WebSocketParams())
        end.stream = IOStream(ours, max_write_buffer_size=100)
        with pytest.raises(tornado.iostream.StreamBufferFullError):
            end.write_message("x" * 200)
        end.stream.close()
        theirs.close()

    asyncio.run(scenario())


TOO_BIG = b"\x88\x11\x03\xf1message too big"
REFUSED = {
    "reserved bits": ([b"\xf1\x05"], b""),
    "a long ping": ([b"\x89\x7e"], b""),
    "a message beyond the limit": ([b"\x82\x7e\x03\xe9"], TOO_BIG),
    "a length of 64 bits": ([b"\x82\xff" + b"\xff" * 8], TOO_BIG),
    "fragments beyond the limit": ([build_frame(0x01, bytes(600), None), b"\x80\x7e\x01\x91"], TOO_BIG),
    "a ping on top of fragments": ([build_frame(0x01, bytes(990), None), b"\x89\x14"], TOO_BIG),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_ends_the_connection_does_so_at_once(protocol: Any, name: str) -> None:
    """The connection doesn't wait for the payload, and it has answered the message before the header."""
    pieces, answer = REFUSED[name]

    async def scenario() -> bytes:
        end = End(protocol, echo)
        end.protocol.params.max_message_size = 1000
        end.peer.send(HELLO)
        for piece in pieces:
            for byte in piece:
                end.peer.send(bytes((byte,)))
                await asyncio.sleep(0)
        await asyncio.wait_for(end.task, PATIENCE)
        with end.peer:
            return end.peer.recv(100)

    assert asyncio.run(scenario()) == b"\x81\x05hello" + answer


def test_messages_of_a_peer_that_has_closed_its_half_are_answered(protocol: Any) -> None:
    """The connection handles all messages that have arrived before it checks for the end of the stream."""

    async def answer(handler: Handler, message: Any) -> None:
        if len(handler.events) < 3:
            for _ in range(20):
                await asyncio.sleep(0)
        await handler.protocol.write_message(message)

    async def scenario() -> list[Any]:
        async with connected(protocol, answer) as end:
            for _ in range(5):  # until the connection waits for the socket
                await asyncio.sleep(0)
            end.peer.send(HELLO * 3)
            end.peer.shutdown(socket.SHUT_WR)
            return await end.received(3)

    assert asyncio.run(scenario()) == [b"hello"] * 3


class Echo(tornado.websocket.WebSocketHandler):
    connections: ClassVar[list[Any]] = []

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[-1] if subprotocols else None

    def get_compression_options(self) -> dict[str, Any] | None:
        return {} if self.get_argument("compressed", None) else None

    def open(self) -> None:
        self.connections.append(self.ws_connection)

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


class AsyncEcho(Echo):
    async def on_message(self, message: str | bytes) -> None:  # type: ignore[override]
        await self.write_message(message, binary=isinstance(message, bytes))


MESSAGES: list[Any] = [
    "",
    "é 漢字",
    b"",
    *(bytes(range(256)) * (size // 256) for size in (256, 65536, 2**17, 2**20)),
    "x" * 300_000,
]


@pytest.fixture
def installed() -> Any:
    tornado_speedups.install()
    yield
    tornado_speedups.uninstall()


@pytest.mark.parametrize("handler", [Echo, AsyncEcho])
@pytest.mark.parametrize("query", ["", "?compressed=1"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.usefixtures("installed")
def test_over_the_network(handler: Any, query: str, tls: bool) -> None:
    """A real server and a real client test the handshake, TLS, compression, and many messages of all sizes."""

    async def scenario() -> None:
        certificates = Path(tornado.test.__file__).parent
        files = {"certfile": str(certificates / "test.crt"), "keyfile": str(certificates / "test.key")}
        server = HTTPServer(tornado.web.Application([("/", handler)]), ssl_options=files if tls else None)
        listener, port = bind_unused_port()
        server.add_socket(listener)
        request = HTTPRequest(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/{query}", validate_cert=False)
        connect: Any = tornado.websocket.websocket_connect
        client = await connect(request, subprotocols=["a", "b"], compression_options={} if query else None)
        assert type(client.protocol) is type(handler.connections[-1]) is FastWebSocketProtocol13
        assert client.selected_subprotocol == "b"
        for message in MESSAGES:
            await client.write_message(message, binary=isinstance(message, bytes))
            assert await client.read_message() == message
        for message in MESSAGES * 3:
            client.write_message(message, binary=isinstance(message, bytes))
        assert [await client.read_message() for _ in MESSAGES * 3] == MESSAGES * 3
        client.close(4321, "enough")
        assert await client.read_message() is None
        assert client.close_code == 4321
        server.stop()
        await server.close_all_connections()

    asyncio.run(asyncio.wait_for(scenario(), 30))
