"""Test that what tests need of the machine is checked in one place, and that CI doesn't skip what it should run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.fixtures import tools
from tests.fixtures.commands import ROOT

HELPER = ROOT / "tests/fixtures/tools.py"
FILES = [path for path in (ROOT / "tests").rglob("*.py") if path not in (HELPER, Path(__file__))]


def list_calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def skips_for_a_program(call: ast.Call) -> bool:
    """Return whether a call of pytest skips tests by itself for what `tools` checks."""
    name = ast.unparse(call.func)
    words = ast.unparse(call)
    return name in ("pytest.mark.skipif", "pytest.skip") and bool(re.search(r"\bwhich\(|install(ed)?\b|unshare", words))


def test_such_a_skip_is_found() -> None:
    text = (
        'pytest.skip("qemu is not installed")\npytest.mark.skipif(not shutil.which("gcc"), reason="")\npytest.skip("x")'
    )
    assert [skips_for_a_program(node.value) for node in ast.parse(text).body if isinstance(node, ast.Expr)
            if isinstance(node.value, ast.Call)] == [True, True, False]  # fmt: skip


def test_no_test_skips_for_a_program_by_itself() -> None:
    found = {path: [ast.unparse(call) for call in list_calls(path) if skips_for_a_program(call)] for path in FILES}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_what_tests_need_is_known() -> None:
    named = {
        word.value
        for path in FILES
        for call in list_calls(path)
        if ast.unparse(call.func) in ("pytest.mark.needs", "tools.require")
        for word in call.args
        if isinstance(word, ast.Constant)
    }
    assert named - tools.TOOLS.keys() == set() and len(named) > 8


def test_ci_installs_it_and_skips_nothing_for_it() -> None:
    assert "--all-tools" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    installed = set(re.split(r"[\s$]+", (ROOT / ".ci/packages").read_text(encoding="utf-8")))
    elsewhere = {"namespaces", "python2.7", "other-python", "index"}  # no packages, or not Debian's
    packages = {word for name, tool in tools.TOOLS.items() if name not in elsewhere for word in tool.install.split()}
    assert packages - installed == set()


@pytest.mark.parametrize(("strict", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_what_is_missing_skips_a_test_or_fails_it(
    strict: bool, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "strict", strict)
    monkeypatch.setitem(tools.TOOLS, "rare", tools.Tool(tools._programs("no-such-program"), "the-package"))
    monkeypatch.setitem(tools.TOOLS, "common", tools.Tool(tools._programs("python3"), "python3"))
    tools.require("common")
    with pytest.raises(outcome, match="not installed: no-such-program; install the-package"):
        tools.require("common", "rare")
