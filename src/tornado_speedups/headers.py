"""Tornado's HTTP headers and request lines, parsed in one call where they are plain, and by Tornado where they aren't.

What is made is Tornado's own HTTPHeaders, with the fields that its own parser would have given it: their names depend
on the version. This module imports Tornado: install() uses it only where it knows its code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tornado.httputil import HTTPHeaders, RequestStartLine

from tornado_speedups._implementation import parse_head, parse_headers, parse_start_line

# From 6.5.3 on, the values that are joined are only a cache of the lists; up to 6.5.10 the last name is kept as well.
_FIELDS = tuple(vars(HTTPHeaders()))
_JOINS_LATER = "_combined_cache" in _FIELDS
_KEEPS_LAST = "_last_key" in _FIELDS

_new = object.__new__


def parse_with(stock: Any) -> Any:
    """HTTPHeaders.parse, a class method, on top of the one that Tornado has."""
    stock_function = stock.__func__

    @wraps(stock_function)
    def parse(cls: type[HTTPHeaders], headers: str, *, _chars_are_bytes: bool = True) -> HTTPHeaders:
        parsed = parse_headers(headers) if cls is HTTPHeaders and type(headers) is str else None
        if parsed is None:
            made: HTTPHeaders = stock_function(cls, headers, _chars_are_bytes=_chars_are_bytes)
            return made
        return _make(*parsed)

    return classmethod(parse)


def parse_head_with(stock: Callable[[Any, bytes], tuple[str, HTTPHeaders]]) -> Callable[..., tuple[str, HTTPHeaders]]:
    """HTTP1Connection._parse_headers, on top of the one that Tornado has."""

    @wraps(stock)
    def _parse_headers(self: Any, data: bytes) -> tuple[str, HTTPHeaders]:
        parsed = parse_head(data)
        if parsed is None:
            return stock(self, data)
        line, lists, values, last = parsed
        return line, _make(lists, values, last)

    return _parse_headers


def parse_request_line_with(stock: Callable[[str], RequestStartLine]) -> Callable[[str], RequestStartLine]:
    """httputil.parse_request_start_line, on top of the one that Tornado has."""

    @wraps(stock)
    def parse_request_start_line(line: str) -> RequestStartLine:
        parts = parse_start_line(line) if type(line) is str else None
        return stock(line) if parts is None else RequestStartLine._make(parts)

    return parse_request_start_line


def _make(lists: dict[str, list[str]], values: dict[str, str], last: str | None) -> HTTPHeaders:
    made = _new(HTTPHeaders)
    headers: Any = made
    if _JOINS_LATER:
        headers._as_list = lists
        headers._combined_cache = values
    else:
        same = len(values) == len(lists)
        headers._dict = values if same else {name: ",".join(each) for name, each in lists.items()}
        headers._as_list = lists
    if _KEEPS_LAST:
        headers._last_key = last
    return made
