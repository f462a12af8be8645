"""Random scripts of HTTP connections: requests of every kind, cut into pieces, and how the client behaves meanwhile."""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Callable
from hashlib import sha1, sha512
from typing import Any

from tests.speedups.conversations import Kind, Script, Step
from tests.speedups.delegates import RAW
from tests.speedups.heads import LATIN_BLOCKS, STRANGE_BLOCKS, STRANGE_LINES, random_head
from tests.speedups.programs import OPERATIONS, note_request

_SIZES = [0, 1, 5, 5, 10, 100, 1024, 5000]
_CODES = [200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 500, 503, 100, 199, 299, 999]
_ENDS = ["finish5", "error404", "fail", "stop", "stop1", "send_error500", "redirect", "status304", "status204"]
_HARMLESS = ["write5", "write100", "json1", "header1", "add1", "cookie1", "turn", "sleep1", "flush", "describe", "body"]


def _number(chosen: random.Random, word: str) -> str:
    if word in ("status", "reason", "error", "excuse", "send_error"):
        return str(chosen.choice(_CODES))
    if word == "write":
        return str(chosen.choice([*_SIZES, *_SIZES, 70_000, 300_000]))
    if word == "length" or word == "limit" or word == "head":
        return str(chosen.choice([0, 5, 10, 10, 105]))
    return str(chosen.choice([0, 0, 1, 2, 3]))


def _program(chosen: random.Random) -> str:
    words = [chosen.choice(_HARMLESS) for _ in range(chosen.randrange(4))]
    if chosen.random() < 0.4:
        words.append(chosen.choice(_ENDS))
    for _ in range(chosen.choice((0, 0, 1, 1, 2))):
        word = chosen.choice(list(OPERATIONS))
        words.insert(chosen.randrange(len(words) + 1), word + _number(chosen, word))
    return "-".join(words)


def _raw_program(chosen: random.Random) -> str:
    words = [chosen.choice(list(RAW)) for _ in range(chosen.choice((0, 0, 0, 1, 1, 2)))]
    if chosen.random() < 0.1:
        words.append("sleep")
    return "-".join(word + _number(chosen, word) for word in words)


def _raw_target(chosen: random.Random) -> str:
    last = chosen.choice(("head10-write5-finish", "head-write3-write4-finish", "head-finish", "watch", "watch-head4"))
    parts = [_raw_program(chosen), _raw_program(chosen), last if chosen.random() < 0.7 else _raw_program(chosen)]
    return "/raw/" + "/".join(parts)


def _target(chosen: random.Random) -> str:
    kind = chosen.choice(
        ("sync", "sync", "sync", "async", "async", "async", "gen", "overriding", "stream", "slow", "static", "other")
    )
    if kind == "static":
        return "/static/" + chosen.choice(
            ("short.txt", "long.bin", "empty", "", "none", "../x", "short.txt?v=1", "%00")
        )
    if kind == "other":
        return chosen.choice(
            ("/moved/turn", "/nothing", "/callback", "/callback-fail", "*", "/socket", "//sync", "/\xff")
        )
    query = chosen.choice(("", "", "", "?a=b", "?a=%e9&a=&b", "?_xsrf=x"))
    return f"/{kind}/{_program(chosen) if chosen.random() < 0.3 else ''}/{_program(chosen)}{query}"


_HEADERS: list[tuple[str, list[str]]] = [
    ("Connection", ["close", "keep-alive", "Keep-Alive", "Close", "upgrade", "keep-alive, x", ""]),
    ("Accept-Encoding", ["gzip", "gzip, deflate", "identity"]),
    ("If-None-Match", ["*", 'W/"own"', '"own"', '"computed"', "nonsense", '"a", "b"']),
    ("If-None-Match", [f'"{sha1(b"x" * size).hexdigest()}"' for size in (0, 5, 5, 10)]),
    ("If-None-Match", [f'"{sha512(b"0123456789").hexdigest()}"', f'"x", W/"{sha1(b"x" * 5).hexdigest()}"']),
    ("If-Modified-Since", ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "soon"]),
    (
        "Range",
        ["bytes=0-4", "bytes=-3", "bytes=5-", "bytes=5-2", "bytes=99-", "lines=1", "bytes=100-70000"],
    ),
    ("Cookie", ["a=b", 'a="b;c"; d', "_xsrf=x", "c1=\xe9"]),
    ("X-Xsrftoken", ["x", "2|01020304|736e|1700000000"]),
    ("X-Real-Ip", ["1.2.3.4", "nonsense"]),
    ("X-Forwarded-For", ["4.4.4.4, 5.5.5.5"]),
    ("X-Scheme", ["https", "ftp"]),
    ("Expect", ["100-continue", "100-Continue", "200-ok"]),
    ("Origin", ["http://h", "http://elsewhere"]),
    ("Sec-Fetch-Site", ["same-origin", "cross-site"]),
    ("X-Empty", [""]),
    ("Content-Type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/json"]),
    ("Content-Encoding", ["gzip", "br"]),
]

_BODIES = [
    b"",
    b"a",
    b"a=b&c=d&a=%zz",
    b'{"a": 1}',
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: nonsense\r\n\r\n",
    b"x" * 300,
    b"bad end!",
    gzip.compress(b"a=b" * 50, mtime=0),
    gzip.compress(b"a=b" * 50, mtime=0)[:-3],
    b"y" * 70_000,
]

_LENGTHS = ["{}", "0{}", "+{}", "{}, {}", "{} ", "-1", "", "x", "1{}", "9" * 30, "{}_0", "0x{}"]
_CODINGS = ["Chunked", "gzip, chunked", "identity", "chunked, chunked", "x", "", "\x0bchunked", " chunked "]

_UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_FRAMES = [
    b"\x81\x85mask\x05\x04\x1f\x07\x02",
    b"\x82\x80mask",
    b"\x89\x81maskx",
    b"\x88\x82mask\x6e\x89",
    b"\x81\x01a",
    b"\xff",
]


class _Writer:
    """Write requests. Those of a tame writer are valid, those of a wild one have faults now and then."""

    def __init__(self, chosen: random.Random, make_target: Callable[[random.Random], str], *, is_wild: bool) -> None:
        self._chosen = chosen
        self._make_target = make_target
        self._is_wild = is_wild

    def write_requests(self) -> bytes:
        data = bytearray()
        for _ in range(self._chosen.choice((1, 1, 1, 2, 2, 3, 5))):
            request = self._write_strange_request() if self._is_rarely(0.15) else self._write_request()
            data += self._change(request) if self._is_rarely(0.1) else request
        return bytes(data)

    def _is_rarely(self, probability: float) -> bool:
        return self._is_wild and self._chosen.random() < probability

    def _write_request(self) -> bytes:
        chosen = self._chosen
        method = chosen.choice(("GET",) * 7 + ("POST",) * 6 + ("HEAD", "HEAD", "PUT", "OPTIONS", "DELETE", "BREW"))
        version = chosen.choice(("HTTP/1.1",) * 4 + ("HTTP/1.0",))
        if self._is_rarely(0.1):
            method, version = chosen.choice(("get", "PATCH")), chosen.choice(("HTTP/1.2", "HTTP/2.0", "http/1.1"))
        headers = [("Host", "h")]
        if self._is_rarely(0.1):
            headers = [("Host", "a"), ("Host", "b")][: chosen.randrange(3)]
        for _ in range(chosen.choice((0, 0, 1, 2, 3))):
            name, values = chosen.choice(_HEADERS)
            headers.append((name, chosen.choice(values)))
        framing, body = self._frame() if method in ("POST", "PUT") or chosen.random() < 0.05 else ([], b"")
        headers += framing
        chosen.shuffle(headers)
        end = "\n" if self._is_rarely(0.1) else "\r\n"
        lines = [f"{method} {self._make_target(chosen)} {version}", *(f"{name}: {value}" for name, value in headers)]
        return end.join([*lines, "", ""]).encode("latin-1") + body

    def _frame(self) -> tuple[list[tuple[str, str]], bytes]:
        """Return the headers that frame a body, and the body: right, wrong or ambiguous."""
        chosen = self._chosen
        body = chosen.choice(_BODIES)
        length = ("Content-Length", str(len(body)))
        if self._is_rarely(0.15):
            return [("Content-Length", chosen.choice(_LENGTHS).format(len(body), len(body)))], body
        if self._is_rarely(0.1):
            framing = [length, ("Transfer-Encoding", "chunked")]
            return framing, self._cut_into_chunks(body)
        if self._is_rarely(0.1):
            return [length, ("content-length", chosen.choice((str(len(body)), "0", "5")))], body
        if self._is_rarely(0.1):
            return [("Transfer-Encoding", chosen.choice(_CODINGS))], self._cut_into_chunks(body)
        if chosen.random() < 0.5:
            return [length], body
        return [("Transfer-Encoding", "chunked")], self._cut_into_chunks(body)

    def _cut_into_chunks(self, body: bytes) -> bytes:
        """Return the body in chunks. Extensions and trailers count as faults: Tornado refuses them."""
        chosen = self._chosen
        cuts = sorted(chosen.randrange(len(body) + 1) for _ in range(chosen.randrange(4)))
        data = bytearray()
        for start, end in itertools.pairwise((0, *cuts, len(body))):
            if end > start:
                data += self._write_chunk(body[start:end])
        last = b"0\r\n\r\n"
        if self._is_rarely(0.2):
            last = chosen.choice((b"0\r\nTrailer: x\r\n\r\n", b"0;x\r\n\r\n", b"000\r\n\r\n", b"", b"0\n\n"))
        return bytes(data) + last

    def _write_chunk(self, part: bytes) -> bytes:
        size, end = b"%x", b"\r\n"
        if self._is_rarely(0.1):
            size = self._chosen.choice((b"%X", b"00%x", b"%x;a=b", b" %x", b"-%x", b"0x%x", b"+%x"))
        if self._is_rarely(0.05):
            end = self._chosen.choice((b"\n", b"", b"xx"))
        return size % len(part) + b"\r\n" + part + end

    def _write_strange_request(self) -> bytes:
        """Return something that is hardly a request, or one that two servers may take for different ones."""
        chosen = self._chosen
        line = b"POST /async//body HTTP/1.1\r\nHost: h\r\n"
        ways: list[Callable[[], bytes]] = [
            lambda: random_head(chosen),
            lambda: chosen.choice(STRANGE_LINES).encode("latin-1", "replace") + b"\r\nHost: h\r\n\r\n",
            lambda: line + chosen.choice(STRANGE_BLOCKS + LATIN_BLOCKS) + b"Content-Length: 5\r\n\r\nhello",
            lambda: line + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello",
            lambda: line + b"Content-Length : 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            lambda: line + b"X: y\rContent-Length: 5\n\nhello",
            lambda: b"\r\n" * chosen.randrange(4),
            lambda: b"GET / HTTP/1.1\r\nBig: " + b"x" * chosen.choice((200, 66_000)) + b"\r\n\r\n",
            lambda: bytes(chosen.randrange(256) for _ in range(chosen.randrange(20))),
        ]
        return chosen.choice(ways)()

    def _change(self, data: bytes) -> bytes:
        """Change, remove or repeat a few bytes."""
        place = self._chosen.randrange(len(data) + 1)
        length = self._chosen.randrange(1, 5)
        new = self._chosen.choice((b"", b"\r", b"\n", b"\0", b" ", b":", data[place : place + length] * 2))
        return data[:place] + new + data[place + length * self._chosen.randrange(2) :]


_PAUSES = [Step("settle"), Step("settle"), Step("settle", number=5), Step("turns", number=1), Step("turns", number=3)]


def _cut(chosen: random.Random, data: bytes) -> list[Step]:
    """Cut the data at any places, with pauses of every kind in between."""
    way = chosen.random()
    cuts: list[int] = []
    if way < 0.5:
        cuts = sorted(chosen.randrange(len(data) + 1) for _ in range(chosen.randrange(1, 8)))
    elif way < 0.53:
        cuts = list(range(1, min(len(data), 150)))
    return cut_at(chosen, data, cuts)


def cut_at(chosen: random.Random, data: bytes, cuts: list[int]) -> list[Step]:
    """Send the data in pieces that end at these places, with pauses in between."""
    pause = chosen.choice(_PAUSES)
    steps: list[Step] = []
    for start, end in itertools.pairwise((0, *cuts, len(data))):
        if end > start:
            steps += Step("send", data[start:end]), pause if chosen.random() < 0.8 else chosen.choice(_PAUSES)
    return steps


def _add_client(chosen: random.Random, steps: list[Step]) -> list[Step]:
    """Let the client do something other than to send and to read."""
    way = chosen.random()
    place = chosen.randrange(len(steps) + 1) if chosen.random() < 0.5 else len(steps)
    is_racy = any(step.kind == "turns" for step in steps)
    before = [Step("settle")] if is_racy or chosen.random() < 0.7 else []
    if way < 0.15:
        return [*steps[:place], *before, Step("half"), *steps[place:]]
    if way < 0.3:
        return [*steps[:place], *before, Step("close")]
    if way < 0.35:
        return [*steps[:place], Step("deaf"), *steps[place:], Step("settle", number=5), Step("hear")]
    return steps


_APPLICATION: list[Kind] = ["application"]
_KINDS: list[Kind] = [*_APPLICATION * 8, "callback", "delegate"]
_APPLICATIONS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"compress_response": True},
    {"xsrf_cookies": True, "cookie_secret": "secret"},
    {"log_function": note_request, "default_host": "h"},
    {"debug": True, "autoreload": False, "serve_traceback": False},
]
SERVERS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {},
    {"no_keep_alive": True},
    {"xheaders": True},
    {"decompress_request": True},
    {"chunk_size": 100},
    {"max_header_size": 100},
    {"max_body_size": 50},
    {"max_buffer_size": 10_000},
    {"chunk_size": 1000, "decompress_request": True, "max_body_size": 400},
    {"idle_connection_timeout": 0.5},
    {"body_timeout": 0.25},
]

# How much of what arrives meanwhile is read before one of these closes the connection depends on timing. A delegate's
# program is done for each piece of a body, as it arrives.
_CLOSING = (b"hang_up", b"close")


def make_script(chosen: random.Random) -> Script:
    """Return a script in which every choice is made by ``chosen``."""
    kind = chosen.choice(_KINDS)
    make_target = _raw_target if kind == "delegate" else _target
    data = _Writer(chosen, make_target, is_wild=chosen.random() < 0.4).write_requests()
    if chosen.random() < 0.04:
        data += _UPGRADE + b"".join(chosen.choice(_FRAMES) for _ in range(chosen.randrange(5)))
    if chosen.random() < 0.1:  # the client doesn't come to the end
        data = data[: chosen.randrange(len(data) + 1)]
    steps = _add_client(chosen, _cut(chosen, data))
    if kind == "delegate" or any(word in data for word in _CLOSING):
        steps = [Step("settle") if step.kind == "turns" else step for step in steps]
    application, server = chosen.choice(_APPLICATIONS), chosen.choice(SERVERS)
    return Script(tuple(application.items()), tuple(server.items()), kind, tuple(steps), chosen.random() < 0.1)
