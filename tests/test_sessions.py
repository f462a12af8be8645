"""Run pairs of real sessions at once in one clone: none may disturb another, nor undo what it has recorded."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.core import manifest

from tests.fixtures import commands, projects
from tests.fixtures.commands import ROOT

SESSIONS = {
    "cross-arm64": ("-s", "cross-arm64"),
    "audit": ("-s", "audit", "--", "--offline"),
    "help": ("-s", "cross-arm64", "--", "--help"),
}
PAIRS = list(itertools.combinations_with_replacement(SESSIONS, 2))

pytestmark = [pytest.mark.integration, pytest.mark.release]


def run_at_once(clone: Path, *names: str) -> list[str]:
    """Run sessions at once; return what they said, after all of them have succeeded."""
    env = commands.environment(clone.parent / "cache")
    del env["PYTHONPATH"]  # bootstrap.py and the sessions find the suite without it
    command = [sys.executable, "bootstrap.py"]
    started = [
        subprocess.Popen(
            [*command, *SESSIONS[name]], cwd=clone, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for name in names
    ]  # fmt: skip
    said = [process.communicate(timeout=900)[0] for process in started]
    for process, text in zip(started, said, strict=True):
        assert process.returncode == 0 and "Traceback" not in text, text
    return said


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which both sessions of the first pair found no environment."""
    place = tmp_path_factory.mktemp("sessions") / "clone"
    projects.committed(projects.copied(ROOT, place))
    said = "".join(run_at_once(place, "cross-arm64", "help"))
    for lock in ("nox", "wheelworks"):
        assert said.count(f"installing requirements/{lock}.txt") == 1
    assert "waiting for another session that installs" in said
    return place


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_pair(pair: tuple[str, str], clone: Path) -> None:
    said = run_at_once(clone, *pair)
    assert not any("installing requirements/wheelworks.txt" in text for text in said)
    record = manifest.load(clone / "dist")
    assert record and len(record.wheels) == 3 and all(wheel.runs for wheel in record.wheels)
    assert all(wheel.audit for wheel in record.wheels) or "audit" not in pair
