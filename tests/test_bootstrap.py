"""Test how bootstrap.py keeps environments: installed once, whole or not at all, never changed under a session.

The environments are made of shell scripts, which write down what they are asked for.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import bootstrap
from tests.fixtures.commands import ROOT, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its programs are shell scripts, and its locks flock's")

# `create` makes bin/python, which writes its arguments down, takes as long and ends as files beside it say.
CREATE = """\
mkdir -p $1/bin && cd $1/bin && cat > python <<END && chmod +x python
#!/bin/sh
echo "\\$@" >> {log}
while [ -e {slow} ]; do sleep 0.02; done
[ ! -e {broken} ]
END
"""
# A session: it takes the environment, says so, and keeps it until the file is gone.
SESSION = """\
import sys, time
from pathlib import Path
import bootstrap
lock, environments, create, busy, wheel = sys.argv[1:]
folder = bootstrap.keep_environment(Path(lock), Path(environments), ["sh", create], Path(wheel) if wheel else None)
print(folder.name, flush=True)
while Path(busy).exists():
    time.sleep(0.02)
"""


class Clone:
    """A lock file, a folder for environments, and sessions of other processes that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock, self.environments = folder, folder / "requirements/some.txt", folder / ".nox"
        self.log, self.slow, self.broken, self.busy = (folder / name for name in ("log", "slow", "broken", "busy"))
        self.lock.parent.mkdir()
        self.lock.write_text("a==1\n")
        self.create = folder / "create"
        self.create.write_text(CREATE.format(log=self.log, slow=self.slow, broken=self.broken))
        self.sessions: list[subprocess.Popen[str]] = []

    def spawn(self, program: str, *words: object) -> subprocess.Popen[str]:
        """Start a program in ROOT, where Python finds bootstrap.py."""
        command = [sys.executable, "-c", program, *map(str, words)]
        pipe = subprocess.PIPE
        self.sessions.append(subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe))
        return self.sessions[-1]

    def start(self, wheel: Path | None = None) -> subprocess.Popen[str]:
        return self.spawn(SESSION, self.lock, self.environments, self.create, self.busy, wheel or "")

    def end(self, session: subprocess.Popen[str]) -> tuple[str, str]:
        """Return the environment that a session used, and what it said."""
        out, err = session.communicate(timeout=20)
        return out.strip(), err

    def run(self, wheel: Path | None = None) -> tuple[str, str]:
        return self.end(self.start(wheel))

    def installs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def names(self) -> set[str]:
        return {path.name for path in self.environments.iterdir() if path.is_dir()}


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    made = Clone(tmp_path)
    yield made
    made.slow.unlink(missing_ok=True)  # else the scripts of killed sessions wait, and keep the pipes open
    for session in made.sessions:
        session.kill()
        session.communicate()


def test_an_environment_is_installed_once(clone: Clone) -> None:
    name, said = clone.run()
    assert "installing requirements/some.txt into" in said
    assert clone.run() == (name, "")
    [words] = clone.installs()
    assert words.split()[:3] == ["-m", "pip", "--disable-pip-version-check"] and "--require-hashes" in words


def test_another_lock_file_replaces_what_nobody_uses(clone: Clone) -> None:
    first, _ = clone.run()
    clone.lock.write_text("a==2\n")
    second, _ = clone.run()
    assert clone.names() == {second} != {first}


def test_what_a_session_uses_stays(clone: Clone) -> None:
    clone.busy.touch()
    session = clone.start()
    assert session.stdout
    used = session.stdout.readline().strip()
    clone.lock.write_text("a==2\n")
    another = clone.start()
    assert another.stdout
    fresh = another.stdout.readline().strip()
    assert clone.names() == {used, fresh} != {used}


def test_a_second_session_waits_for_the_installation(clone: Clone) -> None:
    clone.slow.touch()
    first = clone.start()
    wait_for(clone.log.exists)
    second = clone.start()
    assert second.stderr
    assert second.stderr.readline().startswith("waiting for another session that installs ")
    clone.slow.unlink()
    assert clone.end(first)[0] == clone.end(second)[0] != ""
    assert len(clone.installs()) == 1


def test_a_failed_installation_leaves_nothing(clone: Clone) -> None:
    clone.broken.touch()
    _, said = clone.run()
    assert "InstallError" in said and "ended with exit status 1" in said and bootstrap.HINT in said
    assert clone.names() == set()
    clone.broken.unlink()
    assert clone.run()[0] != ""


def test_a_killed_installation_is_made_again_when_its_pip_has_ended(clone: Clone) -> None:
    clone.slow.touch()
    first = clone.start()
    wait_for(clone.log.exists)
    first.kill()
    first.wait()
    assert len(clone.names()) == 1  # half an environment
    second = clone.start()
    assert second.stderr
    assert second.stderr.readline().startswith("waiting for another session that installs ")
    clone.slow.unlink()
    assert clone.end(second)[0] != ""
    assert len(clone.installs()) == 2


def test_an_environment_that_was_moved_is_made_again(clone: Clone, tmp_path: Path) -> None:
    clone.run()
    clone.environments = clone.environments.rename(tmp_path / "moved")
    assert "installing" in clone.run()[1]


def test_a_wheel_is_replaced_when_nobody_uses_the_other(clone: Clone, tmp_path: Path) -> None:
    wheels = [tmp_path / "a-1.0-py3-none-any.whl", tmp_path / "a-1.1-py3-none-any.whl"]
    for wheel in wheels:
        wheel.write_bytes(wheel.name.encode())
    clone.busy.touch()
    session = clone.start(wheels[0])
    assert session.stdout and session.stdout.readline()
    same = clone.start(wheels[0])
    assert same.stdout and same.stdout.readline()
    assert [words.split()[-1] for words in clone.installs()] == [str(clone.lock), str(wheels[0])]
    other = clone.start(wheels[1])
    assert other.stderr
    assert other.stderr.readline().startswith("waiting for another session that uses ")
    clone.busy.unlink()
    assert clone.end(other)[0] != ""
    assert clone.installs()[-1].split()[-1] == str(wheels[1])


def test_sessions_write_to_a_folder_one_after_another(clone: Clone) -> None:
    program = "import bootstrap, sys, pathlib; bootstrap.ENVIRONMENTS = pathlib.Path(sys.argv[1])\n"
    program += "bootstrap.wait_for_turn(pathlib.Path(sys.argv[1], 'out')); print('mine', flush=True); input()"
    first = clone.spawn(program, clone.environments)
    assert first.stdout and first.stdout.readline() == "mine\n"
    second = clone.spawn(program, clone.environments)
    assert second.stdout and second.stderr
    assert second.stderr.readline().startswith("waiting for another session that uses ")
    first.communicate("done\n")
    assert second.stdout.readline() == "mine\n"


TURN = """\
import sys
sys.path.insert(0, sys.argv[1])
import noxfile
from types import SimpleNamespace
noxfile.install = lambda *words: print("install")
noxfile.bootstrap.wait_for_turn = lambda folder: print(folder.name)
noxfile.run = lambda *words, **options: print("run")
noxfile.COPIED = ()
getattr(noxfile, sys.argv[2]).func(SimpleNamespace(posargs=[]))
"""


@pytest.mark.parametrize(("session", "folder"), [("docs", "_build"), ("lock", "requirements")])
def test_a_session_that_writes_to_a_folder_of_the_clone_takes_its_turn(session: str, folder: str) -> None:
    shown = subprocess.check_output([sys.executable, "-c", TURN, str(ROOT), session], text=True).splitlines()
    assert shown[:3] == ["install", folder, "run"]


def test_locks_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """msvcrt.locking() has exclusive locks alone, refuses to lock twice, and to unlock what isn't locked."""
    owners: dict[int, int] = {}

    def locking(file: int, mode: int, _: int) -> None:
        inode = os.fstat(file).st_ino
        if (inode in owners) if mode else (owners.get(inode) != file):
            raise PermissionError
        if mode:
            owners[inode] = file
        else:
            del owners[inode]

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_UNLCK=0, LK_NBLCK=2, locking=locking))
    windows = runpy.run_path(str(ROOT / "bootstrap.py"))
    first, second = (windows["_open_lock"](tmp_path / "a") for _ in range(2))
    with first, second:
        asked = [(first, False), (first, True), (second, False), (second, True), (first, False), (second, True)]
        locked = [windows["_try_lock"](one, exclusive=exclusive) for one, exclusive in asked]
    assert locked == [True, True, False, False, True, True]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for open files in /proc")
def test_the_lock_is_handed_on_to_nox(clone: Clone) -> None:
    """bootstrap.py replaces itself by Nox, which keeps the lock of its environment, but its programs don't."""
    held, folder = clone.folder / "held.lock", clone.folder / "held"
    program = "import subprocess; subprocess.run(['sleep', '60'])"
    text = f"""
import bootstrap, sys
from pathlib import Path
bootstrap.ROOT = Path({str(clone.folder)!r})
bootstrap._held[Path({str(folder)!r})] = held = bootstrap._open_lock(Path({str(folder)!r}))
assert bootstrap._try_lock(held, exclusive=False)
bootstrap.run_nox([sys.executable, "-c", {program!r}])
"""
    process = clone.spawn(text)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: bool(children.read_text()))

    def links(pid: str) -> list[Path]:
        return [path.resolve() for path in Path(f"/proc/{pid}/fd").iterdir()]

    assert held in links(str(process.pid))
    [child] = children.read_text().split()
    wait_for(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
    assert held not in links(child)
    os.kill(int(child), signal.SIGKILL)
