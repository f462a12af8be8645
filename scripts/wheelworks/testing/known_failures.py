"""The tests of Tornado's suite that don't run, or fail with the speedups on: each with its reason."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from wheelworks.core.errors import WheelworksError

TABLE = Path(__file__).with_name("known_failures.toml")


def parse(text: str) -> dict[str, dict[str, str]]:
    """Reasons by test, of each kind of exception.

    Raises WheelworksError for a row without a reason or tests, for an unknown kind, and for a test named twice.
    """
    kinds: dict[str, dict[str, str]] = {"skips": {}, "needs-children": {}, "speedups": {}}
    for kind, rows in tomllib.loads(text).items():
        if kind not in kinds:
            raise WheelworksError(f"known_failures.toml: unknown kind {kind!r}: use {' or '.join(kinds)}")
        for row in rows:
            if set(row) != {"reason", "tests"} or not row["reason"] or not row["tests"]:
                raise WheelworksError(
                    f"known_failures.toml: a row of {kind} must have a reason and tests, and no more: {row}"
                )
            if twice := [test for test, count in Counter([*row["tests"], *kinds[kind]]).items() if count > 1]:
                raise WheelworksError(f"known_failures.toml: named twice in {kind}: {', '.join(twice)}")
            kinds[kind].update(dict.fromkeys(row["tests"], row["reason"]))
    return kinds


@cache
def _table() -> dict[str, dict[str, str]]:
    return parse(TABLE.read_text(encoding="utf-8"))


def known_skips() -> Mapping[str, str]:
    """Reasons by test, for the tests that Tornado itself skips in a root."""
    return _table()["skips"]


def needing_children() -> Mapping[str, str]:
    """Reasons by test, for the tests that can't run where the guest can't start other programs."""
    return _table()["needs-children"]


def with_speedups() -> Mapping[str, str]:
    """Reasons by test, for the tests that pass without the speedups and can't with them."""
    return _table()["speedups"]
