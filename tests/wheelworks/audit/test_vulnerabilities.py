"""Test the search for known vulnerabilities: pip-audit asks a local service that has OSV's API."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from wheelworks.audit import dependencies
from wheelworks.audit.dependencies import Pin

from tests.fixtures import wheels
from tests.fixtures.commands import wheelworks

FLAW = {
    "id": "OSV-1",
    "summary": "bad",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "flawed", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Service(BaseHTTPRequestHandler):
    """Answer OSV's queries with one known vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked["package"]["name"] == "flawed"
        body = json.dumps({"vulns": [FLAW]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a service that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/query"


@pytest.mark.integration
def test_a_service_that_never_answers_is_not_waited_for(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "SECONDS", 5.0)
    [found] = dependencies.check_vulnerabilities([Pin("sound", "1.0")], silent)
    assert found.code == "W504" and "did not end within 5 s" in found.evidence and "sound==1.0" in found.evidence


@pytest.mark.integration
def test_a_service_that_is_there_is_believed(address: str) -> None:
    found = list(dependencies.check_vulnerabilities([Pin("flawed", "1.0"), Pin("sound", "2.0")], address))
    assert [(one.code, one.member, one.evidence) for one in found] == [("W502", "flawed==1.0", "OSV-1, fixed in 1.1")]
    assert list(dependencies.check_vulnerabilities([Pin("sound", "2.0")], address)) == []


@pytest.mark.integration
def test_a_service_that_is_not_there_fails_only_when_one_is_strict(address: str, tmp_path: Path) -> None:
    """An unreachable service adds one warning, and the wheel's own findings stay the same."""
    files = {"sample-1.0.dist-info/licenses/LICENSE": b"free"}
    path = wheels.wheel(tmp_path, "py3-none-any", files)
    gone = address.replace("/v1", "/gone").replace(address.split(":")[2].split("/")[0], "9")
    for url, told, options, status in ((gone, 1, [], 0), (gone, 1, ["--strict"], 1), (address, 0, [], 0)):
        ended = wheelworks("audit", path, "--osv-url", url, "--json", *options, cache=tmp_path / "cache")
        codes = [one["code"] for one in json.loads(ended.out)["findings"]]
        assert codes.count("W504") == told and ended.status == status, ended.out
