"""Make the objects of a request, and find its handler, without needless work.

Each wrapper takes Tornado's own function and leaves to it whatever isn't plain. This module imports Tornado, and sets
private fields of its requests: install() uses it only where it knows their code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado import httputil, routing
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine, split_host_and_port
from tornado.log import app_log
from tornado.routing import AnyMatches, PathMatches
from tornado.web import RequestHandler, _ApplicationRouter

# The names of hosts that Tornado has found valid, without their ports, by the Host header. An attacker can't fill the
# memory with them.
_hosts: dict[str, str] = {}
_MAX_HOSTS = 64
_MAX_HOST = 255

# What the types of bodies begin with that Tornado parses.
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

_httputil: Any = httputil
_new = object.__new__
_GLOBALS = globals()
_init: Any = HTTPServerRequest.__init__

# From 6.5.8 on, the number of arguments is limited.
_LIMITS_ARGUMENTS = "_DEFAULT_PARSE_BODY_CONFIG" in _init.__code__.co_names


def wrap_headers_received(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap _RoutingDelegate.headers_received, which makes the request and finds its handler."""

    def headers_received(self: Any, start_line: Any, headers: Any) -> Any:
        request = _make_request(start_line, headers, self.request_conn, self.server_conn)
        if request is None:
            return original(self, start_line, headers)
        delegate = self.delegate = self.router.find_handler(request)
        if delegate is None:
            app_log.debug("Delegate for %s %s request not found", start_line.method, start_line.path)
            delegate = self.delegate = routing._DefaultMessageDelegate(self.request_conn)
        return delegate.headers_received(start_line, headers)

    return headers_received


def _make_request(start_line: Any, headers: Any, connection: Any, server_connection: Any) -> HTTPServerRequest | None:
    """Return what HTTPServerRequest() would make of a plain request; None if the request isn't plain."""
    if (
        type(start_line) is not RequestStartLine
        or type(headers) is not HTTPHeaders
        or HTTPServerRequest.__init__ is not _init
    ):
        return None
    method, uri, version = start_line
    hosts = headers._as_list.get("Host")
    host = hosts[0] if hosts is not None and len(hosts) == 1 else None  # without one, Tornado uses another
    host_name = _find_host_name(host)
    if host_name is None or type(uri) is not str:
        return None
    path, _, query = uri.partition("?")
    arguments = _parse_query(query) if query else {}
    if arguments is None:
        return None
    context = getattr(connection, "context", None)
    request: Any = _new(HTTPServerRequest)
    request.method, request.uri, request.version, request.headers = method, uri, version, headers
    request.body = b""
    request.remote_ip = getattr(context, "remote_ip", None)
    request.protocol = getattr(context, "protocol", "http")
    request.host, request.host_name, request.files = host, host_name, {}
    request.connection, request.server_connection = connection, server_connection
    request._start_time, request._finish_time = _httputil.time.time(), None
    request.path, request.query, request.arguments = path, query, arguments
    request.query_arguments = {name: [*values] for name, values in arguments.items()}
    request.body_arguments = {}
    made: HTTPServerRequest = request
    return made


def _find_host_name(host: Any) -> str | None:
    """Return the name in a valid Host header; None if Tornado must judge it."""
    name = _hosts.get(host)
    if name is None and type(host) is str and _httputil._ABNF.host.fullmatch(host) and "," not in host:
        name = split_host_and_port(host.lower())[0]
        if len(host) <= _MAX_HOST:
            if len(_hosts) >= _MAX_HOSTS:
                _hosts.clear()
            _hosts[host] = name
    return name


def _parse_query(query: str) -> dict[str, list[bytes]] | None:
    options: dict[str, Any] = {}
    if _LIMITS_ARGUMENTS:
        options["max_num_fields"] = _httputil._DEFAULT_PARSE_BODY_CONFIG.urlencoded.max_arguments
    try:
        parsed: dict[str, list[bytes]] = _httputil.parse_qs_bytes(query, keep_blank_values=True, **options)
    except Exception:
        return None  # Tornado raises it again
    return parsed


def wrap_get_target_delegate(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap _ApplicationRouter.get_target_delegate, for handlers and an application's inner routers."""

    def get_target_delegate(self: Any, target: Any, request: Any, **parameters: Any) -> Any:
        if type(target) is type and issubclass(target, RequestHandler):
            return self.application.get_handler_delegate(request, target, **parameters)
        if type(target) is _ApplicationRouter:
            return target.find_handler(request, **parameters)
        return original(self, target, request, **parameters)

    return get_target_delegate


def wrap_find_handler(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap RuleRouter.find_handler, for an application's own routers: the usual rules are matched without calls."""

    def find_handler(self: Any, request: Any, **parameters: Any) -> Any:
        if type(self) is not _ApplicationRouter:
            return original(self, request, **parameters)
        for rule in self.rules:
            matched = _match(rule.matcher, request)
            if matched is None:
                continue
            if rule.target_kwargs:
                matched["target_kwargs"] = rule.target_kwargs
            delegate = _get_delegate(self, rule.target, request, matched)
            if delegate is not None:
                return delegate
        return None

    return find_handler


def _match(matcher: Any, request: Any) -> dict[str, Any] | None:
    kind = type(matcher)
    if kind is AnyMatches:
        return {}
    if kind is not PathMatches or matcher.regex.groups:
        found: dict[str, Any] | None = matcher.match(request)
        return found
    return None if matcher.regex.match(request.path) is None else {}


def _get_delegate(router: Any, target: Any, request: Any, matched: dict[str, Any]) -> Any:
    """Do what get_target_delegate() does, at once for a handler or router without arguments."""
    if not matched and _is_ours(_ApplicationRouter.get_target_delegate):
        if type(target) is _ApplicationRouter:
            return target.find_handler(request)
        if type(target) is type and issubclass(target, RequestHandler):
            return router.application.get_handler_delegate(request, target)
    return router.get_target_delegate(target, request, **matched)


def _is_ours(function: Any) -> bool:
    """Return whether nobody has replaced a function since install()."""
    return getattr(function, "__globals__", None) is _GLOBALS


def wrap_parse_body(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap HTTPServerRequest._parse_body, for requests without a form."""
    parse = httputil.parse_body_arguments

    def _parse_body(self: Any) -> None:
        headers = self.headers
        if (
            type(headers) is not HTTPHeaders
            or self.body_arguments
            or _httputil.parse_body_arguments is not parse
            or _has_form(headers._as_list.get("Content-Type"))
        ):
            original(self)

    return _parse_body


def _has_form(types: list[str] | None) -> bool:
    return types is not None and types[0].startswith(_FORMS)
