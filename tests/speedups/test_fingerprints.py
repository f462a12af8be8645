"""Tornado's code is known by its fingerprint. install() leaves alone what is unknown, and says so once."""

from __future__ import annotations

import warnings
from hashlib import sha256
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from zipfile import ZipFile
from zipimport import zipimporter

import pytest
import tornado.websocket

import tornado_speedups
from tests.speedups.bindings import STOCK_METHODS, methods
from tornado_speedups import fingerprints, patching

pytestmark = pytest.mark.usefixtures("stock_tornado")


def refused(reason: str) -> None:
    """Check that install() leaves WebSocket connections to Tornado for this reason, and warns once."""
    left = f"to Tornado {tornado.version}, {reason}"
    with pytest.warns(RuntimeWarning) as caught:
        tornado_speedups.install(masking=False, headers=False, http=False)
    assert [str(each.message) for each in caught] == [f"tornado_speedups leaves WebSocket connections {left}"]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tornado_speedups.install(masking=False, headers=False, http=False)
    assert tornado_speedups.status()["websocket"] == f"left {left}"
    assert methods() == STOCK_METHODS


@pytest.mark.parametrize("name", patching.REQUIRED["websocket"])
def test_code_with_another_hash_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fingerprints.FINGERPRINTS, name, ("0123456789abcdef",))
    refused(f"whose {name.replace(':', '.')} it doesn't know")


def lost_source(path: str) -> bytes:
    """Raise OSError, as a loader does when its file no longer exists."""
    raise FileNotFoundError(path)


def get_bytecode(path: str) -> bytes:
    """Return something else, as the loader of a module without source does."""
    return b"\xcb\r\r\n\0\0"


@pytest.mark.parametrize("loader", [None, object(), Mock(get_data=get_bytecode), Mock(get_data=lost_source)])
def test_code_without_source_is_left_alone(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado.websocket.__spec__, "loader", loader)
    refused("whose tornado.websocket.WebSocketHandler.get_websocket_protocol it doesn't know")


def test_code_in_a_zip_file_is_known(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "tornado.zip", "w") as archive:
        archive.write(tornado.websocket.__file__, "zipped.py")
    spec = zipimporter(str(tmp_path / "tornado.zip")).find_spec("zipped")
    assert spec is not None
    assert fingerprints.get_source(module_from_spec(spec)) == fingerprints.get_source(tornado.websocket)
    assert b"class WebSocketProtocol13" in fingerprints.get_source(tornado.websocket)


def test_code_with_the_ends_of_lines_of_windows_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    text = fingerprints.get_source(tornado.websocket)
    loader = Mock(get_data=lambda path: text.replace(b"\n", b"\r\n"))
    monkeypatch.setattr(tornado.websocket.__spec__, "loader", loader)
    assert fingerprints.get_source(tornado.websocket) == text


TEXT = """\
class Long(object):
    attribute = 1

    @staticmethod
    async def first(
        self,
    ):
        # comment
        "text"

    def second(self): return 2
# comment at the margin
    second_too = 3

class LongToo: pass

async def function(): return 4
"""


LINES = TEXT.splitlines()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("Long", LINES[0:13]),
        ("LongToo", LINES[14:15]),
        ("function", LINES[16:17]),
        ("Long.first", LINES[4:9]),
        ("Long.second", LINES[10:12]),
        ("LongToo.second", []),
        ("Lon", []),
        ("second", []),
    ],
)
def test_a_definition_ends_where_the_next_one_begins(name: str, lines: list[str]) -> None:
    expected = sha256("\n".join(lines).encode()).hexdigest()[:16]
    assert fingerprints.compute_fingerprint(f"import os\n{TEXT}".encode(), name) == expected


def test_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado, "version_info", (6, 7, 0, 0))
    refused("a version it doesn't know")


@pytest.mark.parametrize("function", ["write_message", "compute_accept_value", "_receive_frame"])
def test_patched_code_is_left_alone(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacements made by other code, for example for tracing, must still be called."""
    owner = tornado.websocket.WebSocketProtocol13
    monkeypatch.setattr(owner, function, Mock(wraps=getattr(owner, function)))
    refused("whose tornado.websocket.WebSocketProtocol13 has been patched")
