"""Test the evaluation of variable assignments against a real shell."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheelworks.core.errors import WheelworksError
from wheelworks.core.shell_words import evaluate_assignments, parse_assignments

OUTER = {"HOME": "/home/x", "TWO": "a b"}


def evaluate(text: str) -> dict[str, str]:
    return evaluate_assignments(parse_assignments(text, "here"), OUTER, "here")


CASES = [
    ("A=1 B=2", {"A": "1", "B": "2"}),
    ("A=", {"A": ""}),
    ("A=x=y", {"A": "x=y"}),
    ("A='$HOME \"q\"'", {"A": '$HOME "q"'}),
    ('A="$HOME/bin:${TWO}"', {"A": "/home/x/bin:a b"}),
    ('A="say \\"hi\\" \\$HOME \\x"', {"A": 'say "hi" $HOME \\x'}),
    ("A=a\\ b'c d'\"e f\"", {"A": "a bc de f"}),
    ("A=1 B=$A$A", {"A": "1", "B": "11"}),
    ('A="$NONE." B=5$', {"A": ".", "B": "5$"}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_assignments_are_evaluated(text: str, expected: dict[str, str]) -> None:
    assert evaluate(text) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="asks a POSIX shell")
@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_shell_agrees(text: str, expected: dict[str, str]) -> None:
    script = f"{text}\n" + "".join(f'printf "%s\\0" "${name}"\n' for name in expected)
    ended = subprocess.run(["sh", "-c", script], env=OUTER, capture_output=True, text=True, check=True)
    assert ended.stdout.split("\0")[:-1] == list(expected.values())


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("A=$(uname)", "needs a shell: '\\$\\(uname\\)"),
        ("A=`uname`", "needs a shell"),
        ("A=${B:-x}", "needs a shell"),
        ('A="$(pwd)"', "needs a shell"),
        ("A=1; B=2", "needs a shell"),
        ("A=1 && B=2", "needs a shell"),
        ("A='x", "needs a shell|isn't closed"),
        ('A="x', "a quote isn't closed"),
        ("word", "not of the form NAME=VALUE"),
        ("1A=x", "not of the form NAME=VALUE"),
        ("$A=x", "not of the form NAME=VALUE"),
    ],
)
def test_other_text_is_refused(text: str, finding: str) -> None:
    with pytest.raises(WheelworksError, match=f"here: .*(?:{finding})"):
        evaluate(text)


def test_a_value_that_grows_without_limit_is_refused() -> None:
    with pytest.raises(WheelworksError, match="too long"):
        evaluate("A=" + "x" * 100 + "".join(' A="$A$A$A$A"' for _ in range(10)))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_evaluated_or_refused(text: str) -> None:
    with suppress(WheelworksError):  # any other exception is a fault
        assert all(isinstance(value, str) for value in evaluate(text).values())
