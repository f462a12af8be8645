"""Servers in processes of their own, a client on a raw socket, and what is measured with both."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from wheelworks.bench import load, serving
from wheelworks.bench.measurements import Measurement, Plan
from wheelworks.commands import bench
from wheelworks.errors import WheelworksError

from tornado_speedups._fallback import build_frame, parse_frames

KINDS = ["tornado", "speedups", "tornado-async", "speedups-async"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_messages_are_frames(size: int) -> None:
    assert parse_frames(load.message(size), 0, 2)[0] == [(0x81, b"x" * size)]
    assert load.header(size, 0) + b"x" * size == build_frame(0x81, b"x" * size, None)


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_every_server_echoes(kind: str) -> None:
    with serving.running(kind, {}) as server:
        load.pipelined(server.port, 64, 32, 32)
        load.pipelined(server.port, 3, 70_000, 1)
        load.parallel(server.port, 20, 200, 5)
        used = server.cpu_seconds()
        load.pipelined(server.port, 640, 32, 64)
        assert server.cpu_seconds() > used > 0


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


def test_an_unknown_suite_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["unheard-of"])
    assert "no suite 'unheard-of': websocket, mask" in capsys.readouterr().err


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
    assert bench.main(["mask", "--quick", "--count-instructions", "--out", str(tmp_path / "found.json")]) == 0
    assert plans == [Plan(2, 0.2, True)]
    assert "counting: us" in capsys.readouterr().out
    assert '"subject": "tornado"' in (tmp_path / "found.json").read_text()
