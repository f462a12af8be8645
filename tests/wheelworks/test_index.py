"""A release's wheels, fetched from an index that pip's configuration names: a real server on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from wheelworks import index
from wheelworks.errors import UsageError, WheelworksError

from tests.fixtures.wheels import wheel


@dataclass
class Server:
    """What is served: bodies by their path; and the headers that were sent with each request."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def listing(self, *wheels: Path, digest: str = "") -> None:
        """Serve wheels, and a page that names them."""
        files = []
        for path in wheels:
            data = path.read_bytes()
            self.pages[f"/files/{path.name}"] = data
            hashes = {"sha256": digest or hashlib.sha256(data).hexdigest()}
            files.append({"filename": path.name, "url": f"../../files/{path.name}", "hashes": hashes})
        self.pages["/simple/sample/"] = json.dumps({"meta": {"api-version": "1.1"}, "files": files}).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked[self.path] = dict(self.headers)
            body = served.pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        served.address = f"http://127.0.0.1:{http.server_port}/simple"
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_CERT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", served.address)
        yield served
        http.shutdown()


def test_every_wheel_of_the_release_and_no_other(server: Server, tmp_path: Path) -> None:
    wanted = [wheel(tmp_path / "w"), wheel(tmp_path / "w", "cp311-abi3-win32")]
    server.listing(*wanted, wheel(tmp_path / "w", version="1.1"))
    assert [path.name for path in index.fetch("sample==1.0", tmp_path)] == sorted(path.name for path in wanted)
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in wanted)
    assert server.asked["/simple/sample/"]["Accept"] == index.JSON


def test_a_name_and_password_in_the_address_are_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("//", "//me:p%40ss@"))
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch("Sample==1.0", tmp_path)) == 1
    assert server.asked["/simple/sample/"]["Authorization"] == "Basic bWU6cEBzcw=="


def test_the_extra_index_is_asked_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("/simple", "/empty"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file:///nowhere {server.address}")
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch("sample==1.0", tmp_path)) == 1


def test_bytes_of_another_hash_are_refused(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"), digest="0" * 64)
    with pytest.raises(WheelworksError, match="aren't those that the index names by hash"):
        index.fetch("sample==1.0", tmp_path)
    assert list(tmp_path.glob("*.whl")) == []


def test_a_release_without_wheels(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    for word in ("sample==2.0", "other==1.0"):
        with pytest.raises(UsageError, match=f"{word}: the index has no wheel of it"):
            index.fetch(word, tmp_path)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"files": [{}]}', b'{"files": 3}'])
def test_an_index_that_speaks_otherwise(page: bytes, server: Server, tmp_path: Path) -> None:
    server.pages["/simple/sample/"] = page
    with pytest.raises(WheelworksError, match="can't be asked: it doesn't speak the JSON form"):
        index.fetch("sample==1.0", tmp_path)


def test_a_file_name_never_leaves_the_folder(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    page = server.pages["/simple/sample/"].replace(b'"filename": "', b'"filename": "../../')
    server.pages["/simple/sample/"] = page
    with pytest.raises(UsageError, match="no wheel of it"):
        index.fetch("sample==1.0", tmp_path)


def test_an_index_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WheelworksError, match=r"the package index at 127\.0\.0\.1 can't be asked"):
        index.fetch("sample==1.0", tmp_path)


def test_pips_own_default_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index.indexes({"extra-index-url": "file:///x"})[0].startswith("https://")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("tornado==6.6.1", True), ("a.b-c==1.0rc1", True), ("dist", False), ("tornado", False), ("./a==1", False)],
)
def test_what_names_a_release(word: str, expected: bool) -> None:
    assert index.is_requirement(word) is expected
