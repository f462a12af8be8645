"""Random heads and responses: Tornado's functions and our replacements always give the same result.

The tests install nothing. They call both functions directly.
"""

from __future__ import annotations

import asyncio
import pickle
import random
from typing import Any

import pytest
from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, RequestStartLine, ResponseStartLine

from tests.speedups.heads import BROWSER, outcome, random_head
from tornado_speedups import _python, patching
from tornado_speedups.http import heads
from tornado_speedups.patch import Patch


@pytest.fixture
def replaced(native: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Patch]:
    """The patches by function name. Our replacements use the implementation under test."""
    for name in ("parse_head", "parse_headers", "parse_start_line", "serialize_head"):
        monkeypatch.setattr(heads, name, getattr(native, name))
    return {patch.name: patch for hook in ("headers", "http") for patch in patching._find_patches(hook)}


def agree_on(head: bytes, replaced: dict[str, Patch]) -> bool:
    """Return whether Tornado accepts the head. Fail if our replacements give another result."""
    original, replacement = replaced["_parse_headers"].original, replaced["_parse_headers"].replacement
    expected = outcome(original, None, head)
    assert outcome(replacement, None, head) == expected, head
    original, replacement = replaced["parse"].original.__func__, replaced["parse"].replacement.__func__
    text = head.partition(b"\n")[2].decode("latin-1")
    for is_bytes in (True, False):
        again = outcome(original, HTTPHeaders, text, _chars_are_bytes=is_bytes)
        assert outcome(replacement, HTTPHeaders, text, _chars_are_bytes=is_bytes) == again, head
    if isinstance(expected[0], type):
        return False
    line = expected[0][1]
    patch = replaced["parse_request_start_line"]
    assert outcome(patch.replacement, line) == outcome(patch.original, line), head
    return True


def fuzz(cases: int, seed: int, replaced: dict[str, Patch]) -> None:
    chosen = random.Random(seed)
    accepted = sum(agree_on(random_head(chosen), replaced) for _ in range(cases))
    assert cases * 0.1 < accepted < cases * 0.9  # otherwise the heads are too strange or too plain


def test_some_heads(replaced: dict[str, Patch]) -> None:
    fuzz(2000, 3, replaced)


@pytest.mark.exhaustive
def test_many_heads(native: Any, replaced: dict[str, Patch]) -> None:
    """Each implementation gets 100,000 different heads, 200,000 in total."""
    fuzz(100_000, 4 if native is _python else 5, replaced)


def test_every_beginning_of_a_head(replaced: dict[str, Patch]) -> None:
    for cut in range(len(BROWSER) + 1):
        agree_on(BROWSER[:cut], replaced)


def test_headers_behave_as_ever(replaced: dict[str, Patch]) -> None:
    text = "A: 1\r\nset-cookie: a\r\nSet-Cookie: b\r\nX-Own: \r\n"
    stock = replaced["parse"].original.__func__(HTTPHeaders, text)
    ours = replaced["parse"].replacement.__func__(HTTPHeaders, text)
    for view in (str, list, dict, len, HTTPHeaders.copy):
        assert view(ours) == view(stock)
    assert list(ours.get_all()) == list(stock.get_all()) and ours.get_list("SET-cookie") == ["a", "b"]
    assert outcome(pickle.loads, pickle.dumps(ours)) == outcome(pickle.loads, pickle.dumps(stock))
    assert "a" in ours and "b" not in ours and ours.get("b") is None
    for each in (stock, ours):
        each.add("A", "2")
        each["X-Own"] = "3"
        del each["set-cookie"]
        each.parse_line("New: 4\r\n")
    assert outcome(lambda: ours) == outcome(lambda: stock)
    assert outcome(ours.parse_line, " folded") == outcome(stock.parse_line, " folded")
    assert outcome(lambda: ours) == outcome(lambda: stock)


def test_subclasses_are_parsed_by_tornado(replaced: dict[str, Patch]) -> None:
    class Shouting(HTTPHeaders):
        def add(self, name: str, value: str, **options: Any) -> None:
            super().add(name, value.upper(), **options)

    parsed = replaced["parse"].replacement.__func__(Shouting, "A: b\r\n")
    assert type(parsed) is Shouting and parsed["A"] == "B"


@pytest.mark.parametrize("wrong", [None, b"A: 1\r\n", 7])
def test_wrong_types_are_tornados_affair(replaced: dict[str, Patch], wrong: Any) -> None:
    parse = replaced["parse"]
    expected = outcome(parse.original.__func__, HTTPHeaders, wrong)
    assert isinstance(expected[0], type) and outcome(parse.replacement.__func__, HTTPHeaders, wrong) == expected
    line = replaced["parse_request_start_line"]
    assert outcome(line.replacement, wrong) == outcome(line.original, wrong)


class Wire:
    """The parts of a stream that a connection needs for writing."""

    max_buffer_size = 1 << 20

    def __init__(self, closed: bool) -> None:
        self._closed = closed
        self.written: list[bytes] = []

    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    def set_close_callback(self, callback: Any) -> None:
        pass

    def write(self, data: bytes) -> Future[None]:
        self.written.append(data)
        future: Future[None] = Future()
        future.set_result(None)
        return future


def respond(write_headers: Any, chosen: random.Random) -> Any:
    """Write a random response to a random connection. Return the data written, the resulting state and any error."""
    wire = Wire(chosen.random() < 0.1)
    connection: Any = HTTP1Connection(wire, False)  # type: ignore[arg-type]
    method, version = chosen.choice(("GET", "HEAD", "POST")), chosen.choice(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0"))
    connection._request_start_line = RequestStartLine(method, "/", version)
    wish = chosen.choice(({}, {"Connection": "Keep-Alive"}, {"Connection": "close"}))
    connection._request_headers = HTTPHeaders(wish)
    connection._disconnect_on_finish = chosen.random() < 0.3
    code: Any = chosen.choice((200, 200, 200, 204, 304, 100, 199, 404, 500, 200.5, True, "200"))
    reason: Any = chosen.choice(("OK", "OK", "Not Found", "", None, "a\rb", "\xe9"))
    values = HTTPHeaders({"Server": "T"})
    for _ in range(chosen.randrange(4)):
        name = chosen.choice(("Content-Length", "Content-Length", "connection", "Set-Cookie", "X", "Transfer-Encoding"))
        value: Any = chosen.choice(("5", "5", "0", "", "x", "\u0665", "-1", "5" * 30, "a\nb", "\xe9", b"5", 5))
        values[name] = value
        values.get_list(name).extend(["again"] * chosen.choice((0, 0, 0, 1)))
    chunk: Any = chosen.choice((None, b"", b"hello", b"hello, world", bytearray(b"hello"), "hello"))
    result = outcome(write_headers, connection, ResponseStartLine("", code, reason), values, chunk)
    is_future = isinstance(result[1], asyncio.Future)
    state = (connection._chunking_output, connection._expected_content_remaining, connection._response_start_line)
    future = (result[1].done(), repr(result[1].exception())) if is_future else result
    return wire.written, wire.closed(), state, outcome(lambda: values), future, repr(connection._write_future)


async def compare_responses(cases: int, replaced: dict[str, Patch]) -> None:
    each = replaced["write_headers"]
    written = 0
    for seed in range(cases):
        expected = respond(each.original, random.Random(seed))
        assert respond(each.replacement, random.Random(seed)) == expected, seed
        written += bool(expected[0])
    assert cases * 0.2 < written < cases * 0.8


def test_responses_by_chance(replaced: dict[str, Patch]) -> None:
    asyncio.run(compare_responses(3000, replaced))
