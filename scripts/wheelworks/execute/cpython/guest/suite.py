"""Run a share of Tornado's own test suite: in the guest as ``suite.py EVENTS SHARD SHARDS INSTALL EXCEPT MODULE...``.

It is what ``python -m tornado.test`` runs, by Tornado's own runner with its own settings: warnings are errors, and a
run that logs anything fails. INSTALL names a module whose ``install()`` is called before (or is empty); EXCEPT is a
JSON list of the tests that are not to run.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from events import Events

EVENTS = Events(sys.argv[1])
SHARD, SHARDS = int(sys.argv[2]), int(sys.argv[3])
INSTALL, EXCEPT, MODULES = sys.argv[4], set(json.loads(sys.argv[5])), sys.argv[6:]
NAMES: dict[unittest.TestCase, str] = {}

if INSTALL:
    importlib.import_module(INSTALL).install()

from tornado.test import runtests  # noqa: E402  (what install() replaces must be replaced before)
from tornado.test.util import ABT_SKIP_MESSAGE  # noqa: E402


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite, but for the methods of abstract base classes, which Tornado doesn't count either."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        elif getattr(type(test), "__unittest_skip_why__", "") != ABT_SKIP_MESSAGE:
            yield test


def unique(ids: list[str]) -> list[str]:
    """The ids, told apart: the second test of an id gets "#2" added, and so on."""
    seen: Counter[str] = Counter()
    names = []
    for name in ids:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def all() -> unittest.TestSuite:  # noqa: A001  (the name that Tornado's runner looks for)
    """This shard's tests: every SHARDS-th one, so that the slow tests of a module are shared out."""
    tests = list(each(runtests.all()))
    NAMES.update(zip(tests, unique([test.id() for test in tests]), strict=True))
    EVENTS.all(list(NAMES.values()))
    return unittest.TestSuite(test for test in tests[SHARD::SHARDS] if NAMES[test] not in EXCEPT)


class Result(unittest.TextTestResult):
    """Reports every test to the host."""

    def startTest(self, test: unittest.TestCase) -> None:
        self._bad = len(self.failures) + len(self.errors)
        self._skipped = len(self.skipped)
        EVENTS.start(NAMES[test])
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if len(self.failures) + len(self.errors) > self._bad:
            EVENTS.end(NAMES[test], "failed", (self.failures + self.errors)[-1][1])
        elif len(self.skipped) > self._skipped:
            EVENTS.end(NAMES[test], "skipped", self.skipped[-1][1])
        else:
            EVENTS.end(NAMES[test], "passed")


def runner(stderr: Any) -> type[unittest.TextTestRunner]:
    """The runner that unittest.main is to use: with Tornado's settings, and our result."""

    class Runner(unittest.TextTestRunner):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "stream": stderr, "resultclass": Result})

    return Runner


if __name__ == "__main__":
    sys.argv[1:] = []
    runtests.test_runner_factory = runner
    try:
        runtests.main()
    finally:
        EVENTS.modules([name for name in MODULES if name in sys.modules])
