"""``python -m tornado_speedups --compare``: what it understands, measures, concludes and refuses."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tornado.testing import bind_unused_port

PROGRAM = """\
import asyncio, sys, tornado.process, tornado.web, tornado.websocket, tornado_speedups

class Page(tornado.web.RequestHandler):
    def get(self):
        assert self.request.headers["User-Agent"].startswith("Mozilla/5.0")
        with open("requests", "a") as file:
            file.write(tornado_speedups.status()["http"] + self.request.headers.get("Own", "") + "\\n")
        self.write("x")

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        if message == "hello":
            self.write_message(message)
        elif message == "close":
            self.close()

async def main():
    tornado.web.Application([("/", Page), ("/echo", Echo)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main())
"""
RESULT = r"""program\.py \d+: CPU time per (request|message), median \(lowest to highest\) of 1 runs
tornado   [\d.]+ [um]s \([\d.]+ [um]s to [\d.]+ [um]s\)
speedups  [\d.]+ [um]s \([\d.]+ [um]s to [\d.]+ [um]s\)
ratio     [\d.]+ \([\d.]+ to [\d.]+ in 1 pairs of runs\)

(The speedups take about \d+% (less|more) CPU time, in too few pairs to be sure|No difference that .*)\.
(Implementation: python \(.*\)
)?(masking, websocket: left to Tornado .*, whose C is faster
)?"""


@pytest.fixture
def compare() -> Any:
    return import_module("tornado_speedups.commands.compare")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tornado_speedups", "--compare", *words]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)


def free_port() -> str:
    listener, port = bind_unused_port()
    listener.close()
    return str(port)


QUICK = ("--pairs", "1", "--seconds", "0.1", "--connections", "2")


def test_a_program_is_measured_with_and_without_the_speedups(program: Path) -> None:
    port = free_port()
    ended = run(program.parent, *QUICK, "--header", "Own: mine", "program.py", port, "--", f"http://127.0.0.1:{port}/")
    assert ended.returncode == 0 and re.fullmatch(RESULT, ended.stdout), (ended.stdout, ended.stderr)
    assert re.fullmatch(r"pair 1 of 1: tornado .*, speedups .*\n", ended.stderr)
    seen = (program.parent / "requests").read_text().splitlines()
    assert set(seen) == {"not installedmine", "installedmine"} and seen == sorted(seen, reverse=True)


@pytest.mark.integration
def test_messages_are_measured_too(program: Path) -> None:
    port = free_port()
    ended = run(program.parent, *QUICK, "program.py", port, "--", f"ws://127.0.0.1:{port}/echo")
    assert ended.returncode == 0 and re.fullmatch(RESULT, ended.stdout), (ended.stdout, ended.stderr)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["program.py", "PORT", "--", "http://127.0.0.1:PORT/none"], "/none was answered with status 404 Not Found"),
        (["program.py", "PORT", "--", "ws://127.0.0.1:PORT/"], "/ doesn't open a WebSocket: "),
        (["--message", "close", "program.py", "PORT", "--", "ws://127.0.0.1:PORT/echo"], "/echo closed the connection"),
        (
            ["missing.py", "--", "http://127.0.0.1:PORT/"],
            "error: missing.py ended with status 2 before it listened at 127.0.0.1:PORT; its last lines:\n  error: ",
        ),
        (
            ["program.py", "--", "http://127.0.0.1:PORT/"],
            "error: program.py ended with status 1 before it listened at 127.0.0.1:PORT; its last lines:\n",
        ),
    ],
)
def test_a_program_that_does_not_answer_is_not_measured(words: list[str], said: str, program: Path) -> None:
    port = free_port()
    ended = run(program.parent, *QUICK, *(word.replace("PORT", port) for word in words))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said.replace("PORT", port) in ended.stderr
    assert "Traceback" not in ended.stderr.partition("last lines")[0]
    assert ended.stderr.endswith("hint: python -m tornado_speedups --compare --help\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))


def test_another_server_at_the_address_is_not_measured(compare: Any) -> None:
    listener, port = bind_unused_port()
    plan = compare.parse_arguments(["program.py", "--", f"http://127.0.0.1:{port}/"])
    with listener, pytest.raises(compare.CompareError, match=f"something listens at 127.0.0.1:{port} already; end it"):
        compare.measure("tornado", plan)


def test_a_python_that_does_not_start_is_ended_and_named(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def start(command: Sequence[str], stdout: Any, **options: Any) -> Any:
        stdout.write(b"busy\n")
        stdout.flush()
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=stdout, **options))
        return started[0]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(import_module("tornado_speedups.commands.server"), "_START_LIMIT", 0.01)
    plan = compare.parse_arguments(["program.py", "--", f"http://127.0.0.1:{free_port()}/"])
    with pytest.raises(compare.CompareError, match="Python didn't start in 30 seconds; its last lines:\n  busy"):
        compare.measure("tornado", plan)
    assert started[0].poll() is not None


def test_arguments(compare: Any) -> None:
    plan = compare.parse_arguments(
        [
            "--pairs",
            "3",
            "--header",
            "User-Agent: curl",
            "-m",
            "package",
            "--",
            "-x",
            "--",
            "https://host/a",
            "https://host/b",
        ]
    )
    assert (plan.program, plan.pairs, plan.seconds) == (["-m", "package", "--", "-x"], 3, 2)
    assert [url.geturl() for url in plan.load.urls] == ["https://host/a", "https://host/b"]
    assert (plan.load.headers["User-Agent"], plan.load.connections) == ("curl", 8)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["app.py"], "needs URLs after the program"),
        ([], "needs URLs after the program"),
        (["app.py", "--"], "needs a program and URLs"),
        (["--", "http://host/"], "needs a program and URLs"),
        (["-m", "--", "http://host/"], "needs a program and URLs"),
        (["app.py", "--", "localhost:8888"], "'localhost:8888' isn't a URL"),
        (["app.py", "--", "http://[::1"], "isn't a URL"),
        (["app.py", "--", "http://host:99999/"], "isn't a URL"),
        (["app.py", "--", "http://host/", "ws://host/"], "URLs of one server"),
        (["app.py", "--", "http://host/", "http://other/"], "URLs of one server"),
        (["--pairs", "0", "app.py", "--", "http://host/"], "--pairs needs a number up to 1000, not '0'"),
        (["--pairs", "1.5", "app.py", "--", "http://host/"], "--pairs needs a number up to 1000, not '1.5'"),
        (["--seconds", "nan", "app.py", "--", "http://host/"], "--seconds needs a number up to 1000, not 'nan'"),
        (["--seconds"], "--seconds needs a number up to 1000, not ''"),
        (["--header", "value", "app.py", "--", "http://host/"], "--header needs 'Name: value', not 'value'"),
        (["--speed", "app.py", "--", "http://host/"], "--compare has no option --speed"),
    ],
)
def test_wrong_arguments_are_named(words: list[str], said: str, compare: Any) -> None:
    with pytest.raises(compare.CompareError) as caught:
        compare.parse_arguments(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("ours", "conclusion"),
    [
        ([50, 60, 55, 50, 52], "The speedups take 48% less CPU time. They took less in each of 5 pairs."),
        ([150, 160, 155, 150, 152], "The speedups take 52% more CPU time. They took more in each of 5 pairs."),
        ([50, 60, 55, 50, 101], "No difference that this measurement shows"),
        ([99.5, 99.4, 99.3, 99.2, 99.1], "No difference that this measurement shows"),
        ([50, 60], "The speedups take about 45% less CPU time, in too few pairs to be sure."),
    ],
)
def test_a_difference_is_claimed_only_if_every_pair_has_it(
    ours: Sequence[float], conclusion: str, compare: Any
) -> None:
    plan = compare.parse_arguments(["--pairs", str(len(ours)), "app.py", "--", "http://host/"])
    text = compare.format_result(plan, [100e-6] * len(ours), [each * 1e-6 for each in ours])
    assert text.splitlines()[5].startswith(conclusion)
    assert "tornado   100 us (100 us to 100 us)\n" in text
