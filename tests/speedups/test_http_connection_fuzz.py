"""Whole HTTP connections by random scripts: a server with the speedups does exactly what Tornado's does.

What the client receives, when the connection ends, what handlers do and in which order, and what is logged are compared
each time that the server is idle. Time is virtual, and each script comes from a seed, so that each run is the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import tornado_speedups
from tests.speedups.conversations import Script, Servers, Step, observed
from tests.speedups.judging import EVENTS, LOGS, STATUS, TEXTS, Judge
from tests.speedups.scripts import SERVERS
from tests.speedups.targets import EXECUTE
from tornado_speedups import _python, patching
from tornado_speedups.http import heads, streams
from tornado_speedups.patch import Patch

# Compressors of responses that weren't finished fail when they go, with Tornado as well.
pytestmark = [
    pytest.mark.usefixtures("stock_tornado"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FEATURES = {
    *("send", "turns", "settle", "waited", "half", "close", "deaf", "hear", "quiet"),
    *("pipelined", "answers in a row", "answer after an error", "kind application", "kind callback", "kind delegate"),
    *STATUS.values(),
    *TEXTS.values(),
    *LOGS.values(),
    *(f"event {name}" for name in EVENTS),
    *(f"server {name}" for settings in SERVERS for name in settings),
}


@pytest.fixture
def patches(native: Any, monkeypatch: pytest.MonkeyPatch) -> list[Patch]:
    """All patches, with the implementation under test. None of them is in place."""
    for name in {*vars(native)} & {*vars(heads)} & {*tornado_speedups.__all__}:
        monkeypatch.setattr(heads, name, getattr(native, name))
    tornado_speedups.install()
    assert set(tornado_speedups.status().values()) == {"installed"}
    patches = patching.list_patches()
    for patch in patches:
        patch.undo()
    return patches


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with observed():
        servers = Servers(tmp_path)
        yield servers
        servers.loop.close()


def check(judge: Judge, seeds: range) -> None:
    for seed, difference in judge.find_differences(seeds):
        pytest.fail(f"seed {seed}: {judge.explain(difference)}")


# When the event loop went on watching a connection where Tornado stops, a client that ended its half lost its answer.
DIFFERED = [1_009_484, 20_028, 2_130_195]


@pytest.mark.parametrize("seed", DIFFERED)
def test_what_has_differed_before(seed: int, servers: Servers, patches: list[Patch]) -> None:
    check(Judge(servers, patches), range(seed, seed + 1))


def choose_seeds(native: Any, count: int) -> range:
    """Return the seeds of this many scripts, others for each implementation."""
    start = 0 if native is _python else 1_000_000
    return range(start, start + count)


def test_some_connections(native: Any, servers: Servers, patches: list[Patch]) -> None:
    judge = Judge(servers, patches)
    check(judge, choose_seeds(native, 50))
    assert judge.features["pipelined"] > 5 and judge.features["answers in a row"] > 0


@pytest.mark.exhaustive
def test_many_connections(native: Any, servers: Servers, patches: list[Patch]) -> None:
    judge = Judge(servers, patches)
    check(judge, choose_seeds(native, 150))
    assert judge.features["pipelined"] > 30 and judge.features["answers in a row"] > 5


@pytest.mark.integration
@pytest.mark.release
def test_very_many_connections(native: Any, servers: Servers, patches: list[Patch]) -> None:
    judge = Judge(servers, patches)
    check(judge, choose_seeds(native, 10_000))
    assert FEATURES - judge.features.keys() == set()


def test_a_delegate_that_detaches_while_it_gets_the_body(native: Any, servers: Servers, patches: list[Patch]) -> None:
    request = Step("send", b"POST /raw//detach-sleep1/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
    script = Script((), (), "delegate", (request,))
    judge = Judge(servers, patches)
    assert judge.compare(script) is None and judge.features["detached"] == 1


def test_the_same_connection_is_always_the_same(servers: Servers, patches: list[Patch], native: Any) -> None:
    judge = Judge(servers, [])
    check(judge, choose_seeds(native, 30))


def _change_result(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def plant(function: Any) -> Any:
        @wraps(function)
        def wrong(*arguments: Any, **options: Any) -> Any:
            return change(function(*arguments, **options))

        return wrong

    return plant


def _change_arguments(change: Callable[..., tuple[Any, ...]]) -> Callable[[Any], Any]:
    def plant(function: Any) -> Any:
        @wraps(function)
        def wrong(*arguments: Any, **options: Any) -> Any:
            return function(*change(*arguments, **options))

        return wrong

    return plant


def _set_before(name: str, value: Any) -> Callable[[Any], Any]:
    """Return a fault that sets an attribute of the object that the function is called with."""

    def change(each: Any, *others: Any) -> tuple[Any, ...]:
        setattr(each, name, value)
        return each, *others

    return _change_arguments(change)


def _drop_header(parsed: tuple[str, Any]) -> tuple[str, Any]:
    parsed[1].pop("Connection", None)
    return parsed


# A wrong version of each replaced function whose results a connection shows.
FAULTS: dict[str, Callable[[Any], Any]] = {
    "httputil:HTTPHeaders.get": _change_result(lambda value: None),
    "http1connection:HTTP1Connection._parse_headers": _change_result(_drop_header),
    "httputil:parse_request_start_line": _change_result(lambda line: line._replace(version="HTTP/1.1")),
    "http1connection:HTTP1Connection.write_headers": _change_arguments(
        lambda connection, line, headers, chunk=None: (connection, line._replace(reason="Fine"), headers, chunk)
    ),
    "httputil:format_timestamp": _change_arguments(lambda ts: (ts - 1e9,)),
    "http1connection:HTTP1Connection._read_body": _set_before("_max_body_size", 1 << 30),
    "http1connection:HTTP1Connection.finish": _set_before("_disconnect_on_finish", False),
    "routing:_RoutingDelegate.headers_received": _change_arguments(
        lambda delegate, line, headers: (delegate, line._replace(path="/static/empty"), headers)
    ),
    "routing:RuleRouter.find_handler": _change_result(lambda delegate: None),
    "httputil:HTTPServerRequest._parse_body": lambda function: lambda request: None,
    "iostream:BaseIOStream._handle_events": _set_before("_close_callback", None),
    "web:RequestHandler.compute_etag": _change_result(lambda value: 'W/"wrong"'),
    "web:RequestHandler.check_etag_header": _change_result(lambda value: not value),
    "web:Application.log_request": _change_result(lambda _: logging.getLogger("tornado.access").warning("more")),
    "iostream:BaseIOStream.write": _change_arguments(lambda stream, data: (stream, data[:4000])),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", FAULTS)
def test_a_fault_is_found(target: str, native: Any, servers: Servers, patches: list[Patch]) -> None:
    patch = next(each for each in patches if each.target == target)
    patch.replacement = FAULTS[target](patch.replacement)
    _, difference = next(Judge(servers, patches).find_differences(range(600)))
    assert difference.stock != difference.fast


@pytest.mark.exhaustive
def test_a_fault_in_the_limit_of_heads_is_found(
    native: Any, servers: Servers, patches: list[Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    change = _change_arguments(lambda stream, end_of_head, max_bytes: (stream, end_of_head, max_bytes + 99))
    monkeypatch.setattr("tornado_speedups.http.messages.read_head", change(streams.read_head))
    _, difference = next(Judge(servers, patches).find_differences(range(600)))
    assert difference.stock != difference.fast


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has no eager tasks")
def test_a_fault_in_the_order_of_things_is_found(servers: Servers, patches: list[Patch], c_extension: Any) -> None:
    """A handler that isn't told that the connection has gone."""
    patch = next(each for each in patches if each.target == EXECUTE)
    execute = patch.replacement

    def wrong(delegate: Any) -> Any:
        result = execute(delegate)
        delegate.connection.set_close_callback(None)
        return result

    patch.replacement = wrong
    request = Step("send", b"GET /async//sleep9 HTTP/1.1\r\nHost: h\r\n\r\n")
    script = Script((("serve_traceback", True),), (), "application", (request, Step("settle"), Step("close")))
    judge = Judge(servers, patches)
    difference = judge.compare(script)
    assert difference is not None
    assert difference.stock == ("events", ["on_connection_close", ("on_finish", 200)])
    shortest = judge.shrink(script, attempts=30)
    assert shortest.application == () and shortest.steps[-1] == Step("close")
