"""A release that is killed (SIGKILL) at each of its steps continues to the same bytes and leaves nothing behind.

The steps are the real steps of this project. Options restrict the release to two wheels.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from wheelworks.build.context import make_environment
from wheelworks.core import manifest
from wheelworks.core.files import hash_file
from wheelworks.release import rehearsal, steps
from wheelworks.report import page
from wheelworks.reproduce.provenance import PROVENANCE_FILE

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, environment
from tests.fixtures.package import VERSION

pytestmark = [
    pytest.mark.integration,
    pytest.mark.release,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for what is left running in /proc"),
]

PART = (
    *("--target", "win_arm64", "--target", "manylinux_2_17_x86_64", "--abi", "cp311-abi3"),
    *("--python", "{}.{}".format(*sys.version_info), "--tornado", "6.6.1", "--vary", "umask"),
    *("--skip", "test-frameworks"),  # it takes long, creates no file, and has nothing of its own to be killed in
)

# The release command, which kills itself in one step: after some seconds, while it replaces a file, or when the step is
# finished but not yet recorded. It can also leave the step out.
PROGRAM = """\
import os, signal, sys, threading
from dataclasses import replace
from wheelworks import __main__
from wheelworks.release import steps

name, when, *words = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def killed(step):
    def run(release):
        if when == "replacing":
            os.replace = die
        elif when != "done":
            threading.Timer(float(when), die).start()
        step.run(release)
        die()
    chosen = run if when != "left out" else lambda release: None
    return replace(step, run=chosen) if step.name == name else step

steps.STEPS = tuple(map(killed, steps.STEPS))
sys.exit(__main__.main(["release", *words]))
"""

# Every step is killed once while it runs. The steps that create files are killed a second time at their end.
KILLS = (
    ("build-wheels", "1.5"),
    ("build-wheels", "done"),
    ("audit", "1"),
    ("test-foreign", "3"),
    ("test-native", "6"),
    ("reproduce", "2"),
    (PROVENANCE_FILE, "replacing"),
    (PROVENANCE_FILE, "done"),
    (steps.CHECKSUMS_FILE, "replacing"),
    (steps.CHECKSUMS_FILE, "done"),
    ("rehearse", "3"),
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this project, like that of a release manager."""
    folder = tmp_path_factory.mktemp("killed") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-tags", ROOT, folder], check=True)
    projects.git(folder, "checkout", "--quiet", "-B", "main")
    return folder


class Manager:
    """Starts releases in a clone, and finds programs and files that they leave behind."""

    def __init__(self, clone: Path, cache: Path, out: Path) -> None:
        self.clone, self.out = clone, out
        self.temporary = out.with_name(f"{out.name}-tmp-{uuid.uuid4().hex}")
        self.temporary.mkdir()
        self.env = environment(cache, TMPDIR=str(self.temporary))

    def release(self, name: str = "", when: str = "done") -> tuple[int, str]:
        command = [sys.executable, "-c", PROGRAM, name, when, VERSION, *PART, "--out", str(self.out)]
        ended = subprocess.run(
            command, cwd=self.clone, env=self.env, capture_output=True, text=True, check=False, timeout=600
        )
        return ended.returncode, ended.stderr

    def left(self) -> list[str]:
        """Return the programs started by a release that are still running some seconds later."""
        end = time.monotonic() + 20
        while (found := list(self._running())) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _running(self) -> list[str]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self._has_started(place):
                    found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # the process has just ended, or belongs to another user
        return found

    def _has_started(self, place: Path) -> bool:
        """Return whether a release started a process. Even compilers, which get few variables, get its TMPDIR."""
        seen = (place / "environ").read_bytes() + os.fsencode((place / "cwd").readlink())
        return os.fsencode(self.temporary) in seen


def test_running_programs_are_found(tmp_path: Path) -> None:
    """Programs are found by their environment, even a hermetic one, or by their working folder."""
    manager = Manager(tmp_path, tmp_path, tmp_path / "out")
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    handed = make_environment(os.environ, manager.temporary / "work", 0, {})
    assert manager.left() == []
    for env, place in ((handed, tmp_path), ({}, manager.temporary)):
        with subprocess.Popen(sleep, env=env, cwd=place) as left:
            seen = list(manager._running())
            left.kill()
        assert seen == [f"{' '.join(sleep)} "]


def test_every_step_is_killed_here() -> None:
    assert {name for name, _ in KILLS} == {step.name for step in steps.STEPS} - set(steps.SKIPPABLE)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_release_killed_at_every_step_continues_to_the_same_bytes(
    clone: Path, tmp_path: Path, wheelworks_cache: Path
) -> None:
    killed = Manager(clone, wheelworks_cache, tmp_path / "killed")
    for name, when in KILLS:
        status, said = killed.release(name, when)
        assert (status, name) == (-signal.SIGKILL, name), said
        assert name not in done(killed.out)
        assert killed.left() == []
        assert (killed.out / rehearsal.FOLDER).exists() is (name == "rehearse")
        assert projects.git(clone, "tag", "--list") == "" and projects.git(clone, "status", "--porcelain") == ""
    assert killed.release()[0] == 0
    assert done(killed.out) == [step.name for step in steps.STEPS if step.name not in steps.SKIPPABLE]
    assert killed.left() == [] and list(killed.temporary.glob("wheelworks-*")) == []
    assert not (killed.out / rehearsal.FOLDER).exists()

    whole = Manager(clone, wheelworks_cache, tmp_path / "whole")
    status, said = whole.release("test-native", "left out")  # test-native takes long and creates no file
    assert status == 0, said
    assert digests(killed.out) == digests(whole.out)
    assert {PROVENANCE_FILE, steps.CHECKSUMS_FILE, steps.STATE_FILE} < digests(whole.out).keys() and len(
        digests(whole.out)
    ) == 6


def done(out: Path) -> list[str]:
    """Return the recorded steps."""
    path = out / steps.STATE_FILE
    return list(json.loads(path.read_text())["done"]) if path.is_file() else []


def digests(out: Path) -> dict[str, str]:
    """Return the hashes of the release's files, except the manifest and its page, which hold the sessions' results."""
    told = (manifest.FILE, page.FILE)
    return {path.name: hash_file(path) for path in out.iterdir() if path.name not in told}
