"""Judge the results of a project's own tests on a wheel.

A failure needs evidence against the wheel: a test that fails and isn't expected to, a crash, or an extension that the
tests never loaded. What only this machine lacks makes the verdict "unsupported".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wheelworks.core.junit import Results
from wheelworks.core.text import abbreviate
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing.project_failures import Run, find_expected_failures
from wheelworks.testing.project_source import list_packages
from wheelworks.testing.project_suite import UNSUPPORTED_TEST, ProjectSuite
from wheelworks.testing.suites import DEATH, SuiteResults, describe_expected_failures

SHOWN = 10  # tests of a list
DETAIL = 1500  # characters
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_MISSING_LIBRARY = re.compile(r"ImportError: (\S+): cannot open shared object file")
_PLUGIN = re.compile(r"(?:unrecognized arguments|Missing required plugins|fixture '\w+' not found)[^\n]*")


@dataclass(frozen=True)
class Judge:
    """What results are judged by: the wheel's extension modules and packages, and where the wheel is installed.

    ``sites`` are the paths of the site-packages folder, as the tests and as this process see it. ``expected`` has the
    tests that may fail, with the reasons.
    """

    modules: Sequence[str]
    packages: Sequence[str]
    sites: Sequence[str]
    expected: Mapping[str, str]

    def decide(self, verdict: Verdict, suite: SuiteResults, origin: str) -> Verdict:
        """Return the verdict with its outcome, count of tests, reason and findings."""
        results = suite.results
        passed = len(list_tests(results.with_outcome("passed")))
        count = f"{origin}: {passed} of {len(list_tests({*results.collected, *results.finished}))} tests passed"
        limits = list(dict.fromkeys([*results.limits, *self._find_limits(results)]))
        if findings := tuple(self._find_failures(results, limits)):
            why = f"{count}; {findings[0].splitlines()[0]}"
            return replace(verdict, outcome="failed", checks=passed, findings=findings, why=why)
        details = [count, *self._describe(suite)]
        if limits or not passed:
            why = "; ".join([*(limits or ["the test command has run no test"]), *details])
            return replace(verdict, outcome="unsupported", checks=passed, why=why)
        return replace(verdict, outcome="passed", checks=passed, why="; ".join(details))

    def _failed(self, results: Results) -> dict[str, str]:
        """Return the failed tests that aren't expected to fail, with details."""
        failed = results.with_outcome("failed")
        return {test: results.finished[test][1] for test in failed if test not in self.expected}

    def _find_limits(self, results: Results) -> Iterator[str]:
        for test, detail in self._failed(results).items():
            if limit := self._find_limit(detail):
                yield f"{limit} ({test})"

    def _find_limit(self, detail: str) -> str:
        """Return what a failed test lacks here; "" if it has failed by itself."""
        if detail.startswith(UNSUPPORTED_TEST):
            return detail.removeprefix(UNSUPPORTED_TEST).partition("\n")[0]
        if found := _MISSING_MODULE.findall(detail):
            name = found[-1].partition(".")[0]
            return "" if name in self.packages else f"the tests need {name}, which isn't installed: --test-requires"
        if found := _MISSING_LIBRARY.findall(detail):
            return f"the library {found[-1]}, which a system has, isn't in the root"
        return f"the tests need a plugin of pytest: {found[0]}" if (found := _PLUGIN.findall(detail)) else ""

    def _find_failures(self, results: Results, limits: Sequence[str]) -> Iterator[str]:
        yield from results.deaths
        for test, detail in self._failed(results).items():
            if not self._find_limit(detail):
                # A failure ends with its error, a crash begins with it.
                part = detail[:DETAIL] if detail.startswith(DEATH) else detail[-DETAIL:]
                yield f"{test} failed:\n{part}"
        missing = [test for test in results.collected if test not in results.finished and test not in self.expected]
        if missing and not results.deaths and not limits:
            yield f"never ran: {len(missing)}: {abbreviate(missing, SHOWN)}"
        yield from self._find_wrong_files(results.modules)
        if list_tests(results.with_outcome("passed")) and not set(self.modules) & set(results.modules) and not limits:
            yield f"the extension was never loaded, so that the tests ran without it: {', '.join(self.modules)}"

    def _find_wrong_files(self, files: Mapping[str, str]) -> Iterator[str]:
        for name in (*self.packages, *self.modules):
            file = files.get(name)
            if file and not any(file.startswith(f"{site}/") for site in self.sites):
                yield f"{name} was imported from {file}, not from the wheel: the source shadows it"

    def _describe(self, suite: SuiteResults) -> Iterable[str]:
        """Yield which tests of a good run did not pass, or not at once, and which modules no test has loaded."""
        results = suite.results
        failed = [test for test in results.with_outcome("failed") if test in self.expected]
        if failed:
            yield describe_expected_failures([self.expected[test] for test in failed])
        if skipped := results.with_outcome("skipped"):
            yield f"skipped: {len(skipped)}"
        if suite.second_try:
            yield f"passed only at the second try, alone: {', '.join(suite.second_try)}"
        if results.modules and (unused := [name for name in self.modules if name not in results.modules]):
            yield f"imports, but no test has loaded it: {abbreviate(unused, SHOWN)}"


def judge_project(
    verdict: Verdict, suite: ProjectSuite, results: SuiteResults, run: Run, sites: Sequence[str]
) -> Verdict:
    """Return the verdict on the results of a run of a project's tests, whose expected failures are known by ``run``."""
    distribution = parse_wheel_name(suite.wheel.name).distribution
    expected = find_expected_failures(distribution, run, results.results.finished)
    judge = Judge(suite.modules, list_packages(suite.modules), sites, expected)
    return judge.decide(verdict, results, suite.tests.origin)


def list_tests(names: Iterable[str]) -> list[str]:
    """Return the names without those of the imports of modules that no test has loaded."""
    return [name for name in names if not name.startswith("import ")]
