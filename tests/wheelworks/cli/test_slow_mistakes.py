"""Test typical mistakes that are found in a build, in an audit or without the network, as `test_mistakes.py` does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

pytestmark = pytest.mark.integration

# Nothing listens at this port.
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "1"}
BUILD = "cross-arm64 project --no-run --target win_arm64 --out out"
DAMAGED = "damaged-1.0-cp311-abi3-win_arm64.whl"
USES_BIG = "return PyLong_FromVoidPtr((void *)sample_text);"
BIG = f'const char sample_text[] = "{"ab" * 3000}";'


@dataclass(frozen=True)
class Mistake:
    """A command line, the project's files, the environment, and the parts of the message."""

    line: str
    what: str
    where: str
    do: str
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()


MISTAKES = {
    "a damaged wheel": Mistake(f"audit --offline {DAMAGED}", "W001", DAMAGED, "try: Build the wheel again"),
    "a setup.py that raises": Mistake(
        BUILD, "RuntimeError: no libfoo here", 'project: ', "try python -m build project",
        {"setup.py": "raise RuntimeError('no libfoo here')\n"},
    ),
    "a setup.py with a syntax error": Mistake(
        BUILD, "SyntaxError", 'File "setup.py", line 2', "try python -m build project", {"setup.py": "\nx = = 1\n"}
    ),
    "a missing header": Mistake(
        BUILD, "'nosuch.h' file not found", "win_arm64: compile of sample.c", "--prefix win_arm64=DIR",
        {"sample.c": projects.module(before="#include <nosuch.h>")},
    ),
    "no index": Mistake("audit nosuch==1.0", "cannot be read", "127.0.0.1", "pip config list", env=OFFLINE),
    "no index for a build": Mistake(
        BUILD, "can't be installed", "nosuch-requirement", "look at the network",
        {"pyproject.toml": projects.PYPROJECT.replace('["setuptools"]', '["setuptools", "nosuch-requirement==1"]')},
        env=OFFLINE,
    ),
    "a full disk": Mistake(
        BUILD, "File too large: ", "/tmp/wheelworks-", "free some room, or set TMPDIR",
        {"sample.c": projects.module(USES_BIG, BIG)}, before=("prlimit", "--fsize=4096"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_explained(name: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    mistake, temporary = MISTAKES[name], tmp_path / "tmp"
    if mistake.before and not shutil.which(mistake.before[0]):
        pytest.skip(f"needs {mistake.before[0]}")
    projects.write(projects.sample(tmp_path / "project"), mistake.files)
    (tmp_path / DAMAGED).write_text("no archive")
    temporary.mkdir()
    env = {"TMPDIR": str(temporary), "COLUMNS": "200", **mistake.env}
    ended = wheelworks(*mistake.line.split(), cache=wheelworks_cache, cwd=tmp_path, env=env, before=mistake.before)
    text = " ".join((ended.out + ended.err).split())
    assert ended.status == 1, text
    for part in (mistake.what, mistake.where, mistake.do):
        assert part in text, text
    assert "site-packages/setuptools" not in text
    assert list(temporary.iterdir()) == []
    left = {path.name for path in (tmp_path / "out").iterdir()} if (tmp_path / "out").exists() else set()
    assert left <= {"manifest.json", "report.html"}
