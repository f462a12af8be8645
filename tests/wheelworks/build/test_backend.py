"""Test build requirements, and the versions that the lock file pins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from wheelworks.build import backend
from wheelworks.core.errors import WheelworksError

from tests.fixtures import projects

LOCK = """\
# made by a tool
setuptools==84.2.1 \\
    --hash=sha256:00
Cython.Tools==3.1.0rc1 ; python_version >= "3.11" \\
    --hash=sha256:00
"""


def test_the_pins_of_a_lock_file() -> None:
    assert backend.parse_lock(LOCK) == {"setuptools": "84.2.1", "cython-tools": "3.1.0rc1"}
    assert backend.parse_lock("") == {}


def test_the_projects_own_lock_pins_setuptools() -> None:
    assert "setuptools" in backend.parse_lock(backend.LOCK.read_text())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], True),
        (["setuptools"], True),
        (["SetupTools>=61", "setuptools!=70"], True),
        (["cython_tools>=3.1.0rc1"], True),
        (["setuptools<80"], False),
        (["setuptools", "wheel"], False),
        (["setuptools[core]"], False),
        (["setuptools @ https://example.invalid/setuptools.whl"], False),
    ],
)
def test_what_a_lock_file_covers(words: list[str], expected: bool) -> None:
    assert backend.is_locked(backend.parse_requirements(words), LOCK) is expected


def test_requirements_for_other_pythons_are_left_out() -> None:
    words = ["tomli; python_version < '3.11'", "setuptools; python_version >= '3.8'", "x; extra == 'dev'"]
    assert [one.name for one in backend.parse_requirements(words)] == ["setuptools"]


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("3.10", {"setuptools", 'cython<3; python_version < "3.12"', "tomli"}),
        ("3.11", {"setuptools", 'cython<3; python_version < "3.12"'}),
        ("3.12", {"setuptools", "cython==3.0.12"}),
        ("3.14", {"setuptools", "cython>=3.1"}),
    ],
)
def test_requirements_are_those_of_the_targets_python(python: str, expected: set[str]) -> None:
    words = ["setuptools", "tomli; python_version < '3.11'", "cython<3; python_version < '3.12'"]
    words += ["cython==3.0.12; python_version == '3.12'", "cython>=3.1; python_version >= '3.13'"]
    assert {str(one) for one in backend.select_requirements(words, python)} == expected


def test_a_requirement_of_the_builds_own_python_stays() -> None:
    found = backend.select_requirements(["a; python_version < '3.12'", "b"], "3.13")
    assert [str(one) for one in found] == ["b", 'a; python_version < "3.12"']


@pytest.mark.parametrize("word", ["", "///", "a b", "setuptools>>1"])
def test_what_is_no_requirement_is_reported(word: str) -> None:
    with pytest.raises(WheelworksError, match="a build requirement can't be read"):
        backend.parse_requirements([word])


COUNTING_BACKEND = """\
import os, pathlib
def count():
    pathlib.Path(os.environ["COUNT"]).open("a").write("x")
def get_requires_for_build_wheel(config_settings=None):
    count()
    return ["first"]
def get_requires_for_build_sdist(config_settings=None):
    count()
    open("left", "w").close()
    return ["second"]
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "counting"\nbackend-path = ["."]\n'


@pytest.mark.usefixtures("may_spawn")
def test_a_backend_is_asked_for_requirements_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "cache"))
    count = tmp_path / "count"

    def ask(name: str, text: str = "", **variables: str) -> set[str]:
        tree = tmp_path / name
        tree.mkdir()
        for file, content in (("pyproject.toml", PYPROJECT), ("counting.py", COUNTING_BACKEND), ("text", text)):
            (tree / file).write_text(content)
        environment = backend.BuildEnvironment(tmp_path / "env", Path(sys.executable), {})
        shown = {"COUNT": str(count), "HOME": str(tree), **variables}
        return backend.Backend(tree, environment, shown).list_requirements()

    assert ask("first") == ask("copied") == {"first", "second"}
    assert count.read_text() == "xx"
    ask("changed", text="more")
    ask("otherwise", MODE="other")
    assert count.read_text() == "xxxxxx"
    for answer in (tmp_path / "cache").glob("requirements/*"):
        answer.write_text("{")
    assert ask("damaged") == {"first", "second"}
    assert [tree.name for tree in tmp_path.iterdir() if (tree / "left").exists()] == []
    assert [path for path in tmp_path.iterdir() if path.name.startswith("tmp")] == []


BACKEND_THAT_READS_ABOVE = """\
import pathlib
def get_requires_for_build_wheel(config_settings=None):
    return pathlib.Path("../requires").read_text().split()
def get_requires_for_build_sdist(config_settings=None):
    pathlib.Path("text").write_text("changed")
    return [pathlib.Path.cwd().name]
"""


@pytest.mark.usefixtures("may_spawn")
def test_a_backend_is_asked_where_the_tree_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As setuptools-scm is, which with ``root = ".."`` reads the repository above."""
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "cache"))
    files = {"requires": "first", "tree/pyproject.toml": PYPROJECT, "tree/counting.py": BACKEND_THAT_READS_ABOVE}
    tree = projects.write(tmp_path, {**files, "tree/text": "kept"}) / "tree"
    environment = backend.BuildEnvironment(tmp_path / "env", Path(sys.executable), {})
    assert backend.Backend(tree, environment, {}).list_requirements() == {"first", "tree"}
    assert (tree / "text").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "requires", "tree"}
