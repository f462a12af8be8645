"""Test the server processes, the clients on raw sockets, and the measurements made with them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from wheelworks.bench import clients, requests, server_suites, servers
from wheelworks.bench.measurements import Measurement, Plan, Suite
from wheelworks.bench.server_suites import Case, Load, measure_cases
from wheelworks.cli import bench
from wheelworks.core.errors import UsageError, WheelworksError

from tornado_speedups._python import build_frame, parse_frames

# What the servers of each kind of handler are asked for: a case of the suites, with a few of its operations.
LOADS = {
    one.partition("-")[2]: case for cases in server_suites.CASES.values() for case in cases for one in case.subjects
}
ECHOING = [kind for kind in servers.KINDS if kind.partition("-")[2] in ("", "async", "async-unawaited")]
UNINSTALLED = ("bokeh", "jupyter")  # tested where a release is
OTHERS = [kind for kind in servers.KINDS if kind not in ECHOING and kind.partition("-")[2] not in UNINSTALLED]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_messages_are_frames(size: int) -> None:
    assert parse_frames(clients.make_frame(size), 0, 2)[0] == [(0x81, b"x" * size)]
    assert clients.make_frame_header(size, 0) + b"x" * size == build_frame(0x81, b"x" * size, None)


def test_a_frame_is_taken_when_it_is_whole() -> None:
    payloads = [b"", b"x" * 125, b"y" * 126, b"z" * 70_000]
    for payload in payloads:
        frame = build_frame(0x81, payload, None)
        buffer = bytearray(frame[:-1])
        assert clients.take_payload(buffer) is None
        buffer += frame[-1:] + b"next"
        assert clients.take_payload(buffer) == payload
        assert buffer == b"next"


def echo_once(listener: socket.socket, answer: bytes) -> None:
    """Accept a connection as a WebSocket server with compression, and send one answer to whatever it sends."""
    connection, _ = listener.accept()
    with connection:
        request = connection.recv(1 << 16)
        extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if b"permessage-deflate" in request else b""
        connection.sendall(b"HTTP/1.1 101 OK\r\n%s\r\n" % extension)
        connection.recv(1 << 16)
        connection.sendall(answer)
        connection.recv(1)


@pytest.mark.parametrize(
    ("load", "answer"),
    [
        (partial(clients.echo_parallel, size=32, connections=1), build_frame(0x81, b"x" * 31, None)),
        (partial(clients.echo_parallel, size=32, connections=1), 2 * build_frame(0x81, b"x" * 32, None)),
        (partial(clients.echo_deflated, connections=1), build_frame(0xC1, b"\x02\x00", None)),
    ],
    ids=["short", "twice", "deflated"],
)
def test_another_echo_is_refused(load: Load, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=echo_once, args=(listener, answer))
        server.start()
        with pytest.raises(ConnectionError, match="the server's message isn't the echo"):
            load(listener.getsockname()[1], 1)
        server.join()


@pytest.mark.integration
@pytest.mark.parametrize("kind", ECHOING)
def test_every_server_echoes(kind: str) -> None:
    with server_suites.run_server(kind, {}) as server:
        clients.echo_pipelined(server.port, 64, 32, 32)
        clients.echo_pipelined(server.port, 3, 70_000, 1)
        clients.echo_parallel(server.port, 20, 200, 5)
        used = server.cpu_seconds()
        clients.echo_pipelined(server.port, 640, 32, 64)
        assert server.cpu_seconds() > used > 0


@pytest.mark.integration
@pytest.mark.parametrize("kind", OTHERS)
def test_every_server_answers_what_its_cases_ask_for(kind: str) -> None:
    with server_suites.run_server(kind, {}) as server:
        load = LOADS[kind.partition("-")[2]].load
        load(server.port, 20)
        used = server.cpu_seconds()
        load(server.port, 200)
        assert server.cpu_seconds() > used > 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 404 Not Found\r\n\r\nHello, world", b"HTTP/1.1 200 OK\r\n\r\nHel"])
def test_other_responses_are_refused(answer: bytes) -> None:
    def answer_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_once)
        server.start()
        with pytest.raises(ConnectionError, match="the server's response isn't b'Hello, world'"):
            clients.repeat_request(listener.getsockname()[1], 1, requests.BARE_REQUEST)
        server.join()


def test_a_suite_measures_every_server_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def measure_cpu_time(kind: str, load: Load, count: int, variables: dict[str, str]) -> float:
        asked.append((kind, count))
        return float(len(asked))

    monkeypatch.setattr(server_suites, "measure_cpu_time", measure_cpu_time)
    case = Case("bare", lambda port, count: None, 50, ("tornado-hello", "speedups-hello"))
    assert measure_cases("http", [case], Plan(2, 0.2, False), lambda suite, what: None) == [
        Measurement("bare", "tornado", "us", (1.0, 3.0)),
        Measurement("bare", "speedups", "us", (2.0, 4.0)),
    ]
    assert asked == [("tornado-hello", 100), ("speedups-hello", 100)] * 2


def test_instructions_are_counted_once_in_countable_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_suites, "count_instructions", lambda kind, load, count: float(count))
    plan = Plan(7, 1.0, True)
    asked = server_suites.HTTP.measure(plan, lambda suite, what: None)
    assert {each.case for each in asked} == {case.name for case in server_suites.CASES["http"] if case.countable}
    found = server_suites.WEBSOCKET.measure(plan, lambda suite, what: None)
    assert {each.unit for each in found} == {"instructions"}
    assert {len(each.rounds) for each in found} == {1}
    assert not any("MiB" in each.case for each in found)


def test_every_case_has_its_base_and_servers() -> None:
    for name, cases in server_suites.CASES.items():
        for case in cases:
            assert set(case.subjects) <= set(servers.KINDS)
            assert case.subjects[0].partition("-")[0] == bench.SUITES[name].base
    synchronous = server_suites.CASES["websocket"][0].subjects
    assert {"tornado", "speedups", "websockets", "aiohttp", "picows"} == set(synchronous)


def test_a_server_that_cannot_start_is_reported() -> None:
    with (
        pytest.raises(WheelworksError, match="the server unheard-of ended unexpectedly"),
        server_suites.run_server("unheard-of", {}),
    ):
        pass


@pytest.mark.integration
@pytest.mark.needs("valgrind")
def test_instructions_are_counted() -> None:
    assert (
        10_000
        < server_suites.count_instructions("speedups", partial(clients.echo_pipelined, size=32, depth=64), 128)
        < 100_000
    )


@pytest.mark.release
@pytest.mark.needs("valgrind")
def test_a_copy_does_not_count_as_many_instructions_as_it_has_bytes(tmp_path: Path) -> None:
    """callgrind counts ``rep movsb`` once for each byte, and glibc would use it here on most CPUs."""
    size, copies = 1 << 20, 200
    counts = []
    for number in (0, copies):
        program = f"a, b = bytearray({size}), bytearray({size})\nfor _ in range({number}): b[:] = a"
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={tmp_path}/out",
            sys.executable,
            "-c",
            program,
        ]
        variables = os.environ | server_suites.COUNTABLE | server_suites.PINNED_MALLOC
        ended = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
        found = server_suites.COLLECTED.search(ended.stderr)
        assert found is not None
        counts.append(int(found[1]))
    assert counts[1] - counts[0] < size * copies / 2


def test_counting_needs_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WheelworksError, match="valgrind, which isn't installed"):
        server_suites.count_instructions("tornado", lambda port, count: None, 1)


def test_an_unknown_suite_is_wrong_use() -> None:
    with pytest.raises(UsageError, match=f"no suite 'unheard-of': {', '.join(bench.SUITES)}"):
        bench.main(["unheard-of"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--compare main --quick", "--quick does nothing with --compare"),
        ("--compare main --only speedups", "--only does nothing with --compare"),
        ("--compare main --out x.json", "--out does nothing with --compare"),
        ("--compare= --count-instructions", "--count-instructions does nothing with --compare"),
        ("mask --compare main --update-baseline", "--update-baseline does nothing with --compare"),
        ("--icount --quick", "--quick does nothing with --icount"),
        ("mask --icount", "SUITE does nothing with --icount"),
        ("--icount --compare main", "--compare does nothing with --icount"),
        ("--table x.json --icount", "--icount does nothing with --table"),
        ("--update-baseline", "--update-baseline does nothing without --icount"),
        ("mask --source a.tar.gz", "--source and --target are options of one suite"),
        ("--target win_arm64", "--source and --target are options of one suite"),
        ("--icount --target win_arm64", "--target does nothing with --icount"),
        ("mask frames --count-instructions", "--count-instructions counts those of servers"),
    ],
)
def test_an_option_that_would_be_ignored_is_wrong_use(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bench.main(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "--icount",
        "--icount x --update-baseline",
        "mask --compare x",
        "--table x",
        "mask --quick",
        *("--count-instructions", "build --source a.tar.gz --target win_arm64"),
    ],
)
def test_options_that_go_together_are_taken(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_run_mode", lambda options: 0)
    assert bench.main(words.split()) == 0


def test_the_command_shows_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[Plan] = []

    def measure(plan: Plan, update: object) -> list[Measurement]:
        plans.append(plan)
        return [Measurement("all", "tornado", "us", (2.0,))]

    monkeypatch.setitem(bench.SUITES, "http", Suite("counting", "tornado", measure))
    out, result = tmp_path / "found.json", tmp_path / "result.json"
    assert bench.main(["http", "--quick", "--count-instructions", "--out", str(out), "--json", str(result)]) == 0
    assert plans == [Plan(2, 0.2, True)]
    shown = capsys.readouterr().out
    assert "counting: us" in shown and "passed: 1 suite, 1 figure; " in shown
    assert '"subject": "tornado"' in out.read_text()
    figure = {"suite": "http", "case": "all", "subject": "tornado", "median": 2.0, "unit": "us"}
    assert json.loads(result.read_text())["details"] == [figure]
