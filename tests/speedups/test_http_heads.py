"""parse_headers, parse_head, parse_start_line and serialize_head: C, Python and Tornado give the same results."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_request_start_line

from tests.speedups.heads import (
    BROWSER,
    LATIN_BLOCKS,
    PLAIN_BLOCKS,
    PLAIN_LINES,
    STRANGE_BLOCKS,
    STRANGE_LINES,
    outcome,
    random_head,
)
from tornado_speedups import _python

CASES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
GAPPED = memoryview(b"1.2.3.4.")[::2]
FUNCTIONS = ["parse_headers", "parse_head", "parse_start_line"]


def stock_contents(block: bytes) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Return the value lists and the single values that Tornado's parser finds."""
    headers = HTTPHeaders.parse(block.decode("latin-1"))
    lists = [(name, headers.get_list(name)) for name in headers]
    return lists, [(name, values[0]) for name, values in lists if len(values) == 1]


@pytest.mark.parametrize("block", PLAIN_BLOCKS)
def test_plain_blocks(speedups: Any, block: bytes) -> None:
    lists, values, last = speedups.parse_headers(block)
    assert (list(lists.items()), list(values.items())) == stock_contents(block)
    assert (last is None) == (not lists)
    assert speedups.parse_headers(block.decode()) == (lists, values, last)
    head = speedups.parse_head(b"\r\n\nGET / HTTP/1.1\r\r\n" + block)
    assert head == ("GET / HTTP/1.1", lists, values, last)


@pytest.mark.parametrize("block", STRANGE_BLOCKS)
def test_strange_blocks_are_left_to_tornado(speedups: Any, block: bytes) -> None:
    assert speedups.parse_headers(block) is None
    assert speedups.parse_headers(block.decode("latin-1")) is None
    assert speedups.parse_headers(b"First: 1\r\nFirst: 2\r\n" + block) is None
    assert speedups.parse_head(b"GET / HTTP/1.1\r\n" + block) is None


@pytest.mark.parametrize("block", LATIN_BLOCKS)
def test_bytes_are_latin_1(speedups: Any, block: bytes) -> None:
    lists, values, _ = speedups.parse_headers(block)
    assert (list(lists.items()), list(values.items())) == stock_contents(block)
    assert speedups.parse_headers(block.decode("latin-1")) is None
    assert speedups.parse_head("\n\n" + block.decode("latin-1")) is None


def test_the_last_name_is_that_of_the_last_line(speedups: Any) -> None:
    assert speedups.parse_headers(b"A: 1\r\nx-b: 2\r\na: 3\r\n")[2] == "A"


def test_browser(speedups: Any) -> None:
    line, lists, values, last = speedups.parse_head(BROWSER)
    assert (line, len(lists), len(values), last) == ("GET /search?q=tornado HTTP/1.1", 12, 12, "Cookie")
    assert values["Sec-Ch-Ua"] == '"Chromium";v="124", "Not-A.Brand";v="99"'
    assert lists == {name: [value] for name, value in values.items()}


@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET / HTTP/1.1", b"\r\r\r", b"GET / HTTP/1.1\r"])
def test_a_head_without_a_line(speedups: Any, data: bytes) -> None:
    assert speedups.parse_head(data) is None


def test_results_are_not_shared(speedups: Any) -> None:
    first, second = speedups.parse_headers(b"A: 1\r\n"), speedups.parse_headers(b"A: 1\r\n")
    first[0]["A"].append("2")
    first[1]["B"] = "3"
    assert second == ({"A": ["1"]}, {"A": "1"}, "A")


@pytest.mark.parametrize("line", PLAIN_LINES)
def test_plain_request_lines(speedups: Any, line: str) -> None:
    assert speedups.parse_start_line(line) == tuple(parse_request_start_line(line))
    assert speedups.parse_start_line(line.encode()) == tuple(line.split(" "))


@pytest.mark.parametrize("line", STRANGE_LINES)
def test_strange_request_lines_are_left_to_tornado(speedups: Any, line: str) -> None:
    assert speedups.parse_start_line(line) is None
    with pytest.raises(HTTPInputError):
        parse_request_start_line(line)


def test_latin_request_lines(speedups: Any) -> None:
    line = "GET /\xe9 HTTP/1.1"
    assert speedups.parse_start_line(line) is None
    assert speedups.parse_start_line(line.encode("latin-1")) == tuple(parse_request_start_line(line))


def test_serialize_head(speedups: Any) -> None:
    headers = {"Server": ["T"], "Set-Cookie": ["a=b", "c=d"], "Empty": [""], "None": []}
    expected = b"HTTP/1.1 200 OK\r\nServer: T\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nEmpty: \r\n\r\nbody"
    assert speedups.serialize_head("HTTP/1.1 200 OK", headers, b"body") == expected
    assert speedups.serialize_head("HTTP/1.1 200 OK", headers, bytearray(b"body")) == expected
    assert speedups.serialize_head("", {}, b"") == b"\r\n\r\n"


class Text(str):
    """A subclass of str, which could override any method."""


@pytest.mark.parametrize("bad", ["\r", "a\nb", "\xe9", "\u20ac", "\ud800", b"bytes", 1, None, Text("text")])
def test_what_is_not_plain_is_not_serialized(native: Any, bad: Any) -> None:
    assert native.serialize_head("line", {"A": ["1"], "B": ["2", bad]}, b"") is None
    assert native.serialize_head("line", {"A": ["1"], bad: ["2"]}, b"") is None
    if isinstance(bad, str):
        assert native.serialize_head(bad, {}, b"") is None


@pytest.mark.parametrize("values", [("1",), "1", None, 1, {"1": 1}])
def test_values_must_be_lists(native: Any, values: Any) -> None:
    assert native.serialize_head("line", {"A": values}, b"") is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((b"line", {}, b""), TypeError, "line must be str, not bytes"),
        (("line", [], b""), TypeError, "headers must be a dict, not list"),
        (("line", {}, None), TypeError, "body must be a bytes-like object or str, not NoneType"),
        (("line", {}, GAPPED), BufferError, "body must be contiguous"),
        (("line",), TypeError, "serialize_head() missing 2 required positional arguments: 'headers' and 'body'"),
    ],
)
def test_wrong_arguments_to_write(native: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        native.serialize_head(*arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize(("name", "argument"), list(zip(FUNCTIONS, ["block", "data", "line"], strict=True)))
def test_wrong_arguments_to_read(native: Any, name: str, argument: str) -> None:
    function = getattr(native, name)
    with pytest.raises(TypeError, match=f"^{argument} must be a bytes-like object or str, not NoneType$"):
        function(None)
    with pytest.raises(BufferError, match=f"^{argument} must be contiguous$"):
        function(GAPPED)
    with pytest.raises(TypeError, match=rf"^{name}\(\) missing 1 required positional argument: '{argument}'$"):
        function()
    with pytest.raises(TypeError, match=rf"^{name}\(\) takes 1 positional arguments? but 2 were given$"):
        function(b"", b"")


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.binary() | st.binary().map(lambda data: b"GET / HTTP/1.1\r\nA: " + data + b"\r\nB: 2\r\n\r\n"))
@CASES
def test_c_is_python_for_any_bytes(c_extension: Any, name: str, data: bytes) -> None:
    for each in (data, data.decode("latin-1"), bytearray(data)):
        assert getattr(c_extension, name)(each) == getattr(_python, name)(each)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(text=st.text())
@CASES
def test_c_is_python_for_any_text(c_extension: Any, name: str, text: str) -> None:
    assert outcome(getattr(c_extension, name), text) == outcome(getattr(_python, name), text)


@given(
    line=st.text(st.characters(max_codepoint=130)),
    headers=st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=20), max_size=3), max_size=4),
    body=st.binary(),
)
@CASES
def test_c_writes_as_python_does(c_extension: Any, line: str, headers: dict[str, list[str]], body: bytes) -> None:
    assert c_extension.serialize_head(line, headers, body) == _python.serialize_head(line, headers, body)


def test_every_split(c_extension: Any) -> None:
    """Heads cut at every position would reveal reads beyond the end and wrong results for incomplete heads."""
    chosen = random.Random(2)
    for head in [BROWSER, *(random_head(chosen) for _ in range(200))]:
        for cut in range(len(head) + 1):
            for part in (head[:cut], head[cut:]):
                assert c_extension.parse_head(part) == _python.parse_head(part)
                assert c_extension.parse_headers(part) == _python.parse_headers(part)


def test_nothing_is_kept(native: Any) -> None:
    """Calls of every kind leave the reference counts of headers, values and lines unchanged."""
    headers = {"X-Name": ["value", "value two"]}
    watched = [headers, headers["X-Name"], headers["X-Name"][0], "line of text".upper()]
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(1000):
        native.serialize_head(watched[3], headers, b"")
        native.serialize_head(watched[3], {"A": headers}, b"")
        native.serialize_head(watched[3], {"A": [headers["X-Name"]]}, b"")
        native.parse_headers(watched[3])
    assert [sys.getrefcount(each) for each in watched] == before


def test_memory_stays(c_extension: Any) -> None:
    def everything() -> None:
        for block in [*PLAIN_BLOCKS[:12], *STRANGE_BLOCKS, *LATIN_BLOCKS]:
            c_extension.parse_headers(b"Twice: 1\r\ntwice: 2\r\nOwn-Name: x\r\n" + block)
            c_extension.parse_head(b"GET / HTTP/1.1\r\n" + block)
        for line in (*PLAIN_LINES, *STRANGE_LINES):
            c_extension.parse_start_line(line)

    for _ in range(20):
        everything()
    before = sys.getallocatedblocks()
    for _ in range(200):
        everything()
    assert sys.getallocatedblocks() - before < 100
