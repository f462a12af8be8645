"""Run a shard of Tornado's own test suite.

``python -m wheelworks_workers.tornado_suite RESULTS SHARD SHARDS INSTALL CHOICE MODULE...``. It runs the tests of
``python -m tornado.test`` by Tornado's own runner with its settings: warnings are errors, and a run that logs anything
fails. INSTALL names a package whose ``install()`` is called before (or is empty). CHOICE is JSON: ``except`` lists
tests that must not run, ``only``, if not empty, the only ones to run.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from collections import Counter
from collections.abc import Iterator
from typing import Any

from . import JUnitWriter, watch

RESULTS = JUnitWriter(sys.argv[1])
SHARD, SHARDS = int(sys.argv[2]), int(sys.argv[3])
INSTALL, CHOICE, MODULES = sys.argv[4], json.loads(sys.argv[5]), sys.argv[6:]
NAMES: dict[unittest.TestCase, str] = {}

if INSTALL:
    speedups = importlib.import_module(INSTALL)
    speedups.install()
    RESULTS.record_hooks(getattr(speedups, "status", dict)())

# After install(), since modules that have been imported may keep what it replaces.
runtests: Any = importlib.import_module("tornado.test.runtests")


def iterate_tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the tests of a suite. Tornado doesn't count those of abstract base classes either."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from iterate_tests(test)
        # Tornado's decorator ``abstract_base_test`` makes classes whose setUpClass skips them.
        elif "AbstractBaseWrapper" not in getattr(vars(type(test)).get("setUpClass"), "__qualname__", ""):
            yield test


def make_unique(ids: list[str]) -> list[str]:
    """Return the ids with "#2" after the second test of an id, and so on."""
    seen: Counter[str] = Counter()
    names = []
    for name in ids:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def all() -> unittest.TestSuite:  # noqa: A001
    """Return the tests of this shard. Tornado's runner calls the function of this name.

    They are every SHARDS-th test, so that the slow tests of a module are spread over all shards.
    """
    tests = list(iterate_tests(runtests.all()))
    NAMES.update(zip(tests, make_unique([test.id() for test in tests]), strict=True))
    RESULTS.collect(NAMES.values())
    chosen = [test for test in tests[SHARD::SHARDS] if NAMES[test] not in CHOICE["except"]]
    return unittest.TestSuite(test for test in chosen if not CHOICE["only"] or NAMES[test] in CHOICE["only"])


class Result(unittest.TextTestResult):
    """Writes the result of every test."""

    any_failed = False

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Record that a test begins."""
        self._bad = len(self.failures) + len(self.errors)
        self._skipped = len(self.skipped)
        RESULTS.start(NAMES[test])
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Record that a test has ended."""
        super().stopTest(test)
        if len(self.failures) + len(self.errors) > self._bad:
            Result.any_failed = True
            RESULTS.finish(NAMES[test], "failed", (self.failures + self.errors)[-1][1])
        elif len(self.skipped) > self._skipped:
            RESULTS.finish(NAMES[test], "skipped", self.skipped[-1][1])
        else:
            RESULTS.finish(NAMES[test], "passed")


def make_runner(stderr: Any) -> type[unittest.TextTestRunner]:
    """Return the runner class for unittest.main: with Tornado's settings, and our result class."""

    class Runner(unittest.TextTestRunner):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "stream": stderr, "resultclass": Result})

    return Runner


def main() -> None:
    """Run the tests. The exit code is not 0 only for an error that no test's failure explains."""
    sys.argv[1:] = []
    runtests.test_runner_factory = make_runner
    try:
        runtests.main()
    except SystemExit:
        if not Result.any_failed:
            raise
    finally:
        RESULTS.close(MODULES)


if __name__ == "__main__":
    watch()
    main()
