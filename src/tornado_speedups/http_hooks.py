"""What of Tornado's HTTP can be replaced: found, never changed, here."""

from __future__ import annotations

from tornado_speedups.hooks import Replacement, replacement, require
from tornado_speedups.known import Code

_HEADERS = [
    "tornado.httputil:_ABNF",
    "tornado.httputil:_normalize_header",
    "tornado.httputil:HTTPHeaders",
    "tornado.httputil:parse_request_start_line",
    "tornado.http1connection:HTTP1Connection._parse_headers",
]
_CONNECTIONS = [
    "tornado.http1connection:HTTP1Connection.write_headers",
    "tornado.http1connection:HTTP1Connection._format_chunk",
    "tornado.http1connection:HTTP1Connection._on_write_complete",
    "tornado.http1connection:parse_int",
    "tornado.httputil:HTTPHeaders",
    "tornado.httputil:format_timestamp",
    "tornado.gen:with_timeout",
    "tornado.iostream:BaseIOStream",
    "tornado.iostream:IOStream",
    "tornado.iostream:SSLIOStream",
]


def headers(code: Code) -> list[Replacement]:
    """Replace the parsing of header blocks and request lines."""
    require(code, _HEADERS)
    from tornado import http1connection, httputil

    from tornado_speedups import headers as ours

    return [
        replacement(httputil.HTTPHeaders, "parse", ours.parse_with),
        replacement(http1connection.HTTP1Connection, "_parse_headers", ours.parse_head_with),
        replacement(httputil, "parse_request_start_line", ours.parse_request_line_with),
    ]


def connections(code: Code) -> list[Replacement]:
    """Replace the writing of response heads, and what sockets and clocks are asked for in vain."""
    require(code, _CONNECTIONS)
    from tornado import gen, http1connection, httputil, iostream

    from tornado_speedups import moments, responses, streams

    return [
        replacement(http1connection.HTTP1Connection, "write_headers", responses.write_headers_with),
        replacement(httputil, "format_timestamp", moments.format_timestamp_with),
        replacement(gen, "with_timeout", moments.with_timeout_with),
        replacement(iostream.BaseIOStream, "read_until_regex", streams.read_until_regex_with),
        replacement(iostream.BaseIOStream, "_read_to_buffer", streams.read_to_buffer_with),
        replacement(iostream.BaseIOStream, "write", streams.write_with),
    ]
