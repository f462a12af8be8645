"""The functions of HTTP/1.x heads (RFC 9112) in Python: part of _fallback.py, which see.

They know heads that are plain: names that are tokens of at most 64 characters, values without control characters,
lines that end in CRLF or LF. Of anything else they say nothing, by returning None, and leave the verdict to Tornado.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tornado_speedups._fallback_arguments import as_bytes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Headers = tuple[dict[str, list[str]], dict[str, str], str | None]
Head = tuple[str, dict[str, list[str]], dict[str, str], str | None]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_BLOCK = re.compile(rf"(?:(?:{_TOKEN}{{1,64}}+:[^\x00-\x08\x0A-\x1F\x7F]*+)?+(?:\r?\n|\Z))*+")
_REQUEST_LINE = re.compile(rf"({_TOKEN}++) ([^\x00- \x7F]++) (HTTP/1\.[0-9])")
_NOT_IN_HEAD = re.compile("[\r\n\x80-\U0010ffff]")


def parse_headers(block: ReadableBuffer | str, /) -> Headers | None:
    """Return what a block of HTTP header lines (RFC 9112, section 5) holds, or None if it isn't plain.

    The result is a dict of the values of each name, in Http-Header-Case, as lists in their order; a dict of those that
    are the only ones of their name; and the name in the last line, None without one. Bytes are taken for Latin-1; a
    str must be ASCII to be plain. Raises TypeError, BufferError.
    """
    text = _plain_text("block", block)
    return None if text is None else _parse(text)


def parse_head(data: ReadableBuffer | str, /) -> Head | None:
    """Return the start line of an HTTP message, and what parse_headers() says of the rest; None if it isn't plain.

    Line ends before the start line are skipped, as RFC 9112, section 2.2 recommends; the start line itself isn't
    looked at. Raises TypeError, BufferError.
    """
    text = _plain_text("data", data)
    if text is None:
        return None
    line, end, rest = text.lstrip("\r\n").partition("\n")
    headers = _parse(rest) if end else None
    return None if headers is None else (line.rstrip("\r"), *headers)


def parse_start_line(line: ReadableBuffer | str, /) -> tuple[str, str, str] | None:
    """Return method, target and version of an HTTP/1.x request line (RFC 9112, section 3), or None if it isn't plain.

    Raises TypeError, BufferError.
    """
    text = _plain_text("line", line)
    match = None if text is None else _REQUEST_LINE.fullmatch(text)
    return None if match is None else (match[1], match[2], match[3])


def serialize_head(line: str, headers: dict[str, list[str]], body: ReadableBuffer | str, /) -> bytes | None:
    """Return the head of an HTTP message (RFC 9112, section 2.1) as bytes, followed by the beginning of its body.

    None if there is anything but ASCII in the head, or CR or LF, or a name or value that isn't exactly str, or values
    that aren't exactly a list. Raises TypeError, BufferError.
    """
    if not isinstance(line, str):
        raise TypeError(f"line must be str, not {type(line).__name__}")
    if type(headers) is not dict:
        raise TypeError(f"headers must be a dict, not {type(headers).__name__}")
    rest = as_bytes("body", body)
    for name, values in headers.items():
        if type(values) is not list or not all(map(_is_plain, (name, *values) if values else ())):
            return None
    if not _is_plain(line):
        return None
    fields = [f"{name}: {value}\r\n" for name, values in headers.items() for value in values]
    return "".join((line, "\r\n", *fields, "\r\n")).encode("ascii") + rest


def _plain_text(name: str, value: ReadableBuffer | str) -> str | None:
    """The argument as text, each byte a character; None for a str of which that can't be said."""
    text = as_bytes(name, value).decode("latin-1")
    return None if isinstance(value, str) and not text.isascii() else text


def _parse(text: str) -> Headers | None:
    if not _BLOCK.fullmatch(text):
        return None
    lists: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    name = None
    for line in text.split("\n"):
        raw_name, colon, value = line.partition(":")
        if not colon:
            continue
        name = _in_case(raw_name)
        value = value.strip(" \t\r")
        if name not in lists:
            lists[name] = [value]
            values[name] = value
        else:
            values.pop(name, None)
            lists[name].append(value)
    return lists, values, name


@lru_cache(1000)
def _in_case(name: str) -> str:
    return "-".join([word.capitalize() for word in name.split("-")])


def _is_plain(text: object) -> bool:
    return type(text) is str and not _NOT_IN_HEAD.search(text)
