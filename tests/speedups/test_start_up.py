"""The cost of import and install() when an application starts: modules, and the work on Tornado's source text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from unittest.mock import Mock

import pytest
from tornado.web import Application
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

import tornado_speedups
from tornado_speedups import fingerprints, patching
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

pytestmark = pytest.mark.usefixtures("stock_tornado")

# The application has imported the rest of Tornado and of the standard library anyway. Tornado 6.5 has no __future__.
LOADED = """
import __future__, json, sys, tornado.web, tornado.websocket, tornado.httpserver
before = set(sys.modules)
import tornado_speedups
tornado_speedups.install()
print(json.dumps(sorted(set(sys.modules) - before)))
"""

# Modules of the command line, tests and measurements; those for a Tornado that has been changed, and for the first
# WebSocket; the other implementation.
_NAMES = (
    *("__main__", "commands", "counting", "reasons", "self_test", "definitions"),
    *("websocket", "websocket.client", "websocket.protocol", "websocket.receiving", "websocket.transport"),
)
UNNEEDED = {f"tornado_speedups.{name}" for name in _NAMES} | {
    "tornado_speedups._speedups" if os.environ.get("TORNADO_SPEEDUPS_EXTENSION") == "0" else "tornado_speedups._python"
}


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

    def count(name: str) -> bytes:
        read.append(name)
        return get_source(name)

    monkeypatch.setattr(fingerprints, "get_source", count)
    tornado_speedups.install()
    assert set(Counter(read).values()) == {1}
    assert "tornado.iostream" in read  # which two hooks need


# The module is in sys.modules, but empty, while its import takes long.
RACE = """
import importlib.machinery, json, sys, threading, time, tornado.web, tornado_speedups
execute = importlib.machinery.SourceFileLoader.exec_module
def execute_slowly(self, module):
    if module.__name__ == "tornado.websocket":
        begun.set()
        time.sleep(0.2)
    execute(self, module)
importlib.machinery.SourceFileLoader.exec_module = execute_slowly
begun = threading.Event()
thread = threading.Thread(target=__import__, args=["tornado.websocket"])
thread.start()
begun.wait()
tornado_speedups.install(masking=False)
thread.join()
print(tornado_speedups.status()["websocket"])
"""


def test_a_module_that_another_thread_is_importing_is_waited_for() -> None:
    status = subprocess.check_output([sys.executable, "-c", RACE], text=True).strip()
    assert status == "installed" or status.endswith("whose C is faster")
