"""Judge the results of a run: whether they speak against the wheel, or only show what can't run here."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from wheelworks.core.junit import Results
from wheelworks.core.text import abbreviate
from wheelworks.core.verdict import Verdict
from wheelworks.foreign.site_packages import SitePackages
from wheelworks.testing import suites

SHOWN = 10  # tests of a list that share a finding
DETAIL = 1500  # characters


def judge_results(verdict: Verdict, suite: suites.SuiteResults, site: SitePackages) -> Verdict:
    """Return the verdict with its outcome, count of checks, reasons and findings.

    Anything unexplained is a failure. A limit explains how its worker ended, and what didn't run because of it.
    """
    results = suite.results
    passed = len(results.with_outcome("passed"))
    count = f"{passed} of {max(len(results.collected), len(results.finished))} checks passed"
    if findings := (*site.defects, *_find_failures(suite, site)):
        why = f"{count}; {findings[0].splitlines()[0]}"
        return replace(verdict, outcome="failed", checks=passed, findings=findings, why=why)
    if reasons := list(dict.fromkeys(results.limits)) or _explain_nothing(suite):
        why = "; ".join([*reasons[:SHOWN], count, *site.remarks])
        return replace(verdict, outcome="unsupported", checks=passed, why=why)
    return replace(
        verdict, outcome="passed", checks=passed, why="; ".join([count, *_describe_exceptions(suite), *site.remarks])
    )


def apply_limits(verdict: Verdict, site: SitePackages, loaded: Container[str]) -> Verdict:
    """Return "unsupported" for failures of a run that has ``loaded`` a module which can't run here (`limits`).

    Such a module is no excuse as long as it isn't loaded, nor for what is wrong with the binaries themselves.
    """
    reasons = [reason for module, reason in site.limits.items() if module in loaded]
    if verdict.outcome != "failed" or site.defects or not reasons:
        return verdict
    return replace(verdict, outcome="unsupported", findings=(), why="; ".join([*reasons, verdict.why]))


def _find_failures(suite: suites.SuiteResults, site: SitePackages) -> Iterable[str]:
    results = suite.results
    for death in filter(lambda death: not _is_limit(results, death), results.deaths):
        where = f" during {', '.join(sorted(results.running))}" if results.running else ""
        first, _, rest = death.partition("\n")
        yield f"{first}{where}\n{rest}".strip()
    for test in results.with_outcome("failed"):
        yield f"{test} failed:\n{results.finished[test][1][-DETAIL:]}"
    if skipped := [test for test in results.with_outcome("skipped") if test not in suite.reasons]:
        details = [f"{test} ({results.finished[test][1]})" for test in skipped]
        yield f"skipped, but not an expected failure: {len(details)}: {abbreviate(details, SHOWN)}"
    if not results.limits and not results.deaths:
        yield from _find_omissions(suite, site)
    yield from (f"{hook}: {status}" for hook, status in results.hooks.items() if status != "installed")


def _is_limit(results: Results, death: str) -> bool:
    """Return whether a worker ended because code of ours, which the module called, can't go on."""
    return bool(results.limits) and (suites.UNSUPPORTED in death or death.startswith(suites.ENDED_BY_SHIM))


def _find_omissions(suite: suites.SuiteResults, site: SitePackages) -> Iterable[str]:
    """Yield what should have run, and didn't, although all workers ended well. Modules are recorded at their end."""
    results = suite.results
    missing = [test for test in results.collected if test not in results.finished and test not in suite.reasons]
    if missing:
        yield f"never ran, but not an expected failure: {len(missing)}: {abbreviate(missing, SHOWN)}"
    excused = {test.removeprefix("import ") for test in suite.reasons}
    if unloaded := [name for name in site.modules if name not in results.modules and name not in excused]:
        yield f"the extension was never loaded, so that the tests ran without it: {', '.join(unloaded)}"
    if not results.with_outcome("passed") and not suite.reasons:
        yield "not one check passed"


def _explain_nothing(suite: suites.SuiteResults) -> list[str]:
    """Return why no check passed, if all of them were excused."""
    return [] if suite.results.with_outcome("passed") else list(dict.fromkeys(suite.reasons.values()))


def _describe_exceptions(suite: suites.SuiteResults) -> Iterable[str]:
    """Yield which tests of a good run did not pass, or not at once."""
    results = suite.results
    absent = [test for test in (results.collected or results.finished) if results.outcome_of(test) != "passed"]
    if absent:
        yield suites.describe_expected_failures([suite.reasons[test] for test in absent])
    if suite.second_try:
        yield f"passed only at the second try, alone: {', '.join(suite.second_try)}"
