"""Test the clients of the measured applications; where a release is tested, the whole suite with Bokeh and Jupyter."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelworks.bench import application_clients, measurements, server_suites
from wheelworks.bench.measurements import Plan
from wheelworks.core.errors import WheelworksError

from tests.fixtures.commands import ROOT
from tornado_speedups._python import build_frame

REPLY = b'{"msg_type":"execute_reply"}'
IDLE = b'{"msg_type":"status","execution_state": "idle","parent_header":{"msg_type":"execute_request"}}'
DISPLAY = b'{"msg_type":"display_data"}'


def ask(load: Callable[[int, int], None], *answers: bytes) -> None:
    """Let the client of an application talk to a server that sends these messages to its first connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 101 OK\r\n\r\n")
            connection.recv(1 << 16)
            connection.sendall(b"".join(build_frame(0x82, one, None) for one in answers))
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        try:
            load(listener.getsockname()[1], 1)
        finally:
            server.join()


@pytest.mark.parametrize("ending", [(REPLY, IDLE), (IDLE, REPLY)], ids=["idle-last", "reply-last"])
def test_every_message_of_a_kernel_is_awaited(ending: tuple[bytes, ...]) -> None:
    ask(application_clients.display_jupyter, *[DISPLAY] * application_clients.DISPLAYS, *ending)
    with pytest.raises(ConnectionError, match="the server sent"):
        ask(application_clients.display_jupyter, *[DISPLAY] * (application_clients.DISPLAYS - 1), *ending)


def test_another_message_in_the_chat_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_clients, "MEMBERS", 1)
    with pytest.raises(ConnectionError, match="a member received something else"):
        ask(application_clients.chat, b'{"name": "member 0", "text": "something else", "members": 1}')


def test_the_suite_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WheelworksError, match="bokeh and jupyter_server: not installed") as raised:
        server_suites.measure_applications(Plan(1, 0.1, False), lambda suite, what: None)
    assert raised.value.hint == "nox -s bench -- applications"


@pytest.mark.integration
@pytest.mark.release
def test_the_session_measures_every_application(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "--envdir", str(tmp_path / "environments")]
    out, result = tmp_path / "bench" / "bench.json", tmp_path / "result.json"
    words = ["-s", "bench", "--", "applications", "--quick", "--out", str(out), "--json", str(result)]
    ended = subprocess.run([*command, *words], capture_output=True, text=True, timeout=1800, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = measurements.load_results(out)["applications"]
    cases = [case.name for case in server_suites.CASES["applications"]]
    assert {(one.case, one.subject) for one in found} == {
        (case, subject) for case in cases for subject in ("tornado", "speedups")
    }
    assert {len(one.rounds) for one in found} == {2}
    assert len(json.loads(result.read_text())["details"]) == 2 * len(cases)
