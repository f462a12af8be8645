"""Each function that install() puts into Tornado does the work of real connections, and is counted."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from tornado import httputil

import tornado_speedups
from tests.speedups.targets import OURS, WRAPPED, count_calls
from tornado_speedups import patching

pytestmark = pytest.mark.usefixtures("c_extension", "installed")


def run_self_test() -> Any:
    return import_module("tornado_speedups.self_test").run_self_test()


@pytest.fixture(scope="module")
def result() -> Any:
    tornado_speedups.install()
    return run_self_test()


@pytest.mark.parametrize("name", ["_websocket_mask", *WRAPPED, *OURS])
def test_the_function_does_the_work_of_real_connections(name: str, result: Any) -> None:
    assert result.error == ""
    [found] = [each for each in result.functions if each.name == name]
    assert found.fast > 0, str(found)


# What the plain connections of the self-test may leave to Tornado.
EXPECTED_ASIDES = {
    "httputil:format_timestamp": {"a new second has begun"},
    "http1connection:HTTP1Connection.write_headers": {"it is the request of a client"},
    "http1connection:HTTP1Connection._read_message": {"it is the connection of a client"},
    "http1connection:HTTP1Connection._read_body": {"it is the connection of a client"},
    "http1connection:HTTP1Connection.finish": {"it is the connection of a client"},
    "http1connection:HTTP1Connection.detach": {"TCP_NODELAY isn't kept on"},
    "iostream:BaseIOStream.write": {"the socket is full"},
    "iostream:BaseIOStream._handle_events": {
        "something else has happened than that there is something to read",
        "something else than a head is read, or a head that comes in parts",
        "nobody reads, and no response has just left",
    },
    "httputil:HTTPServerRequest._parse_body": {"the body is a form, or the headers are of a class of the application"},
}


def test_plain_connections_leave_little_to_tornado(result: Any) -> None:
    left = {each.name: set(each.asides) for each in result.functions if each.asides}
    assert {name for name, reasons in left.items() if not reasons <= EXPECTED_ASIDES.get(name, set())} == set()
    assert result.passed


def test_a_function_that_never_fires_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_speedups.http.streams._ENDS_OF_HEAD", {})
    found = run_self_test()
    assert not found.passed
    assert "read_until_regex: NEVER FIRED; left to Tornado" in str(found)


def test_a_connection_that_fails_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_speedups.self_test._FORM", b"")
    monkeypatch.setattr("tornado_speedups.self_test._POST", b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n")
    found = run_self_test()
    assert not found.passed and "error: ValueError: the server's answers are wrong" in str(found)


def test_nothing_is_counted_outside_of_the_context() -> None:
    before = [vars(patch.owner)[patch.name] for patch in patching.list_patches()]
    assert len(before) > len(WRAPPED)
    with count_calls() as counts:
        assert not {*before} & {vars(patch.owner)[patch.name] for patch in patching.list_patches()}
        httputil.parse_request_start_line("GET / HTTP/1.1")
    assert [vars(patch.owner)[patch.name] for patch in patching.list_patches()] == before
    httputil.parse_request_start_line("GET / HTTP/1.1")
    assert counts.calls == {"httputil:parse_request_start_line": 1}
