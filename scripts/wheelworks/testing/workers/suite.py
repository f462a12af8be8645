"""Run a share of Tornado's own test suite.

In the guest as ``python -m wheelworks_guest.suite EVENTS SHARD SHARDS INSTALL CHOICE MODULE...``. It is what
``python -m tornado.test`` runs, by Tornado's own runner with its own settings: warnings are errors, and a run that
logs anything fails. INSTALL names a module whose ``install()`` is called before (or is empty); CHOICE is JSON:
``except`` lists tests that are not to run, ``only``, if not empty, the only ones to run.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .events import Events

EVENTS = Events(sys.argv[1])
SHARD, SHARDS = int(sys.argv[2]), int(sys.argv[3])
INSTALL, CHOICE, MODULES = sys.argv[4], json.loads(sys.argv[5]), sys.argv[6:]
NAMES: dict[unittest.TestCase, str] = {}

if INSTALL:
    speedups = importlib.import_module(INSTALL)
    speedups.install()
    EVENTS.hooks(getattr(speedups, "status", dict)())

# After install(), since modules that have been imported may keep what it replaces.
runtests: Any = importlib.import_module("tornado.test.runtests")


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite, but for the methods of abstract base classes, which Tornado doesn't count either."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        elif not is_abstract(type(test)):
            yield test


def is_abstract(case: type[unittest.TestCase]) -> bool:
    """Whether Tornado's decorator ``abstract_base_test`` made the class: it skips all of it in its setUpClass."""
    return "AbstractBaseWrapper" in getattr(vars(case).get("setUpClass"), "__qualname__", "")


def unique(ids: list[str]) -> list[str]:
    """The ids, told apart: the second test of an id gets "#2" added, and so on."""
    seen: Counter[str] = Counter()
    names = []
    for name in ids:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def all() -> unittest.TestSuite:  # noqa: A001
    """This shard's tests, under the name that Tornado's runner looks for.

    They are every SHARDS-th one, so that the slow tests of a module are shared out.
    """
    tests = list(each(runtests.all()))
    NAMES.update(zip(tests, unique([test.id() for test in tests]), strict=True))
    EVENTS.all(list(NAMES.values()))
    return unittest.TestSuite(test for test in tests[SHARD::SHARDS] if chosen(NAMES[test]))


def chosen(name: str) -> bool:
    """Whether a test is to run."""
    return name not in CHOICE["except"] and (not CHOICE["only"] or name in CHOICE["only"])


class Result(unittest.TextTestResult):
    """Reports every test to the host."""

    any_failed = False

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """A test begins."""
        self._bad = len(self.failures) + len(self.errors)
        self._skipped = len(self.skipped)
        EVENTS.start(NAMES[test])
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """A test is over."""
        super().stopTest(test)
        if len(self.failures) + len(self.errors) > self._bad:
            Result.any_failed = True
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


def main() -> None:
    """Run; the exit code says no more than whether something is wrong that no test's failure explains."""
    sys.argv[1:] = []
    runtests.test_runner_factory = runner
    try:
        runtests.main()
    except SystemExit:
        if not Result.any_failed:
            raise
    finally:
        EVENTS.modules(MODULES)


if __name__ == "__main__":
    main()
