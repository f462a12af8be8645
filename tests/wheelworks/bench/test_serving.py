"""Servers in processes of their own, a client on a raw socket, and what is measured with both."""

from __future__ import annotations

import shutil
import socket
import threading
from functools import partial
from pathlib import Path

import pytest
from wheelworks.bench import http, load, requests, servers, serving, websocket
from wheelworks.bench.cases import Case
from wheelworks.bench.cases import measure as measure_cases
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.cli import bench
from wheelworks.core.errors import UsageError, WheelworksError

from tornado_speedups._python import build_frame, parse_frames

GREETING = [kind for kind in servers.KINDS if kind.endswith("-hello")]
ECHOING = [kind for kind in servers.KINDS if kind not in GREETING]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_messages_are_frames(size: int) -> None:
    assert parse_frames(load.message(size), 0, 2)[0] == [(0x81, b"x" * size)]
    assert load.header(size, 0) + b"x" * size == build_frame(0x81, b"x" * size, None)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ECHOING)
def test_every_server_echoes(kind: str) -> None:
    with serving.running(kind, {}) as server:
        load.pipelined(server.port, 64, 32, 32)
        load.pipelined(server.port, 3, 70_000, 1)
        load.parallel(server.port, 20, 200, 5)
        used = server.cpu_seconds()
        load.pipelined(server.port, 640, 32, 64)
        assert server.cpu_seconds() > used > 0


@pytest.mark.integration
@pytest.mark.parametrize("kind", GREETING)
def test_every_server_greets(kind: str) -> None:
    with serving.running(kind, {}) as server:
        requests.repeated(server.port, 20, requests.BROWSER)
        used = server.cpu_seconds()
        requests.repeated(server.port, 200, requests.BARE)
        assert server.cpu_seconds() > used > 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 404 Not Found\r\n\r\nHello, world", b"HTTP/1.1 200 OK\r\n\r\nHel"])
def test_other_answers_are_refused(answer: bytes) -> None:
    def answer_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_once)
        server.start()
        with pytest.raises(ConnectionError, match="the server doesn't greet"):
            requests.repeated(listener.getsockname()[1], 1, requests.BARE)
        server.join()


def test_a_suite_measures_every_server_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def cpu_microseconds(kind: str, load: serving.Load, count: int, variables: dict[str, str]) -> float:
        asked.append((kind, count))
        return float(len(asked))

    monkeypatch.setattr(serving, "cpu_microseconds", cpu_microseconds)
    case = Case("bare", lambda port, count: None, 50, ("tornado-hello", "speedups-hello"))
    assert measure_cases("http", [case], Plan(2, 0.2, False), lambda suite, what: None) == [
        Measurement("bare", "tornado", "us", (1.0, 3.0)),
        Measurement("bare", "speedups", "us", (2.0, 4.0)),
    ]
    assert asked == [("tornado-hello", 100), ("speedups-hello", 100)] * 2


def test_instructions_are_counted_once_and_where_they_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "instructions", lambda kind, load, count: float(count))
    plan = Plan(7, 1.0, True)
    assert {each.case for each in http.measure(plan, lambda suite, what: None)} == {"12 headers of a browser", "bare"}
    found = websocket.measure(plan, lambda suite, what: None)
    assert {each.unit for each in found} == {"instructions"}
    assert {len(each.rounds) for each in found} == {1}
    assert not any("MiB" in each.case for each in found)


def test_every_case_has_its_base_and_servers() -> None:
    for suite in (http, websocket):
        for case in suite.CASES:
            assert set(case.subjects) <= set(servers.KINDS)
            assert case.subjects[0].partition("-")[0] == suite.BASE
    assert {"tornado", "speedups", "websockets", "aiohttp", "picows"} == set(websocket.SYNCHRONOUS)


def test_a_server_that_cannot_start_is_reported() -> None:
    with (
        pytest.raises(WheelworksError, match="the server unheard-of has ended by itself"),
        serving.running("unheard-of", {}),
    ):
        pass


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_instructions_are_counted() -> None:
    assert 10_000 < serving.instructions("speedups", partial(load.pipelined, size=32, depth=64), 128) < 100_000


def test_counting_needs_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WheelworksError, match="valgrind, which isn't installed"):
        serving.instructions("tornado", lambda port, count: None, 1)


def test_an_unknown_suite_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="no suite 'unheard-of': websocket, http, frames, headers, mask, build"):
        bench.main(["unheard-of"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--compare main --quick", "--quick does nothing with --compare"),
        ("--compare main --only speedups", "--only does nothing with --compare"),
        ("--compare main --out x.json", "--out does nothing with --compare"),
        ("--compare= --count-instructions", "--count-instructions does nothing with --compare"),
        ("mask --compare main --renew", "--renew does nothing with --compare"),
        ("--work --quick", "--quick does nothing with --work"),
        ("mask --work", "SUITE does nothing with --work"),
        ("--work --compare main", "--compare does nothing with --work"),
        ("--table x.json --work", "--work does nothing with --table"),
        ("--renew", "--renew does nothing without --work"),
        ("mask frames --count-instructions", "--count-instructions counts those of servers"),
    ],
)
def test_an_option_that_would_be_ignored_is_wrong_use(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bench.main(words.split())


@pytest.mark.parametrize(
    "words", ["--work", "--work x --renew", "mask --compare x", "--table x", "mask --quick", "--count-instructions"]
)
def test_options_that_go_together_are_taken(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_other", lambda options: 0)
    assert bench.main(words.split()) == 0


def test_the_command_shows_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[Plan] = []

    class Suite:
        TITLE, BASE = "counting", "tornado"

        @staticmethod
        def measure(plan: Plan, say: object) -> list[Measurement]:
            plans.append(plan)
            return [Measurement("all", "tornado", "us", (2.0,))]

    monkeypatch.setattr(bench, "import_module", lambda name: Suite)
    assert bench.main(["http", "--quick", "--count-instructions", "--out", str(tmp_path / "found.json")]) == 0
    assert plans == [Plan(2, 0.2, True)]
    assert "counting: us" in capsys.readouterr().out
    assert '"subject": "tornado"' in (tmp_path / "found.json").read_text()
