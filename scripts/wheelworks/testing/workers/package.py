"""Run a shard of a project's own tests by pytest.

``python -m wheelworks_workers.package RESULTS SHARD SHARDS FOLDER MARKS MODULE...``; MARKS is the value of pytest's
option ``-m``. pytest's own option --junitxml writes its file at the end: a crash would lose it.
"""

from __future__ import annotations

import os
import sys

import pytest

from . import JUnitWriter, watch

RESULTS = JUnitWriter(sys.argv[1])
SHARD, SHARDS, FOLDER, MARKS, MODULES = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6:]


class Reporter:
    """A pytest plugin that writes every test's result, and keeps the tests of this shard."""

    def __init__(self) -> None:
        self.outcome, self.detail = "passed", ""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let hypothesis's examples take long, as on an emulated CPU, and use the same ones in each run."""
        from hypothesis import HealthCheck, settings

        health = [HealthCheck.too_slow]
        settings.register_profile("emulated", deadline=None, derandomize=True, suppress_health_check=health)
        settings.load_profile("emulated")

    @pytest.hookimpl(trylast=True)  # after pytest has applied -m
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Record every test, and keep those of this shard."""
        RESULTS.collect(item.nodeid for item in items)
        items[:] = items[SHARD::SHARDS]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Record that a test begins."""
        self.outcome, self.detail = "passed", ""
        RESULTS.start(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of set-up, call and tear-down."""
        if report.failed:
            self.outcome, self.detail = "failed", report.longreprtext
        elif report.skipped and self.outcome == "passed":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.outcome, self.detail = "skipped", reason.removeprefix("Skipped: ")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record that a test has ended."""
        RESULTS.finish(nodeid, self.outcome, self.detail)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file whose tests can't be collected as a failure."""
        if report.failed:
            RESULTS.start(f"collect {report.nodeid}")
            RESULTS.finish(f"collect {report.nodeid}", "failed", report.longreprtext)


OPTIONS = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={FOLDER}", FOLDER]
OPTIONS += ["--continue-on-collection-errors", "-m", MARKS, "-o", "markers=integration\nexhaustive"]

# Exit codes that the results explain: a failed test, or a shard without tests.
EXPLAINED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


if __name__ == "__main__":
    watch()
    code = pytest.main(OPTIONS, [Reporter()])
    RESULTS.close(MODULES)
    sys.exit(0 if code in EXPLAINED else int(code))
