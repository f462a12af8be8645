"""The cost of import and install() when an application starts: modules, and the work on Tornado's source text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any
from unittest.mock import Mock

import pytest
import tornado
from tornado.web import Application
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

import tornado_speedups
from tornado_speedups import fingerprints, patching
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

pytestmark = pytest.mark.usefixtures("stock_tornado")

# Those in which definitions are found without a search.
VERSIONS = ("6.5.10", "6.6.1")

# The application has imported the rest of Tornado and of the standard library anyway. Tornado 6.5 has no __future__.
LOADED = """
import __future__, json, sys, tornado.web, tornado.websocket, tornado.httpserver, tornado.platform.asyncio
before = set(sys.modules)
import tornado_speedups
tornado_speedups.install()
print(json.dumps(sorted(set(sys.modules) - before)))
"""

# Modules of the command line, tests and measurements, and those that the first WebSocket imports; the other
# implementation.
_NAMES = ("__main__", "commands", "counting", "reasons", "self_test", "websocket.protocol", "websocket.transport")
UNNEEDED = {f"tornado_speedups.{name}" for name in _NAMES} | {
    "tornado_speedups._speedups" if os.environ.get("TORNADO_SPEEDUPS_EXTENSION") == "0" else "tornado_speedups._python"
}

REQUIRED = sorted({name for names in patching.REQUIRED.values() for name in names})


def get_text(name: str) -> bytes:
    """Return the source text of the module that a name in REQUIRED begins with."""
    return fingerprints.get_source(sys.modules[name.partition(":")[0]])


def test_nothing_is_imported_that_serving_does_not_need() -> None:
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", LOADED], text=True)))
    assert "tornado_speedups.http.heads" in loaded
    assert [name for name in loaded if name.partition(".")[0] != "tornado_speedups"] == []
    assert loaded & UNNEEDED == set()


def test_without_its_code_a_connection_is_left_to_tornado(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after chroot(): what the first connection would import isn't there any more."""
    tornado_speedups.install(masking=False, headers=False, http=False)
    if patching.status()["websocket"] != "installed":
        pytest.skip("Tornado's C is faster")
    handler = WebSocketHandler(Application(), Mock(headers={"Sec-WebSocket-Version": "13"}))
    assert type(handler.get_websocket_protocol()) is FastWebSocketProtocol13
    monkeypatch.setitem(sys.modules, "tornado_speedups.websocket.protocol", None)
    assert type(handler.get_websocket_protocol()) is WebSocketProtocol13
    assert "tornado_speedups leaves a WebSocket to Tornado: import of tornado_speedups.websocket.pro" in caplog.text


def test_each_source_is_read_once_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    get_source, read = fingerprints.get_source, []

    def count(module: Any) -> bytes:
        read.append(module.__name__)
        return get_source(module)

    monkeypatch.setattr(fingerprints, "get_source", count)
    tornado_speedups.install()
    assert set(Counter(read).values()) == {1}
    assert "tornado.iostream" in read  # which two hooks need


@pytest.mark.skipif(tornado.version not in VERSIONS, reason="definitions are searched in this version of Tornado")
def test_definitions_are_found_without_a_search() -> None:
    """A search takes longer than everything else that install() does."""
    missing = []
    for name in REQUIRED:
        position, text = fingerprints.find_definition(get_text(name), name.partition(":")[2])
        if (position, len(text)) not in fingerprints.POSITIONS.get(name, ()):
            missing.append(f'"{name}": (({position}, {len(text)}),),')
    assert missing == [], f"for POSITIONS in fingerprints.py, in Tornado {tornado.version}"


@pytest.mark.skipif(tornado.version not in VERSIONS, reason="definitions are searched in this version of Tornado")
def test_install_searches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "find_definition", None)
    assert [name for name in REQUIRED if not fingerprints._is_known(get_text(name), name)] == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_definition_that_has_moved_is_known(name: str) -> None:
    assert fingerprints._is_known(b"# one line more\n" + get_text(name), name)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_definition_that_has_been_changed_where_it_is_is_unknown(name: str) -> None:
    text = get_text(name)
    begin, definition = fingerprints.find_definition(text, name.partition(":")[2])
    end = begin + len(definition)
    assert fingerprints._is_known(text, name)
    assert not fingerprints._is_known(text[: end - 1] + b"#" + text[end:], name)
    assert not fingerprints._is_known(text[:end] + b" or 1" + text[end:], name)
    assert not fingerprints._is_known(text[:end] + b"\n        pass" + text[end:], name)


@pytest.mark.parametrize(
    ("following", "ends"),
    [
        (b"\n\n\nclass B: ...", True),
        (b"\nx = 1", True),
        (b"\n", True),
        (b"\n" * 99, False),
        (b"\n    def second(): ...", False),
        (b"\n\n        more()", False),
        (b"\n# a comment", False),
        (b"\n) -> None:", False),
        (b" + 1\n\n\nclass B: ...", False),
        (b"", False),
    ],
)
def test_where_a_definition_ends(following: bytes, ends: bool) -> None:
    text = b"\nclass A:\n    x = 1"
    assert fingerprints.is_definition(text + following, 1, len(text), 0) is ends
    assert not fingerprints.is_definition(text + following, 2, len(text), 0)
