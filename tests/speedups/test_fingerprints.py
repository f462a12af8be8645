"""Tornado's code is known by its fingerprint. install() leaves alone what is unknown, and says so once."""

from __future__ import annotations

import sys
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
from tornado_speedups import definitions, fingerprints, patching

pytestmark = pytest.mark.usefixtures("stock_tornado")

REQUIRED = sorted({name for names in patching.REQUIRED.values() for name in names})


def get_text(name: str) -> bytes:
    """Return the source text of the module that a name in REQUIRED begins with."""
    return fingerprints.get_source(name.partition(":")[0])


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
    monkeypatch.setitem(fingerprints.RELEASED, name.partition(":")[0], "")
    monkeypatch.setitem(definitions.FINGERPRINTS, name, ("0123456789abcdef",))
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


def test_code_in_a_zip_file_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fingerprints.get_source("tornado.websocket")
    with ZipFile(tmp_path / "tornado.zip", "w") as archive:
        archive.write(tornado.websocket.__file__, "zipped.py")
    spec = zipimporter(str(tmp_path / "tornado.zip")).find_spec("zipped")
    assert spec is not None
    monkeypatch.setitem(sys.modules, "tornado.websocket", module_from_spec(spec))
    assert fingerprints.get_source("tornado.websocket") == source
    assert b"class WebSocketProtocol13" in source


def test_code_with_the_ends_of_lines_of_windows_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    text = fingerprints.get_source("tornado.websocket")
    loader = Mock(get_data=lambda path: text.replace(b"\n", b"\r\n"))
    monkeypatch.setattr(tornado.websocket.__spec__, "loader", loader)
    assert fingerprints.get_source("tornado.websocket") == text


@pytest.mark.parametrize("name", ["tornado.websocket", "tornado.platform.asyncio"])
def test_a_module_that_is_not_imported_yet_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = fingerprints.get_source(name)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert fingerprints.get_source(name) == text
    assert name not in sys.modules


def test_every_definition_that_a_hook_requires_has_fingerprints() -> None:
    assert set(REQUIRED) == set(definitions.FINGERPRINTS)
    assert {name.partition(":")[0] for name in REQUIRED} == set(fingerprints.RELEASED)


@pytest.mark.skipif(tornado.version == "6.5", reason="one of its files is unknown")
def test_this_tornado_is_known_as_a_whole() -> None:
    """After a new version of Tornado: the failures show what to add."""
    texts = {name: fingerprints.get_source(name) for name in fingerprints.RELEASED}
    unknown = {
        name: definitions.compute_fingerprint(text, name.partition(":")[2])
        for module, text in texts.items()
        for name in definitions.find_unknown(text, module)
    }
    assert unknown == {}, "for FINGERPRINTS in definitions.py"
    checksums = {
        name: fingerprints.compute_checksum(text)
        for name, text in texts.items()
        if not fingerprints.is_released(text, name)
    }
    assert checksums == {}, "for RELEASED in fingerprints.py"


def test_a_file_that_has_been_changed_elsewhere_is_known_by_its_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a distribution that patches Tornado."""
    get_source = fingerprints.get_source
    monkeypatch.setattr(fingerprints, "get_source", lambda name: b"# one line more\n" + get_source(name))
    find_unknown = Mock(wraps=definitions.find_unknown)
    monkeypatch.setattr(definitions, "find_unknown", find_unknown)
    tornado_speedups.install()
    assert find_unknown.call_count == len(fingerprints.RELEASED)
    assert "it doesn't know" not in str(tornado_speedups.status())


@pytest.mark.parametrize("name", REQUIRED)
def test_a_definition_that_has_moved_is_known(name: str) -> None:
    assert definitions.is_known(b"# one line more\n" + get_text(name), name)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_definition_that_has_been_changed_is_unknown(name: str) -> None:
    text = get_text(name)
    definition = definitions.find_definition(text, name.partition(":")[2])
    end = text.index(definition) + len(definition)
    assert definitions.is_known(text, name)
    for changed in (text[: end - 1] + b"#" + text[end:], text[:end] + b" or 1" + text[end:]):
        assert not definitions.is_known(changed, name)
        assert not fingerprints.is_released(changed, name.partition(":")[0])
    assert not definitions.is_known(text[:end] + b"\n        pass" + text[end:], name)


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
    assert definitions.compute_fingerprint(f"import os\n{TEXT}".encode(), name) == expected


def test_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado, "version_info", (6, 7, 0, 0))
    refused("a version it doesn't know")


@pytest.mark.parametrize("function", ["write_message", "compute_accept_value", "_receive_frame"])
def test_patched_code_is_left_alone(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacements made by other code, for example for tracing, must still be called."""
    owner = tornado.websocket.WebSocketProtocol13
    monkeypatch.setattr(owner, function, Mock(wraps=getattr(owner, function)))
    refused("whose tornado.websocket.WebSocketProtocol13 has been patched")
