"""The expected failures in projects' own tests: ``project_failures.toml``.

Each row names tests, one reason, and what the official Linux wheel for ARM64 does with them. It may hold for some
systems, CPUs or Pythons only.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from wheelworks.core.errors import WheelworksError

FILE = Path(__file__).with_name("project_failures.toml")
ON_LINUX = ("fails", "passes")
CONDITIONS = {
    "systems": {"linux", "windows", "macos"},
    "cpus": {"aarch64", "armv7l", "riscv64", "s390x", "ppc64le", "i686", "loongarch64", "x86_64"},
    "engines": {"native", "qemu"},
}


@dataclass(frozen=True)
class Run:
    """Where the tests of a wheel run: its system and CPU, and whether under qemu."""

    system: str
    cpu: str
    engine: str


@dataclass(frozen=True)
class ExpectedFailures:
    """Tests of a project that may fail, with the reason. A name that ends with * stands for all that begin so."""

    project: str
    reason: str
    tests: tuple[str, ...]
    on_linux: str
    conditions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def applies(self, project: str, run: Run) -> bool:
        """Return whether the row holds for a run of a project's tests."""
        values = {"systems": run.system, "cpus": run.cpu, "engines": run.engine}
        same = canonicalize_name(project) == self.project
        return same and all(values[name] in allowed for name, allowed in self.conditions.items())


def find_expected_failures(project: str, run: Run, tests: Iterable[str]) -> dict[str, str]:
    """Return those of ``tests`` that may fail, with the reasons."""
    found: dict[str, str] = {}
    rows = [row for row in read_expected_failures() if row.applies(project, run)]
    for test in tests:
        for row in rows:
            if any(matches(pattern, test) for pattern in row.tests):
                found[test] = row.reason
    return found


def matches(pattern: str, test: str) -> bool:
    """Return whether a row's name of tests stands for a test."""
    return test.startswith(pattern[:-1]) if pattern.endswith("*") else test == pattern


@cache
def read_expected_failures() -> tuple[ExpectedFailures, ...]:
    """Return the rows of ``project_failures.toml``."""
    return parse_expected_failures(FILE.read_text(encoding="utf-8"))


def parse_expected_failures(text: str) -> tuple[ExpectedFailures, ...]:
    """Return the rows. Raises WheelworksError for one with a missing, empty or unknown part, or a test named twice."""
    tables = tomllib.loads(text)
    if extra := set(tables) - {"failures"}:
        raise _error(f"unknown tables: {', '.join(sorted(extra))}")
    rows = tuple(_parse_row(row) for row in tables.get("failures", []))
    named = Counter(
        (row.project, test, *sorted(map(str, row.conditions.items()))) for row in rows for test in row.tests
    )
    if twice := [f"{name[0]} {name[1]}" for name, count in named.items() if count > 1]:
        raise _error(f"named twice: {', '.join(twice)}")
    return rows


def _parse_row(row: Mapping[str, Any]) -> ExpectedFailures:
    needed = {"project", "reason", "tests", "on-linux"}
    if not needed <= set(row) or set(row) - needed - set(CONDITIONS):
        raise _error(f"a row has project, reason, tests, on-linux, and may have {', '.join(CONDITIONS)}: {row}")
    texts = [row["project"], row["reason"]]
    if not all(isinstance(text, str) and text.strip() for text in texts) or row["on-linux"] not in ON_LINUX:
        raise _error(f"project and reason must be texts, on-linux {' or '.join(ON_LINUX)}: {row}")
    conditions = {name: frozenset(_read_words(row, name)) for name in CONDITIONS if name in row}
    for name, values in conditions.items():
        if unknown := values - CONDITIONS[name]:
            raise _error(f"unknown {name}: {', '.join(sorted(unknown))}")
    tests = tuple(_read_words(row, "tests"))
    if vague := [test for test in tests if "::" not in test and " " not in test and "." not in test]:
        raise _error(f"no names of tests: {', '.join(vague)}")
    return ExpectedFailures(canonicalize_name(row["project"]), row["reason"], tests, row["on-linux"], conditions)


def _read_words(row: Mapping[str, Any], name: str) -> list[str]:
    words = row[name]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise _error(f"{name} must be a list of texts, and not empty: {row}")
    return words


def _error(text: str) -> WheelworksError:
    return WheelworksError(f"project_failures.toml: {text}")
