"""Compare what a stock and a fast end of a WebSocket connection do, as judging.py compares HTTP servers."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.speedups.conversations import Part, is_hasty
from tests.speedups.judging import Difference, Judge, make_steps_shorter
from tests.speedups.socket_conversations import EXTENSION, Talk
from tests.speedups.socket_scripts import make_talk
from tornado_speedups import eager
from tornado_speedups._python import parse_frames

_MANY = 5  # after four quick handlers in a row
_LEFT_OPEN = "the server's stream is still open"
LOGS = {
    "Uncaught exception": "exception of a handler",
    "Exception in callback": "exception of a client",
    "WebSocketClosedError": "closed while it was written",
    "BadYieldError": "wrong result of a handler",
    "CancelledError": "cancelled handler",
    "while decompressing": "wrong compression",
    "UnicodeDecodeError": "wrong UTF-8",
}
FRAMES = {b"\x88": "close frame", b"\x89": "ping", b"\x8a": "pong", b"\xc1": "compressed", b"\x82": "binary"}


class SocketJudge(Judge):
    """Runs connections with stock Tornado and with the patches."""

    def make_script(self, chosen: random.Random) -> Talk:
        return make_talk(chosen)

    def make_shorter(self, script: Talk) -> Iterator[Talk]:
        yield from (script._replace(steps=steps) for steps in make_steps_shorter(script.steps))
        simpler: list[dict[str, Any]] = [{"limits": ()}, {"options": ()}, {"sndbuf": 0}]
        simpler += [{"limits": tuple(each for each in script.limits if each != left)} for left in script.limits]
        yield from (each for change in simpler if (each := script._replace(**change)) != script)

    def may_do_more(self, script: Talk) -> bool:
        return is_hasty(script)  # type: ignore[arg-type]

    def compare(self, script: Talk) -> Difference | None:
        difference = super().compare(script)
        if difference is None:
            return None
        stock, fast = self.run_stock(script), self.run_fast(script)
        return None if _decided_by_turns(script, stock, fast) else difference

    def find_features(self, script: Talk, parts: list[Part]) -> set[str]:
        return find_features(script, parts)


def _decided_by_turns(talk: Talk, stock: list[Part], fast: list[Part]) -> bool:
    """Return whether only turns of the event loop can make this difference."""
    return (
        (any(_LEFT_OPEN in part.events for part in stock) and _ignore_end(stock) == _ignore_end(fast))
        or (_leaves_meanwhile(talk) and _goes_further(stock, fast))
        or (_reads(talk) and _ignore_proxies(stock) == _ignore_proxies(fast))
        or _takes_turns(talk, stock, fast)
        or (_may_fail_to_send(talk) and _fails_elsewhere(talk, stock, fast))
    )


def _awaits_early(talk: Talk) -> bool:
    return eager.enabled and talk.kind in ("async", "mixed")


def _takes_turns(talk: Talk, stock: list[Part], fast: list[Part]) -> bool:
    """Return whether a handler and something else that writes have done so in another order, or gone on in another."""
    if _awaits_early(talk) and _pings(talk) and _drop_pings(stock) == _drop_pings(fast):
        return True
    return _has_other_writer(stock) and _sort(stock) == _sort(fast)


def _fails_elsewhere(talk: Talk, stock: list[Part], fast: list[Part]) -> bool:
    """Return whether the connection has ended after more, or less, has been sent.

    An answer that leaves with others, or that is awaited early, fails after its handler has gone on.
    """
    if _is_only_more(stock, fast):
        return True
    waits = _awaits_early(talk) or _has_many(talk) or _fails_while_it_is_full(talk)
    return waits and _agree(_join(stock), _join(fast))


def _reads(talk: Talk) -> bool:
    """Return whether a client reads its messages, and comes to them a turn or two after its connection has."""
    return talk.is_client and bool(dict(talk.options).get("reads", True))


def _leaves_meanwhile(talk: Talk) -> bool:
    """Return whether the peer leaves a few turns after it has sent something.

    How far the handlers come by then depends on turns: an answer that is awaited takes Tornado more of them, and so
    does a message for a client that reads.
    """
    steps = [step for step in talk.steps if step.kind != "turns"]
    leaves = ("close", "half") if _reads(talk) else ("close",)
    return any(one.kind == "send" and other.kind in leaves for one, other in pairwise(steps))


_ENDS = ("on_close", "ended", "connections", _LEFT_OPEN)


def _goes_further(stock: list[Part], fast: list[Part]) -> bool:
    """Return whether handlers have done and sent the same, and perhaps more, when the connection ended."""
    done, more = ([each for part in parts for each in part.events if not _is_end(each)] for parts in (stock, fast))
    return more[: len(done)] == done and _join(fast).startswith(_join(stock))


def _is_end(event: Any) -> bool:
    return (event[0] if isinstance(event, tuple) else event) in _ENDS


def _ignore_proxies(parts: list[Part]) -> list[Part]:
    """Note last that messages came by a proxy: that happens a turn before, or after, the client reads another one."""
    events = [sorted(part.events, key=lambda event: event == "proxy") for part in parts]
    return [part._replace(events=each) for part, each in zip(parts, events, strict=True)]


def _has_other_writer(parts: list[Part]) -> bool:
    """Return whether a task writes while a handler awaits its own writes: they take turns."""
    return any(event[0] == "later" for part in parts for event in part.events)


def _pings(talk: Talk) -> bool:
    """Return whether a server pings while answers wait: one that begins early has ended a connection before a ping."""
    return bool(talk.sndbuf) and "websocket_ping_interval" in dict(talk.options)


def _drop_pings(parts: list[Part]) -> tuple[list[Part], list[tuple[int, bytes]]]:
    """Return the parts without frames, and the frames but pings and those that close the connection."""
    frames = parse_frames(_join(parts).partition(b"\r\n\r\n")[2], 0, 10_000)[0]
    return [part._replace(received=b"") for part in parts], [each for each in frames if each[0] not in (0x88, 0x89)]


def _sort(parts: list[Part]) -> list[Part]:
    """Sort the events, and the bytes that left: frames of two writers come in either order."""
    return [
        part._replace(events=sorted(part.events, key=repr), received=bytes(sorted(part.received))) for part in parts
    ]


def _may_fail_to_send(talk: Talk) -> bool:
    """Return whether an answer may not leave at once."""
    return bool(talk.sndbuf) or any(limit.direction == "out" and limit.error for limit in talk.limits)


def _has_many(talk: Talk) -> bool:
    """Return whether so many frames come, counted over all reads, that answers are held back."""
    return len(parse_frames(b"".join(step.data for step in talk.steps), 0, _MANY)[0]) == _MANY


def _fails_while_it_is_full(talk: Talk) -> bool:
    """Return whether the socket takes nothing, and fails when it is asked again, which we do earlier than Tornado."""
    out = [limit for limit in sorted(talk.limits) if limit.direction == "out"]
    return any(one.error == errno.EAGAIN and other.error and one.place == other.place for one, other in pairwise(out))


def _is_only_more(stock: list[Part], fast: list[Part]) -> bool:
    """Return whether the peer has received more, and nothing else is different."""
    alike = [
        [
            each._replace(received=b"", logged=[line for line in each.logged if "WebSocketClosedError" not in line])
            for each in _ignore_end(parts)
        ]
        for parts in (stock, fast)
    ]
    return alike[0] == alike[1] and _join(fast).startswith(_join(stock))


def _agree(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _join(parts: list[Part]) -> bytes:
    return b"".join(part.received for part in parts)


def _ignore_end(parts: list[Part]) -> list[Part]:
    """Drop when the connection ended.

    A stock one whose coroutine has failed with data in the stream's buffer is left open, and is never closed. Ours is
    closed when its peer has gone.
    """
    return [part._replace(ended=True, events=[each for each in part.events if each != _LEFT_OPEN]) for part in parts]


def find_features(talk: Talk, parts: list[Part]) -> set[str]:
    """Return what the connection did and what came of it, so that tests can tell that all of it occurs."""
    received = _join(parts)
    logged = "\n".join(line for part in parts for line in part.logged)
    events = [event for part in parts for event in part.events]
    role = "client" if talk.is_client else "server"
    found = {f"{role} {talk.kind}", *(step.kind for step in talk.steps)}
    found |= {f"option {name}" for name, _ in talk.options}
    found |= {f"error {limit.direction} {limit.error}" for limit in talk.limits}
    found |= {f"event {event[0] if isinstance(event, tuple) else event}" for event in events}
    found |= {name for text, name in LOGS.items() if text in logged}
    found |= {name for head, name in FRAMES.items() if head in received}
    found |= {"short buffer"} if talk.sndbuf else set()
    found |= {"compression"} if EXTENSION in talk.headers else set()
    found |= {f"closed with {event[1]}" for event in events if isinstance(event, tuple) and event[0] == "on_close"}
    return found
