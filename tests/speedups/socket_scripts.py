"""Random scripts of WebSocket connections: messages that say what is done, and frames that aren't allowed."""

from __future__ import annotations

import itertools
import random
import zlib
from typing import Any

from tests.speedups.conversations import Step
from tests.speedups.scripts import cut_at
from tests.speedups.socket_conversations import EXTENSION, PROTOCOL, Talk
from tests.speedups.socket_programs import OPERATIONS, RUN
from tests.speedups.sockets import ERRORS, Direction, Limit
from tornado_speedups._python import build_frame

_HARMLESS = ("write", "write", "write", "text", "binary", "look", "turn", "sleep", "unasked", "ping", "json", "direct")
_SIZES = (0, 1, 5, 5, 10, 100, 125, 126, 1000)
_LONG = (65_535, 65_536, 70_000, 300_000)
_SIZED = ("write", "text", "binary", "bytes", "json", "own", "data", "unasked", "direct")
KINDS = ("sync", "sync", "async", "async", "gen", "mixed")

OPTIONS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"open": "write5"},
    {"open": "later2-sleep1-write3"},
    {"open": "replace"},
    {"open": "fail"},
    {"property": True},
    {"websocket_ping_interval": 0.0213},
    {"websocket_max_message_size": 100},
]
CLIENT_OPTIONS: list[dict[str, Any]] = [
    {},
    {},
    {"reads": False},
    {"reads": False},
    {"ping_interval": 0.0213},
    {"max_message_size": 100},
]


def _write_word(chosen: random.Random, word: str) -> str:
    if word in _SIZED:
        return word + str(chosen.choice(_LONG if chosen.random() < 0.04 else _SIZES))
    return word + str(chosen.choice((0, 0, 1, 2, 3)))


# What becomes of the connection of a coroutine that leaves the program, or that ends it unseen, is left to chance.
_NOT_IN_COROUTINES = {"exit", "interrupt"}
_NOT_IN_READERS = {*_NOT_IN_COROUTINES, "terminate"}


def _write_program(chosen: random.Random, words_left: list[str]) -> str:
    words = [chosen.choice(_HARMLESS) for _ in range(chosen.randrange(4))]
    if chosen.random() < 0.25:
        words.insert(chosen.randrange(len(words) + 1), chosen.choice(words_left))
    return "-".join(_write_word(chosen, word) for word in words)


class _Writer:
    """Writes the frames of a peer. Only those of a ``wild`` one may be such as aren't allowed."""

    def __init__(self, chosen: random.Random, words: list[str], *, masks: bool, compresses: bool, wild: bool) -> None:
        self._words = words
        self._wild = wild
        self._chosen = chosen
        self._masks = masks
        self._compresses = compresses

    def write_frames(self) -> list[bytes]:
        frames: list[bytes] = []
        for _ in range(self._chosen.choice((1, 1, 2, 3, 5, 8))):
            frames += self._write_message()
        return frames

    def write_end(self) -> bytes:
        """Return a frame that ends the connection."""
        return self._write_close() if self._chosen.random() < 0.7 else self._write_strange_frame(b"")

    def _write_message(self) -> list[bytes]:
        way = self._chosen.random()
        text = _write_program(self._chosen, self._words).encode()
        if way < 0.6:
            return [self._build(0x81, text)]
        if way < 0.7:
            return self._write_fragments(text)
        if way < 0.75:
            return [self._build(0x82, bytes(self._chosen.choice((*_SIZES, 70_000))))]
        if way < 0.85:
            return [self._build(self._chosen.choice((0x89, 0x8A)), text[:125])]
        if way < 0.95 or not self._wild or self._chosen.random() < 0.5:
            return [self._build(0x81, text)] * self._chosen.randrange(2, 7)
        return [self._write_strange_frame(text)]

    def _write_fragments(self, text: bytes) -> list[bytes]:
        place = self._chosen.randrange(len(text) + 1)
        frames = [self._build(0x01, text[:place]), self._build(0x80, text[place:])]
        if self._chosen.random() < 0.3:
            frames.insert(1, self._build(0x89, b"between"))
        if self._chosen.random() < 0.3:
            frames.insert(1, self._build(0x00, b""))
        return frames

    def _write_close(self) -> bytes:
        code = self._chosen.choice((1000, 1001, 1005, 3999, 4999)).to_bytes(2, "big")
        return self._build(0x88, self._chosen.choice((b"", code, code + b"why", code + b"\xff", b"x")))

    def _write_strange_frame(self, text: bytes) -> bytes:
        head = self._chosen.choice((0x80, 0x01, 0x83, 0x09, 0xF1, 0xA1, 0xC1, 0x8F, self._chosen.randrange(256)))
        data = self._chosen.choice((text, b"\xff", "\u20ac".encode()[:2], bytes(126)))
        return self._chosen.choice((self._build(head, data), build_frame(head, data, None)))

    def _build(self, head: int, data: bytes) -> bytes:
        if self._compresses and head & 0x0F in (1, 2) and head & 0x80 and self._chosen.random() < 0.7:
            head |= 0x40
            compressor = zlib.compressobj(wbits=-15)
            data = (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        mask = bytes(self._chosen.randrange(256) for _ in range(4)) if self._masks else None
        return build_frame(head, data, mask)


def _pause(chosen: random.Random, frames: list[bytes]) -> list[Step]:
    """Send each frame alone, several at once, or in pieces."""
    way = chosen.random()
    if way < 0.35:
        return [step for frame in frames for step in (Step("send", frame), Step("settle", number=5))]
    data = b"".join(frames)
    cuts: list[int] = []
    if way < 0.7:
        cuts = sorted(chosen.randrange(len(data) + 1) for _ in range(chosen.randrange(1, 8)))
    elif way < 0.75:
        cuts = list(range(1, min(len(data), 120)))
    return cut_at(chosen, data, cuts)


def _add_peer(chosen: random.Random, steps: list[Step]) -> list[Step]:
    """Let the peer do something other than to send and to read."""
    way = chosen.random()
    place = chosen.randrange(len(steps) + 1)
    settled = [Step("settle")] if chosen.random() < 0.8 else []
    if way < 0.08:
        return [*steps[:place], *settled, Step("half"), *steps[place:]]
    if way < 0.16:
        return [*steps[:place], *settled, Step("close")]
    if way < 0.22:
        return [*steps[:place], Step("deaf"), *steps[place:], Step("settle", number=5), Step("hear")]
    return steps


def _make_limits(chosen: random.Random, *, opens_slowly: bool) -> tuple[Limit, ...]:
    """Return limits of the socket. While open() waits, when Tornado reads on depends on how much it gets at a time."""
    if chosen.random() < 0.6:
        return ()
    places = ((chosen.choice((1, 2, 3, 7, 20, 150, 1000)), chosen.choice(ERRORS)) for _ in range(3))
    directions: tuple[Direction, ...] = ("out",) if opens_slowly else ("in", "out")
    return tuple(
        Limit(chosen.choice(directions), chosen.randrange(most) + chosen.randrange(2), error)
        for most, error in itertools.islice(places, chosen.randrange(1, 4))
    )


def make_talk(chosen: random.Random) -> Talk:
    """Return a connection in which every choice is made by ``chosen``."""
    is_client, compresses = chosen.random() < 0.35, chosen.random() < 0.2
    options = dict(chosen.choice(CLIENT_OPTIONS if is_client else OPTIONS))
    if compresses:
        options["compression_options" if is_client else "compression"] = {}
    headers = (EXTENSION if compresses else b"") + (PROTOCOL if chosen.random() < 0.1 and not is_client else b"")
    reads = is_client and options.get("reads", True)
    kind = chosen.choice(KINDS) if reads or not is_client else "sync"
    left_out = _NOT_IN_READERS if reads else set() if kind == "sync" else _NOT_IN_COROUTINES
    words = [word for word in OPERATIONS if word not in left_out]
    writer = _Writer(chosen, words, masks=not is_client, compresses=compresses, wild=not reads)
    frames = writer.write_frames()
    # A client that reads messages comes to them a turn later, unless it is resumed by us.
    batches = [[frame] for frame in frames] if reads else [frames]
    steps = [Step("settle")]
    for batch in batches:
        steps += [*_pause(chosen, batch), Step("settle", number=5)]
    if chosen.random() < 0.3:
        # A client that reads has had its turns by then, or not: that decides how far it comes.
        steps += [Step("settle", number=5)] if reads or chosen.random() < 0.5 else []
        steps += [Step("send", writer.write_end()), Step("settle")]
    limits = _make_limits(chosen, opens_slowly="sleep" in options.get("open", ""))
    steps = _add_peer(chosen, steps)
    if any(limit.error for limit in limits):  # how much has been received when the socket fails would depend on turns
        steps = [Step("settle") if step.kind == "turns" else step for step in steps]
    return Talk(
        is_client,
        kind,
        tuple(steps),
        tuple(options.items()),
        headers,
        limits,
        chosen.choice((0, 0, 0, 1)),
    )


assert set(KINDS) == set(RUN)
