"""HTTP heads for tests: examples, random heads from a seed, and parser results in a form that can be compared."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

BROWSER = (
    b"GET /search?q=tornado HTTP/1.1\r\n"
    b"Host: localhost:8888\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\n"
    b'sec-ch-ua: "Chromium";v="124", "Not-A.Brand";v="99"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: none\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\n"
    b"Cookie: session=2|1:0|10:1713900000|7:session; theme=dark\r\n"
    b"\r\n"
)

# Blocks of header lines. Every implementation must parse PLAIN_BLOCKS and leave STRANGE_BLOCKS to Tornado.
PLAIN_BLOCKS = [
    b"",
    b"\r\n",
    b"\n\n\r\n",
    b"Host: example.com\r\n",
    b"Host: example.com",
    b"Host:example.com\n",
    b"A: 1\r\nB: 2\n\r\nC: 3\r\n\r\n",
    b"Empty:\r\nBlank: \t \r\nTabs:\ta\tb\t\r\n",
    b"Set-Cookie: a=b\r\nX: y\r\nset-cookie: c=d\r\nSET-COOKIE: e\r\n",
    b"A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\nc: 5\r\nA: 6\r\nD: 7\r\nd: 8\r\nb: 9\r\n",
    b"x-one-TWO-tHREE-4Five: 1\r\n",
    b"--a--B-: 1\r\n-: 2\r\n~: 3\r\n3Des-2b: 4\r\n",
    b"!#$%&'*+-.^_`|~0aZ: token\r\n",
    b"Colons: a:b: c:\r\n",
    b"n" * 64 + b": longest name\r\n",
    b"Long: " + b"v" * 70000 + b"\r\n",
    *(b"L: " + b"v" * length + b"\tw\r\n" for length in range(20)),
    BROWSER[BROWSER.index(b"\n") + 1 :],
]
STRANGE_BLOCKS = [
    b"Host example.com\r\n",
    b": no name\r\n",
    b"Space : before colon\r\n",
    b" leading: space\r\n",
    b"A: 1\r\n folded\r\n",
    b"A: 1\r\n\tfolded\r\nB: 2\r\n",
    b"A: 1\r\n \r\nB: 2\r\n",
    b"\r",
    b"A: 1\r",
    b"A: 1\r\r\n",
    b"A: 1\rB: 2\r\n",
    b"A: \r1\r\n",
    b"A: 1\x00\r\n",
    b"A\x00: 1\r\n",
    b"A: \x0b\r\n",
    b"A: \x0c1\r\n",
    b"A: 1\x7f\r\n",
    b"A: \x1b[0m\r\n",
    b"B\x80: 1\r\n",
    b"(A): 1\r\n",
    b"A/B: 1\r\n",
    b'"A": 1\r\n',
    b"[A]: 1\r\n",
    b"n" * 65 + b": too long to be plain\r\n",
    *(b"L: " + b"v" * length + b"\x01w\r\n" for length in range(20)),
    *(b"L: " + b"v" * length + b"\x7fw\r\n" for length in range(20)),
]
LATIN_BLOCKS = [
    b"A: \xe9\xff\r\n",
    b"A: \x80\r\nB: \xa0x\xa0\r\n",
    *(b"L: " + b"v" * n + b"\xe9w\r\n" for n in range(9)),
]

PLAIN_LINES = [
    "GET / HTTP/1.1",
    "POST /a?b=c#d HTTP/1.0",
    "OPTIONS * HTTP/1.9",
    "X http://h:1/ HTTP/1.1",
    "!~ ~ HTTP/1.1",
]
STRANGE_LINES = [
    "",
    "GET",
    "GET / ",
    "GET /",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.1 ",
    " GET / HTTP/1.1",
    "GET  HTTP/1.1",
    "GET HTTP/1.1",
    "/ HTTP/1.1",
    " / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET /\x00 HTTP/1.1",
    "GET /\x7f HTTP/1.1",
    "GET /\r HTTP/1.1",
    "GET / HTTP/1.1\r",
    "GET / HTTP/2.0",
    "GET / HTTP/0.9",
    "GET / HTTP/1.10",
    "GET / HTTP/1.x",
    "GET / http/1.1",
    "GET / HTTP1.1",
    "G(T / HTTP/1.1",
    "GETGETGETGETGET",
    "HTTP/1.1 200 OK",
    "G\u00c9T / HTTP/1.1",
    "GET / HTTP/1.\u0661",
]

_NAMES = [b"Host", b"content-length", b"Transfer-Encoding", b"X-A", b"x-a", b"SET-COOKIE", b"Cookie", b"Te", b"a", b"-"]
_VALUES = [b"", b"1", b"chunked", b"a b", b"a\tb", b"x" * 30, b"text/html; q=1", b"\xe9", b"12, 12", b"keep-alive"]
_ENDS = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n ", b"\r\n\t"]
_COLONS = [b": "] * 12 + [b":", b":\t ", b" : ", b" ", b":: "]
_LINES = [b"GET / HTTP/1.1"] * 4 + [
    b"POST /x?y HTTP/1.0",
    b"GET  / HTTP/1.1",
    b"HTTP/1.1 200 OK",
    b"GET /\xe9 HTTP/1.1",
    b"",
]
_NOISE = b"\r\n\t\x00 :,;\x7f\x80\xffaA-\x0b\x0c\x1f("


def random_head(chosen: random.Random) -> bytes:
    """Return a random head that is plain, or differs from a plain head in a few places."""
    parts = [chosen.choice((b"", b"", b"", b"\r\n", b"\n", b"\r")), chosen.choice(_LINES), chosen.choice(_ENDS)]
    for _ in range(chosen.randrange(6)):
        parts += chosen.choice(_NAMES), chosen.choice(_COLONS), chosen.choice(_VALUES), chosen.choice(_ENDS)
    head = bytearray(b"".join(parts) + b"\r\n")
    for _ in range(chosen.choice((0, 0, 1, 2))):
        place = chosen.randrange(len(head) + 1)
        if chosen.random() < 0.5:
            head[place : place + chosen.randrange(2)] = bytes([chosen.choice(_NOISE)])
        else:
            del head[place : place + chosen.randrange(1, 4)]
    return bytes(head)


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result, with HTTPHeaders as a list of all their fields, or the error's type and message."""
    try:
        return _plainly(function(*arguments, **options))
    except Exception as error:
        return type(error), str(error)


def _plainly(result: Any) -> Any:
    if type(result) is tuple:
        return tuple(map(_plainly, result))
    if type(result).__name__ == "HTTPHeaders":
        fields = vars(result).items()
        return [(name, list(each.items()) if isinstance(each, dict) else each) for name, each in fields]
    return type(result), result
