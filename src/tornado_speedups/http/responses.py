"""Spare each response the work of handlers whose outcome is known beforehand: headers, the Etag, the log.

Each wrapper takes Tornado's own function and leaves to it whatever isn't plain. This module imports Tornado, and sets
private fields of its handlers: install() uses it only where it knows their code.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import tornado
from tornado import httputil, web
from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler

from tornado_speedups.http.heads import make_headers

# Attributes are looked up when they are needed, because applications and tests replace some of them.
_web: Any = web

_CONTENT_TYPE = "text/html; charset=UTF-8"


def wrap_clear(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap RequestHandler.clear: the headers that each response begins with are known to be valid."""
    version: Any = None
    server = ""

    def clear(self: Any) -> None:
        nonlocal version, server
        if httputil.HTTPHeaders is not HTTPHeaders:
            return original(self)
        if version is not tornado.version:
            server, version = f"TornadoServer/{tornado.version}", tornado.version
        date = httputil.format_timestamp(_web.time.time())
        self._headers = make_headers(
            {"Server": [server], "Content-Type": [_CONTENT_TYPE], "Date": [date]},
            {"Server": server, "Content-Type": _CONTENT_TYPE, "Date": date},
            None,
        )
        self.set_default_headers()
        self._write_buffer = []
        self._status_code = 200
        self._reason = _web.httputil.responses[200]
        return None

    return clear


def wrap_set_header(original: Callable[[Any, str, Any], None]) -> Callable[[Any, str, Any], None]:
    """Wrap RequestHandler.set_header, which asks an abstract class whether a length is an integer."""
    convert = RequestHandler._convert_header_value
    is_valid = RequestHandler._VALID_HEADER_CHARS.fullmatch

    def set_header(self: Any, name: str, value: Any) -> None:
        kind = type(value)
        if type(self)._convert_header_value is not convert:
            original(self, name, value)
        elif kind is int:
            self._headers[name] = str(value)
        elif kind is str and ((value.isascii() and value.isprintable()) or is_valid(value)):
            self._headers[name] = value
        else:
            original(self, name, value)

    return set_header


def wrap_compute_etag(original: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """Wrap RequestHandler.compute_etag, for the usual response, which was written at once."""

    def compute_etag(self: Any) -> str | None:
        parts = self._write_buffer
        if len(parts) != 1 or type(parts[0]) is not bytes:
            return original(self)
        return f'"{hashlib.sha1(parts[0]).hexdigest()}"'

    return compute_etag


def wrap_check_etag_header(original: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Wrap RequestHandler.check_etag_header, for the many requests without If-None-Match."""

    def check_etag_header(self: Any) -> bool:
        headers: Any = self.request.headers
        if type(headers) is HTTPHeaders and "If-None-Match" not in headers._as_list:
            return False
        return original(self)

    return check_etag_header


def wrap_log_request(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Wrap Application.log_request: nothing is formatted for a log that doesn't take it."""

    def log_request(self: Any, handler: Any) -> None:
        log: Any = _web.access_log
        if (
            "log_function" in self.settings
            or type(log) is not logging.Logger
            or "info" in log.__dict__
            or log.isEnabledFor(logging.INFO)
            or handler.get_status() >= 400
            or type(handler)._request_summary is not RequestHandler._request_summary
        ):
            original(self, handler)

    return log_request
