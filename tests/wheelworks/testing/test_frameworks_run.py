"""A project's tests on both sides in real processes: faults of the speedups are found, its own faults aren't."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest
import tornado
from wheelworks.core import venv
from wheelworks.testing import framework_suite, project_native, project_suite
from wheelworks.testing.framework_suite import FrameworkEnvironment, run_suites

import tornado_speedups
from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

pytestmark = pytest.mark.integration

# What a project's tests may see of the speedups. `test_slow` fails once, with the speedups.
TESTS = """\
import pathlib, subprocess, sys
import tornado.httputil

MARK = pathlib.Path(r"{mark}")
FAST = "tornado_speedups" in sys.modules

def test_good():
    assert tornado.httputil.HTTPHeaders.parse("A: b")["A"] == "b"

def test_child():
    code = "import sys; sys.exit('tornado_speedups' in sys.modules)"
    assert bool(subprocess.run([sys.executable, "-c", code]).returncode) is FAST

def test_bad():
    assert not "this fails on both sides"

def test_with_stock_tornado_only():
    assert not FAST

def test_slow():
    again = MARK.exists()
    if FAST:
        MARK.touch()
    assert again or not FAST
"""


@pytest.fixture
def environment(tmp_path: Path) -> FrameworkEnvironment:
    """An environment that borrows the packages of this one, and a project."""
    work = tmp_path / "work"
    work.mkdir()
    python = venv.create_venv(sys.executable, work / "environment")
    created = project_native.add_workers(python)
    places = [Path(str(tornado_speedups.__file__)).parents[1], sysconfig.get_path("purelib")]
    (created.site / "borrowed.pth").write_text("".join(f"{place}\n" for place in places))
    framework_suite.add_hook(created)
    source = projects.write(
        tmp_path / "project", {"pyproject.toml": "", "tests/test_it.py": TESTS.format(mark=tmp_path / "mark")}
    )
    suite = framework_suite.prepare_suite(
        source, Path("x-1.0-py3-none-any.whl"), ["tests"], work / "source", whole=True
    )
    with_c = tornado_speedups.implementation == "c"
    return FrameworkEnvironment(created, suite, work, with_c, 60.0, lambda text: None)


def test_a_project_on_both_sides(environment: FrameworkEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework_suite, "TRIES", 1)
    monkeypatch.setattr(project_suite, "SECOND_TRY_LIMIT", 0)  # each further process takes two seconds
    names = {"name": "x", "version": "1.0", "python": "3", "tornado": str(tornado.version)}
    result = run_suites(environment, **names)
    [finding] = result.findings
    assert finding.startswith(
        "tests/test_it.py::test_with_stock_tornado_only: fails with the speedups only, 2 of 2 times"
    )
    assert result.failing_in_both == ("tests/test_it.py::test_bad",)
    assert result.unsteady == ("tests/test_it.py::test_slow",)
    assert (result.stock.passed, result.speedups.passed) == (4, 2)
    assert set(result.hooks.values()) == {"installed"} and result.processes == 3


@pytest.mark.release
def test_a_real_project(tmp_path: Path, wheelworks_cache: Path) -> None:
    target = tmp_path / "result.json"
    ended = wheelworks("test-frameworks", "flower", "--json", target, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    [found] = json.loads(target.read_text())["details"]
    assert found["name"] == "flower" and found["stock"]["passed"] == found["speedups"]["passed"] > 300
