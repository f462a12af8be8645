"""Test commands are split into steps that need no shell, where that is possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.testing.commands import Step, split_command


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("pytest {project}/tests", [Step("pytest", ("{project}/tests",))]),
        ("python -m pytest -k 'a or b'", [Step("pytest", ("-k", "a or b"))]),
        ("python3.13 -X dev -bb -W error -m pytest x", [Step("pytest", ("x",))]),
        ("coverage run --branch -m pytest x", [Step("pytest", ("x",))]),
        ("python -m coverage run -p -m py.test x", [Step("pytest", ("x",))]),
        ("python -m unittest -v", [Step("python", ("-m", "unittest", "-v"))]),
        ('python -c "import x; print(1 > 2)"', [Step("python", ("-c", "import x; print(1 > 2)"))]),
        ("A=1 B='x y' pytest", [Step("pytest", (), "", {"A": "1", "B": "x y"})]),
        ("export A=1 && pytest && B=2 pytest x", [
            Step("pytest", (), "", {"A": "1"}), Step("pytest", ("x",), "", {"A": "1", "B": "2"}),
        ]),
        ("cd {project} && pytest", [Step("pytest", (), "{project}")]),
        ("cd a && cd b\npytest; python x.py", [Step("pytest", (), "a/b"), Step("python", ("x.py",), "a/b")]),
        ("pytest a \\\n  b", [Step("pytest", ("a", "b"))]),
        ("set -e; stestr run", [Step("program", ("stestr", "run"))]),
        ("pytest # all", [Step("pytest", ())]),
        ("", []),
    ],
)  # fmt: skip
def test_steps_without_a_shell(command: str, steps: list[Step]) -> None:
    assert split_command(command) == steps


@pytest.mark.parametrize(
    "command",
    [
        "pytest | tee log",
        "pytest > log",
        "pytest || true",
        "pytest &",
        "pytest tests/*.py",
        "pytest $(ls)",
        'pytest "$(ls)"',
        "pytest `ls`",
        "pytest ${A:-b}",
        "for x in a b; do pytest $x; done",
        "pytest && if true; then pytest; fi",
        "(cd tests; pytest)",
        "! pytest",
        "pytest 'open",
    ],
)
def test_what_only_a_shell_can_do(command: str) -> None:
    assert split_command(command) == [Step("shell", (command,))]


def test_titles() -> None:
    assert Step("pytest", ("a b",)).title == "pytest 'a b'"
    assert Step("python", ("-m", "x")).title == "python -m x"
    assert Step("shell", ("a | b",)).title == "a | b"


@given(st.text())
def test_any_text_is_split(command: str) -> None:
    for step in split_command(command):
        assert step.title is not None
