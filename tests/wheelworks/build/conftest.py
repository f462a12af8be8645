"""Fixtures of the builder's tests. Fast ones must not start programs, so that no download goes unnoticed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def may_spawn() -> None:
    """Allow a fast test to start small programs."""


@pytest.fixture(autouse=True)
def no_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to start programs in fast tests that do not use ``may_spawn``."""
    if request.node.get_closest_marker("integration") or "may_spawn" in request.fixturenames:
        return

    def refuse(process: object, command: object, *_: Any, **__: Any) -> None:
        pytest.fail(f"a fast test starts {command}: mark it integration, or ask for may_spawn")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _: None)


@pytest.fixture(scope="module")
def manifest(dist: Path) -> dict[str, Any]:
    """Return the manifest of a test module's own output folder."""
    found: dict[str, Any] = json.loads((dist / "manifest.json").read_text())
    return found
