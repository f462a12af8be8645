"""Run a share of a project's own tests by pytest.

In the guest as ``python -m wheelworks_guest.package EVENTS SHARD SHARDS FOLDER MARKS MODULE...``; MARKS is what
pytest's option ``-m`` takes.
"""

from __future__ import annotations

import os
import sys

import pytest

from .events import Events

EVENTS = Events(sys.argv[1])
SHARD, SHARDS, FOLDER, MARKS, MODULES = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6:]


class Reporter:
    """Tells the host of every test, and keeps this shard's."""

    def __init__(self) -> None:
        self.outcome, self.detail = "passed", ""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Give hypothesis's examples as long as they take: its deadlines are for a CPU, not an emulator.

        They are the same in each run, since a verdict should be one that can be had again.
        """
        from hypothesis import HealthCheck, settings

        health = [HealthCheck.too_slow]
        settings.register_profile("emulated", deadline=None, derandomize=True, suppress_health_check=health)
        settings.load_profile("emulated")

    @pytest.hookimpl(trylast=True)  # after pytest's own has left out what is marked so
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tell of every test, and keep this shard's."""
        EVENTS.all([item.nodeid for item in items])
        items[:] = items[SHARD::SHARDS]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self.outcome, self.detail = "passed", ""
        EVENTS.start(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Its set-up, call or tear-down is over: what is worst of the three counts."""
        if report.failed:
            self.outcome, self.detail = "failed", report.longreprtext
        elif report.skipped and self.outcome == "passed":
            self.outcome, self.detail = "skipped", str(report.longrepr)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        EVENTS.end(nodeid, self.outcome, self.detail)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file whose tests can't be collected is a failure of its own."""
        if report.failed:
            EVENTS.start(f"collect {report.nodeid}")
            EVENTS.end(f"collect {report.nodeid}", "failed", report.longreprtext)


OPTIONS = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={FOLDER}", FOLDER]
OPTIONS += ["--continue-on-collection-errors", "-m", MARKS]
OPTIONS += ["-o", "markers=integration\nexhaustive"]

# By the events, that is: a failed test, or a share without tests.
EXPLAINED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


if __name__ == "__main__":
    code = pytest.main(OPTIONS, [Reporter()])
    EVENTS.modules(MODULES)
    sys.exit(0 if code in EXPLAINED else int(code))
