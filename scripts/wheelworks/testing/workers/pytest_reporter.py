"""pytest plugins that write the result of every test at once: `Recorder`, and `Reporter` for any project's own tests.

pytest's own option --junitxml writes its file at the end: a crash would lose it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import pytest

from . import JUnitWriter

# Options that projects have in their configuration, of plugins that don't change which tests pass. Where the plugin
# isn't installed, the options are accepted and do nothing. Each has the number of its values (argparse's nargs).
COVERAGE_OPTIONS: dict[str, str | int] = {
    "--cov": "?", "--cov-report": 1, "--cov-config": 1, "--cov-fail-under": 1, "--cov-context": 1, "--cov-branch": 0,
    "--cov-append": 0, "--no-cov": 0, "--no-cov-on-fail": 0, "--cov-precision": 1,
}  # fmt: skip
PARALLEL_OPTIONS: dict[str, str | int] = {"-n": 1, "--numprocesses": 1, "--dist": 1, "--maxprocesses": 1}
PLUGINS = {"pytest_cov": COVERAGE_OPTIONS, "xdist": PARALLEL_OPTIONS}

# Exit codes that the results explain: a failed test, or no test.
EXPLAINED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


class Recorder:
    """Writes results under the names that `name_test` gives: pytest's node ids."""

    def __init__(self, results: JUnitWriter) -> None:
        self.results = results
        self.outcome, self.detail = "passed", ""

    def name_test(self, node: str) -> str:
        """Return the name of a test, or of a file with tests."""
        return node

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let hypothesis's examples take long, as on an emulated CPU, and use the same ones in each run."""
        if "hypothesis" in sys.modules or find_spec("hypothesis"):
            from hypothesis import HealthCheck, settings

            health = [HealthCheck.too_slow]
            settings.register_profile("emulated", deadline=None, derandomize=True, suppress_health_check=health)
            settings.load_profile("emulated")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Record that a test begins."""
        self.outcome, self.detail = "passed", ""
        self.results.start(self.name_test(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of set-up, call and tear-down."""
        if report.failed:
            self.outcome, self.detail = "failed", report.longreprtext
        elif report.skipped and self.outcome == "passed":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
            self.outcome, self.detail = "skipped", reason.removeprefix("Skipped: ") or "expected to fail (xfail)"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record that a test has ended."""
        self.results.finish(self.name_test(nodeid), self.outcome, self.detail)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file whose tests can't be collected as a failure."""
        if report.failed:
            self.record_file(report, "failed", report.longreprtext)

    def record_file(self, report: pytest.CollectReport, outcome: str, detail: str) -> None:
        """Record a file whose tests don't run."""
        name = f"collect {self.name_test(report.nodeid)}"
        self.results.start(name)
        self.results.finish(name, outcome, detail)


def replace_absent_plugins() -> list[str]:
    """Put empty modules in place of those plugins that aren't installed, for ``-p pytest_cov``; return their names."""
    absent = [name for name in PLUGINS if not find_spec(name)]
    for name in [*absent, *(f"{name}.plugin" for name in absent)]:
        sys.modules[name] = module_from_spec(ModuleSpec(name, None))
        sys.modules[name].__doc__ = "PYTEST_DONT_REWRITE"  # else pytest warns that it was imported before
    return absent


class Reporter(Recorder):
    """Writes results under names that don't depend on the folder: ``tests/test_a.py::test_b``.

    It accepts the options of plugins that aren't installed. ``only`` has the tests to run (empty: all), ``skip`` those
    to leave out. ``roots`` are the folders to which names are relative.
    """

    def __init__(self, results: JUnitWriter, only: Sequence[str], skip: Sequence[str], roots: Sequence[Path]) -> None:
        super().__init__(results)
        self.only, self.skip, self.roots = set(only), set(skip), roots
        self.root = Path.cwd()
        self.absent = replace_absent_plugins()

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Accept the options of plugins that aren't installed."""
        group = parser.getgroup("accepted and ignored")
        for plugin in self.absent:
            for name, values in PLUGINS[plugin].items():
                action: dict[str, Any] = {"action": "append", "nargs": values} if values else {"action": "count"}
                with suppress(ValueError):  # another plugin has it
                    group._addoption(name, dest=f"ignored_{name}", **action)  # it may be a short option

    def pytest_configure(self, config: pytest.Config) -> None:
        """Learn the folder that node ids are relative to."""
        super().pytest_configure(config)
        self.root = config.rootpath

    def name_test(self, node: str) -> str:
        """Return a test's name: its node id with a path that is relative to one of ``roots``."""
        file, colons, rest = node.partition("::")
        path = Path(self.root, file).resolve()
        root = next((root for root in self.roots if path.is_relative_to(root)), None)
        return f"{path.relative_to(root).as_posix() if root else file}{colons}{rest}"

    @pytest.hookimpl(trylast=True)  # after the project's own hooks and -k, -m
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Record every test, and leave out those that aren't to run."""
        names = {item: self.name_test(item.nodeid) for item in items}
        self.results.collect(names.values())
        items[:] = [
            item for item in items if names[item] not in self.skip and (not self.only or names[item] in self.only)
        ]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file whose tests can't be collected as a failure, one that skips itself as skipped."""
        super().pytest_collectreport(report)
        if report.skipped and isinstance(report.longrepr, tuple):
            self.record_file(report, "skipped", report.longrepr[2].removeprefix("Skipped: "))
