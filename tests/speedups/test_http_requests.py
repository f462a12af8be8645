"""What a request consists of, what its handler answers by itself, and what is logged: as by Tornado."""

from __future__ import annotations

import datetime
import enum
import logging
import time
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import tornado
from hypothesis import given
from hypothesis import strategies as st
from tornado import httputil, routing, web
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.log import access_log

import tornado_speedups
from tests.speedups.heads import outcome

pytestmark = pytest.mark.usefixtures("stock_tornado")

_stock_headers_received = routing._RoutingDelegate.headers_received
TIMES = {"_start_time"}


def wrap(name: str, original: Any) -> Any:
    """Return our function in place of Tornado's. ``name`` is that of a module of ours, and of the function."""
    module, _, function = name.partition(".")
    return getattr(import_module(f"tornado_speedups.http.{module}"), f"wrap_{function}")(original)


def receive_fast(line: Any, fields: list[tuple[str, str]]) -> Any:
    return receive(wrap("requests.headers_received", _stock_headers_received), line, fields)


def receive_stock(line: Any, fields: list[tuple[str, str]]) -> Any:
    return receive(_stock_headers_received, line, fields)


class Keep(routing.Router):
    """A router that keeps the request, and finds nobody."""

    request: Any = None

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        self.request = request


def receive(function: Callable[..., Any], line: Any, fields: list[tuple[str, str]]) -> Any:
    """Return what the request consists of, or the error."""
    headers = HTTPHeaders()
    for name, value in fields:
        headers.add(name, value)
    context = SimpleNamespace(remote_ip="1.2.3.4", protocol="https")
    delegate = routing._RoutingDelegate(Keep(), "server", SimpleNamespace(context=context))  # type: ignore[arg-type]

    def run() -> Any:
        function(delegate, line, headers)
        request = delegate.router.request  # type: ignore[attr-defined]
        fields = {name: each for name, each in vars(request).items() if name not in {*TIMES, "connection", "headers"}}
        lists = {id(each) for each in request.arguments.values()}
        shared = lists & {id(each) for each in request.query_arguments.values()}
        return fields, type(request), request.headers is headers, shared, type(delegate.delegate)

    return outcome(run)


QUERIES = ["", "?", "?a=1&a=2&b=%20+", "?a", "?=x", "?a=%ff&\xe9=\xe9", "??", "?" + "&".join(["a=1"] * 1001)]
HOSTS = ["h", "H:80", "h:", "[::1]:8888", "", "a b", "a,b", "h:x", "\xe9", "x" * 300, "127.0.0.1:1"]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("host", HOSTS)
def test_a_request_is_tornados(query: str, host: str) -> None:
    for version in ("HTTP/1.1", "HTTP/1.0"):
        line = RequestStartLine("GET", f"/path{query}", version)
        for fields in ([("Host", host)], [], [("Host", host), ("host", "h")]):
            assert receive_fast(line, fields) == receive_stock(line, fields)


@given(st.text(st.characters(codec="latin-1"), max_size=20), st.text("aZ.:[]0-,_ \xe9", max_size=8))
def test_any_request_is_tornados(uri: str, host: str) -> None:
    line = RequestStartLine("GET", uri, "HTTP/1.1")
    received = outcome(lambda: receive_fast(line, [("Host", host)]))
    assert received == outcome(lambda: receive_stock(line, [("Host", host)]))


def test_remembered_hosts_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = import_module("tornado_speedups.http.requests")
    monkeypatch.setattr(requests, "_hosts", {})
    for number in range(1000):
        receive_fast(RequestStartLine("GET", "/", "HTTP/1.1"), [("Host", f"{'x' * number}.{number}")])
    assert 0 < len(requests._hosts) <= 64 and max(map(len, requests._hosts)) <= 255


def test_a_request_class_that_someone_wraps_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    stock = HTTPServerRequest.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        made.append(self)
        stock(self, *arguments, **options)

    monkeypatch.setattr(HTTPServerRequest, "__init__", init)
    receive_fast(RequestStartLine("GET", "/", "HTTP/1.1"), [("Host", "h")])
    assert len(made) == 1


# Handlers


class Defaults(web.RequestHandler):
    def set_default_headers(self) -> None:
        self._headers["X-Own"] = "own"
        del self._headers["Server"]


def make_handler(kind: Any = web.RequestHandler, **attributes: Any) -> Any:
    handler = object.__new__(kind)
    vars(handler).update(attributes)
    return handler


@pytest.mark.parametrize("kind", [web.RequestHandler, Defaults])
def test_a_handler_begins_with_tornados_headers(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = web.RequestHandler.clear
    clear = wrap("responses.clear", stock)
    for moment, version in ((5.25, "6.1"), (1e9, "6.1"), (1e9, "hidden")):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        monkeypatch.setattr(tornado, "version", version)
        expected, handler = make_handler(kind), make_handler(kind)
        stock(expected)
        clear(handler)
        assert {**vars(handler), "_headers": vars(handler._headers)} == {
            **vars(expected),
            "_headers": vars(expected._headers),
        }
        assert list(handler._headers.get_all()) == list(expected._headers.get_all())
        handler._headers.add("Date", "again")
        assert handler._headers["date"].endswith(",again")


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    """Text of an application."""


@pytest.mark.parametrize(
    "value",
    [
        0,
        -5,
        10**30,
        True,
        Number.ONE,
        "",
        "text/html",
        "\xe9\t~",
        "a\nb",
        "a\x00",
        "\u0161",
        Text("a"),
        Text("\n"),
        b"a\xe9",
        b"\r",
        None,
        1.5,
        [],
        datetime.datetime(2020, 1, 2, 3, 4, 5),
    ],
)
def test_header_values_are_tornados(value: Any) -> None:
    stock = web.RequestHandler.set_header

    def set_header(function: Any) -> list[Any]:
        handler = make_handler(_headers=HTTPHeaders({"X-Own": "old"}))
        error = outcome(function, handler, "x-own", value)
        return [error, [(type(each), each) for each in handler._headers.get_all()]]

    assert set_header(wrap("responses.set_header", stock)) == set_header(stock)


@pytest.mark.parametrize("parts", [[], [b""], [b"hello"], [b"a", b"b"], [bytearray(b"x")], [b"x" * 100_000]])
def test_etags_are_tornados(parts: list[bytes]) -> None:
    stock = web.RequestHandler.compute_etag
    handler = make_handler(_write_buffer=parts)
    assert wrap("responses.compute_etag", stock)(handler) == stock(handler)


@pytest.mark.parametrize(
    "asked", [{}, {"If-None-Match": '"a"'}, {"if-none-match": 'W/"a", "b"'}, {"If-None-Match": "*"}]
)
@pytest.mark.parametrize("etag", [{}, {"Etag": '"a"'}, {"ETag": '"b"'}])
def test_etags_are_compared_as_by_tornado(asked: dict[str, str], etag: dict[str, str]) -> None:
    stock = web.RequestHandler.check_etag_header
    for kind in (HTTPHeaders, dict):
        handler = make_handler(_headers=HTTPHeaders(etag), request=SimpleNamespace(headers=kind(asked)))
        assert wrap("responses.check_etag_header", stock)(handler) == stock(handler)


# The log


def log(function: Any, handler: Any, **settings: Any) -> list[Any]:
    logged: list[Any] = []
    own = logging.Handler()
    own.emit = lambda record: logged.append((record.levelname, record.getMessage()))  # type: ignore[method-assign]
    access_log.addHandler(own)
    settings = {"log_function": logged.append} if settings.get("own") else {}
    try:
        function(SimpleNamespace(settings=settings), handler)
    finally:
        access_log.removeHandler(own)
    return logged


class Summary(web.RequestHandler):
    asked = 0

    def _request_summary(self) -> str:
        type(self).asked += 1
        return "summary"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL])
@pytest.mark.parametrize("status", [200, 304, 404, 500])
@pytest.mark.parametrize("own", [False, True])
def test_the_same_is_logged(level: int, status: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = web.Application.log_request
    monkeypatch.setattr(access_log, "level", level)
    access_log.manager._clear_cache()  # type: ignore[attr-defined]
    request = SimpleNamespace(method="GET", uri="/", remote_ip="ip", request_time=lambda: 0.5)
    for kind in (web.RequestHandler, Summary):
        handler = make_handler(kind, _status_code=status, request=request)
        before = Summary.asked
        expected = log(stock, handler, own=own)
        asked = Summary.asked - before
        assert log(wrap("responses.log_request", stock), handler, own=own) == expected
        assert Summary.asked - before == 2 * asked
    access_log.manager._clear_cache()  # type: ignore[attr-defined]


def test_a_log_that_someone_replaces_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    request = SimpleNamespace(method="GET", uri="/", remote_ip="ip", request_time=lambda: 0.5)
    handler = make_handler(_status_code=200, request=request)
    function = wrap("responses.log_request", web.Application.log_request)
    logged: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(access_log, "info", lambda *arguments: logged.append(arguments))
        function(SimpleNamespace(settings={}), handler)
    monkeypatch.setattr(web, "access_log", SimpleNamespace(info=lambda *arguments: logged.append(arguments)))
    function(SimpleNamespace(settings={}), handler)
    assert len(logged) == 2


# Routing


class Meta(type):
    """A metaclass of an application."""


class WithMeta(web.RequestHandler, metaclass=Meta):
    """A handler with a metaclass."""


class OwnMatches(routing.PathMatches):
    """A matcher of an application."""

    def match(self, request: Any) -> Any:
        return {"path_args": [b"own"]} if request.path == "/matched" else None


class OwnRouter(routing.Router):
    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        return web._HandlerDelegate(None, request, web.RequestHandler, {"own": kwargs}, None, None)  # type: ignore[arg-type]


def find(path: str) -> Any:
    inner = [("/inner/a", web.RequestHandler), ("/inner/(.*)", web.RequestHandler, {"k": 1})]
    rules: list[Any] = [
        (routing.PathMatches("/inner/.*"), inner),
        ("/meta", WithMeta),
        ("/own/(?P<name>.*)", OwnRouter()),
        ("/class", HTTPHeaders),
        (OwnMatches("/"), web.RequestHandler),
        ("/(x)/(.)?", web.RequestHandler),
        ("/named/(?P<name>[^/]+)", web.RequestHandler, {"k": 2}),
    ]
    application = web.Application(rules)
    line = RequestStartLine("GET", path, "HTTP/1.1")
    connection: Any = SimpleNamespace()
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "h"}), connection=connection)
    found = application.find_handler(request)
    fields = {name: value for name, value in vars(found).items() if isinstance(value, dict | list | type)}
    return type(found), fields


PATHS = ["/inner/a", "/matched", "/inner/b%20c", "/meta", "/own/n", "/class", "/x/", "/x/y", "/named/%ff", "/none", ""]


def test_the_same_handler_is_found() -> None:
    expected = [outcome(find, path) for path in PATHS]
    tornado_speedups.install()
    assert [outcome(find, path) for path in PATHS] == expected


def test_a_router_that_someone_wraps_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tornado_speedups.install()
    asked: list[Any] = []
    get_target_delegate: Any = web._ApplicationRouter.get_target_delegate

    def ask(router: Any, target: Any, request: Any, **parameters: Any) -> Any:
        asked.append(target)
        return get_target_delegate(router, target, request, **parameters)

    monkeypatch.setattr(web._ApplicationRouter, "get_target_delegate", ask)
    find("/inner/a")
    assert asked[-1] is web.RequestHandler


# Forms

FORM = "application/x-www-form-urlencoded"
TYPES: list[list[str]] = [
    *([], [FORM], [f"{FORM}; charset=utf-8"], [FORM.upper()], [f"text/plain, {FORM}"], ["text/plain", FORM]),
    *([FORM, "text/plain"], ["multipart/form-data; boundary=b"], ["multipart/form-data"], ["text/plain"], [""]),
]
BODIES = [b"", b"a=1&a=2&q=3", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n']


def parse_body(types: list[str], body: bytes, encoding: str) -> Any:
    headers = HTTPHeaders({"Host": "h"})
    for each in types:
        headers.add("Content-Type", each)
    if encoding:
        headers["Content-Encoding"] = encoding
    line = RequestStartLine("POST", "/?q=0", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=headers, body=body, connection=SimpleNamespace())  # type: ignore[arg-type]
    request._parse_body()
    return request.arguments, request.query_arguments, request.body_arguments, request.files


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("body", BODIES)
def test_forms_are_tornados(body: bytes, encoding: str) -> None:
    expected = [outcome(parse_body, types, body, encoding) for types in TYPES]
    tornado_speedups.install()
    assert [outcome(parse_body, types, body, encoding) for types in TYPES] == expected


def test_a_parser_that_someone_replaces_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tornado_speedups.install()
    asked: list[Any] = []
    monkeypatch.setattr(httputil, "parse_body_arguments", lambda *arguments: asked.append(arguments))
    parse_body(["text/plain"], b"body", "")
    assert asked[0][:2] == ("text/plain", b"body")
