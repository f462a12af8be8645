"""The comparison of two runs of Tornado's suite. For every finding, a pair of runs causes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.junit import Results
from wheelworks.testing import native


def results(**finished: str) -> Results:
    return Results(list(finished), {test: (outcome, f"{outcome} it has") for test, outcome in finished.items()})


def findings(off: Results, on: Results, **excused: str) -> list[str]:
    return list(native.compare_runs(off, on, excused))


def test_equal_runs_have_no_findings() -> None:
    both = {"a": "passed", "b": "failed", "c": "skipped"}
    assert findings(results(**both), results(**both)) == []
    assert native.list_failing_in_both(results(**both), results(**both)) == ["b"]


@pytest.mark.parametrize("after", ["failed", "skipped"])
def test_a_test_that_passed_must_pass(after: str) -> None:
    [finding] = findings(results(a="passed", b="passed"), results(a="passed", b=after))
    assert finding == f"b: passes with the speedups off, and with them on {after}:\n{after} it has"


def test_a_test_that_passed_must_run() -> None:
    on = results(a="passed")
    on.collected.append("b")
    assert findings(results(a="passed", b="passed"), on) == [
        "b: passes with the speedups off, and with them on missing:\nit never ran"
    ]


def test_a_skipped_test_must_not_fail() -> None:
    assert len(findings(results(a="passed", b="skipped"), results(a="passed", b="failed"))) == 1


def test_a_test_that_is_there_with_the_speedups_alone_must_not_fail() -> None:
    assert len(findings(results(a="passed"), results(a="passed", new="failed"))) == 1
    assert findings(results(a="passed"), results(a="passed", new="passed")) == []


def test_a_test_that_fails_without_the_speedups_says_nothing() -> None:
    assert findings(results(a="passed", b="failed"), results(a="passed", b="passed")) == []


def test_the_last_try_counts() -> None:
    """If a test passes without the speedups, its last try with them must pass."""
    off, on = results(a="passed", b="passed"), results(a="passed", b="failed")
    assert len(findings(off, on)) == 1
    on.finished.update(results(b="passed").finished)
    assert findings(off, on) == []


def test_an_expected_failure_is_no_finding_and_is_reported() -> None:
    on = results(a="passed", b="failed")
    assert findings(results(a="passed", b="passed"), on, b="because") == []
    assert native.list_excused(on, {"b": "because", "a": "not so"}) == ["b: because"]


@pytest.mark.parametrize("which", ["off", "on"])
def test_a_death_in_either_run(which: str) -> None:
    off, on = results(a="passed"), results(a="passed")
    dying = {"off": off, "on": on}[which]
    dying.deaths.append("the worker died of SIGSEGV")
    dying.running.add("b")
    assert findings(off, on) == [f"with the speedups {which}, during b: the worker died of SIGSEGV"]


def test_a_run_that_is_out_of_time_proves_nothing() -> None:
    late = results(a="passed")
    late.limits.append("the time limit is over")
    assert list(native.find_package_failures(late)) == ["in the package's own tests: the time limit is over"]


def test_nothing_to_compare_with() -> None:
    [finding] = findings(results(a="failed"), results(a="failed"))
    assert "nothing to compare with" in finding


def test_the_packages_own_tests_must_pass() -> None:
    [finding] = native.find_package_failures(results(a="passed", b="failed", c="skipped"))
    assert finding == "b failed:\nfailed it has"
    [finding] = native.find_package_failures(results(a="skipped"))
    assert finding == "not one of the package's own tests passed"


FILES = {
    "tornado": "lib/tornado/__init__.py",
    native.PACKAGE: "lib/ours.py",
    native.EXTENSION: "lib/c.so",
}


def imported(tmp_path: Path, on: bool = True, with_c: bool = True, **changed: str) -> list[str]:
    files = {name: str(tmp_path / changed.get(name.rpartition(".")[2], file)) for name, file in FILES.items()}
    loaded = {name: file for name, file in files.items() if not file.endswith("none")}
    return list(native.find_wrong_modules(Results(modules=loaded), tmp_path / "lib", with_c, on))


def test_modules_must_come_from_the_environment(tmp_path: Path) -> None:
    assert imported(tmp_path) == []
    [finding] = imported(tmp_path, tornado_speedups="checkout/src/ours.py")
    assert "checkout" in finding and "is not the environment" in finding
    [finding] = imported(tmp_path, _speedups="none")
    assert finding == "tornado_speedups._speedups was never loaded, so that the tests ran without it"
    [finding] = imported(tmp_path, with_c=False)
    assert "tornado_speedups._speedups was loaded from" in finding
    assert len(imported(tmp_path, on=False)) == 2
    assert imported(tmp_path, on=False, tornado_speedups="none", _speedups="none") == []


def test_hooks_that_are_left_to_tornado() -> None:
    left = "left to Tornado 7.0, a version it doesn't know"
    faster = "left to Tornado 6.6.1, whose C is faster"
    assert list(native.find_missing_hooks(Results(hooks={"a": "installed"}), with_c=True)) == []
    assert list(native.find_missing_hooks(Results(hooks={"a": left}), with_c=True)) == [f"a: {left}"]
    assert list(native.find_missing_hooks(Results(hooks={"a": faster}), with_c=True)) == [f"a: {faster}"]
    assert list(native.find_missing_hooks(Results(hooks={"a": faster}), with_c=False)) == []
    assert list(native.find_missing_hooks(Results(), with_c=True)) == ["install() reported no hooks"]


def test_counts() -> None:
    assert str(native.count_outcomes(results(a="passed", b="failed", c="skipped"))) == "1 / 1 (1 skipped)"
    assert str(native.count_outcomes(results(a="passed"))) == "1 / 0"
