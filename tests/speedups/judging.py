"""Compare what servers do on the same connections, and make a script that shows a difference as short as possible."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.speedups.conversations import Part, Script, Step, is_hasty, may_leave_others
from tests.speedups.scripts import make_script
from tornado_speedups.patch import Patch


class Difference(NamedTuple):
    """A script on which two servers differ, and where they do first."""

    script: Any
    stock: Any
    fast: Any


class Judge:
    """Runs scripts on a stock server and on one with these patches, in turns, in one process.

    A connection has ended, with all its callbacks, before the functions are switched for the next one.
    """

    def __init__(self, servers: Any, patches: list[Patch]) -> None:
        self._servers = servers
        self._patches = patches
        self.features: Counter[str] = Counter()

    # What a judge of other connections than those of HTTP servers does in another way.

    def make_script(self, chosen: random.Random) -> Any:
        return make_script(chosen)

    def make_shorter(self, script: Any) -> Iterator[Any]:
        return _make_shorter(script)

    def find_features(self, script: Any, parts: list[Part]) -> set[str]:
        return find_features(script, parts)

    def may_do_more(self, script: Any) -> bool:
        """Return whether timing decides how far stock Tornado comes: the fast server may come further."""
        return is_hasty(script) or may_leave_others(script)

    def run_stock(self, script: Any) -> list[Part]:
        return list(self._servers.run(script))

    def run_fast(self, script: Any) -> list[Part]:
        for patch in self._patches:
            patch.apply()
        try:
            return list(self._servers.run(script))
        finally:
            for patch in self._patches:
                patch.undo()

    def compare(self, script: Any) -> Difference | None:
        stock, fast = self.run_stock(script), self.run_fast(script)
        self.features.update(self.find_features(script, stock))
        if stock == fast or (self.may_do_more(script) and _is_more(fast, stock)):
            return None
        return _find_first(script, stock, fast)

    def find_differences(self, seeds: range) -> Iterator[tuple[int, Difference]]:
        """Yield the seeds of scripts on which the servers differ, and the difference."""
        for seed in seeds:
            difference = self.compare(self.make_script(random.Random(seed)))
            if difference is not None:
                yield seed, difference

    def explain(self, difference: Difference) -> str:
        """Return the shortest script found that shows a difference, and the difference."""
        found = self.compare(self.shrink(difference.script)) or difference
        return f"\n{found.script}\nstock: {found.stock}\nfast:  {found.fast}"

    def shrink(self, script: Any, attempts: int = 400) -> Any:
        """Return a shorter script that still shows a difference, as far as one is found by removing parts."""
        first = self.compare(script)
        candidates = self.make_shorter(script)
        while attempts and (candidate := next(candidates, None)):
            attempts -= 1
            difference = self.compare(candidate)
            if first and difference and difference.stock[0] == first.stock[0]:
                script, candidates = candidate, self.make_shorter(candidate)
        return script


def _is_more(fast: list[Part], stock: list[Part]) -> bool:
    """Return whether a client has received the same or more, and no more has gone wrong."""
    (received, errors, left), (other, other_errors, other_left) = map(_summarize, (fast, stock))
    return received.startswith(other) and errors <= other_errors and left >= other_left


def _summarize(parts: list[Part]) -> tuple[bytes, int, bool]:
    """Return what was received, the number of failed callbacks, and whether the server has forgotten the connection."""
    received = b"".join(part.received for part in parts)
    errors = sum(line.startswith("ERROR asyncio") for part in parts for line in part.logged)
    return received, errors, any(("connections", 0) in part.events for part in parts)


def _find_first(script: Any, stock: list[Part], fast: list[Part]) -> Difference:
    for one, other in zip(stock, fast, strict=False):
        for name in Part._fields:
            if getattr(one, name) != getattr(other, name):
                return Difference(script, (name, getattr(one, name)), (name, getattr(other, name)))
    return Difference(script, f"{len(stock)} parts", f"{len(fast)} parts")


def _make_shorter(script: Script) -> Iterator[Script]:
    """Yield scripts that are shorter in one respect, those that are much shorter first."""
    yield from (each for each in (script._replace(application=()), script._replace(server=())) if each != script)
    yield from (script._replace(steps=steps) for steps in make_steps_shorter(script.steps))


def make_steps_shorter(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Yield fewer steps, and steps with less data."""
    size = len(steps)
    while size := size // 2:
        for start in range(0, len(steps), size):
            yield steps[:start] + steps[start + size :]
    for index, step in enumerate(steps):
        for shorter in _make_shorter_step(steps[index : index + 2], step):
            yield steps[:index] + shorter + steps[index + len(shorter) :]


def _make_shorter_step(pair: tuple[Step, ...], step: Step) -> Iterator[tuple[Step, ...]]:
    if [each.kind for each in pair] == ["send", "send"]:
        yield Step("send"), step._replace(data=step.data + pair[1].data)
    if step.kind == "turns":
        yield (Step("settle"),)
    size = len(step.data)
    while size := size // 2:
        for start in range(0, len(step.data), size):
            yield (step._replace(data=step.data[:start] + step.data[start + size :]),)


STATUS = {
    b"HTTP/1.1 %d " % code: str(code) for code in (101, 200, 204, 206, 302, 304, 400, 403, 404, 405, 416, 500, 503)
}
TEXTS = {
    b"100 (Continue)": "100-continue",
    b"Transfer-Encoding: chunked": "chunked response",
    b"Content-Encoding: gzip": "gzip response",
    b"Set-Cookie": "cookie",
    b"Connection: Keep-Alive": "HTTP/1.0 kept alive",
    b"detached": "detached",
}
LOGS = {
    "Malformed HTTP message": "malformed",
    "Unsatisfiable read": "unsatisfiable",
    "Uncaught exception": "uncaught",
    "Cannot send error response": "error after head",
    "Timeout reading body": "body timeout",
    "Write error": "write error",
    "both Transfer-Encoding": "smuggling",
    "Multiple unequal Content-Lengths": "unequal lengths",
    "Content-Length too long": "body limit",
    "_xsrf": "xsrf",
}
EVENTS = [
    "on_finish",
    "on_connection_close",
    "data",
    "finish",
    "hang_up",
    "cancel",
    "cancelled",
    "detach",
    "open",
    "stop",
    "message",
    "closed while it was written",
    "the server's stream is still open",
    "compute_etag",
    "callback",
    "head",
]


def find_features(script: Script, parts: list[Part]) -> set[str]:
    """Return what the script did and what came of it, so that tests can tell that all of it occurs."""
    received = b"".join(part.received for part in parts)
    logged = "\n".join(line for part in parts for line in part.logged)
    events = {event[0] if type(event) is tuple else event for part in parts for event in part.events}
    found = {step.kind for step in script.steps} | {"waited" for step in script.steps if step.number == 5}
    found |= {"quiet"} if script.quiet else set()
    found |= {f"kind {script.kind}", *(f"server {name}" for name, _ in script.server)}
    found |= {f"application {name}" for name, _ in script.application}
    found |= {name for text, name in {**STATUS, **TEXTS}.items() if text in received}
    found |= {name for text, name in LOGS.items() if text in logged}
    found |= {f"event {name}" for name in EVENTS if name in events}
    if any(step.data.count(b"Host: h") > 1 for step in script.steps):
        found.add("pipelined")
    if received.count(b"HTTP/1.1 200") > 1:
        found.add("answers in a row")
    if b"HTTP/1.1 5" in received and b"HTTP/1.1 200" in received.partition(b"HTTP/1.1 5")[2]:
        found.add("answer after an error")
    return found
