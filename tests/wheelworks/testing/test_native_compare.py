"""What two runs of Tornado's suite say: every finding has a pair of runs that trips it."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.testing import native_compare
from wheelworks.testing.outcomes import Outcomes
from wheelworks.testing.results import Told, ended_by


def told(**ended: str) -> Told:
    return Told(list(ended), {test: (outcome, f"{outcome} it has") for test, outcome in ended.items()})


def findings(off: Told, on: Told, **excused: str) -> list[str]:
    return list(native_compare.compared(Outcomes(off), Outcomes(on), excused))


def test_equal_runs_have_no_findings() -> None:
    both = {"a": "passed", "b": "failed", "c": "skipped"}
    assert findings(told(**both), told(**both)) == []
    assert native_compare.failing_in_both(told(**both), told(**both)) == ["b"]


@pytest.mark.parametrize("after", ["failed", "skipped"])
def test_a_test_that_passed_must_pass(after: str) -> None:
    [finding] = findings(told(a="passed", b="passed"), told(a="passed", b=after))
    assert finding == f"b: passes with the speedups off, and with them on {after}:\n{after} it has"


def test_a_test_that_passed_must_run() -> None:
    on = told(a="passed")
    on.tests.append("b")
    assert findings(told(a="passed", b="passed"), on) == [
        "b: passes with the speedups off, and with them on missing:\nit never ran"
    ]


def test_a_skipped_test_must_not_fail() -> None:
    assert len(findings(told(a="passed", b="skipped"), told(a="passed", b="failed"))) == 1


def test_a_test_that_is_there_with_the_speedups_alone_must_not_fail() -> None:
    assert len(findings(told(a="passed"), told(a="passed", new="failed"))) == 1
    assert findings(told(a="passed"), told(a="passed", new="passed")) == []


def test_a_test_that_fails_without_the_speedups_says_nothing() -> None:
    assert findings(told(a="passed", b="failed"), told(a="passed", b="passed")) == []


def test_the_last_try_counts() -> None:
    """A test that passes now and then without the speedups must do so with them."""
    off, on = told(a="passed", b="passed"), told(a="passed", b="failed")
    for flaky in (Outcomes(off, second_try=("b",)), Outcomes(off)):
        assert len(list(native_compare.compared(flaky, Outcomes(on), {}))) == 1
        assert list(native_compare.compared(flaky, Outcomes(off, second_try=("b",)), {})) == []


def test_a_named_exception_is_no_finding_and_is_told() -> None:
    on = told(a="passed", b="failed")
    assert findings(told(a="passed", b="passed"), on, b="because") == []
    assert native_compare.excused_words(on, {"b": "because", "a": "not so"}) == ["b: because"]


@pytest.mark.parametrize("which", ["off", "on"])
def test_a_death_in_either_run(which: str) -> None:
    off, on = told(a="passed"), told(a="passed")
    dying = {"off": off, "on": on}[which]
    dying.deaths.append("the guest died of SIGSEGV")
    dying.begun.add("b")
    assert findings(off, on) == [f"with the speedups {which}, during b: the guest died of SIGSEGV"]


def test_nothing_to_compare_with() -> None:
    [finding] = findings(told(a="failed"), told(a="failed"))
    assert "nothing to compare with" in finding


def test_the_packages_own_tests_must_pass() -> None:
    [finding] = native_compare.package_findings(Outcomes(told(a="passed", b="failed", c="skipped")))
    assert finding == "b failed:\nfailed it has"
    [finding] = native_compare.package_findings(Outcomes(told(a="skipped")))
    assert finding == "not one of the package's own tests passed"


FILES = {
    "tornado": "lib/tornado/__init__.py",
    native_compare.PACKAGE: "lib/ours.py",
    native_compare.EXTENSION: "lib/c.so",
}


def imported(tmp_path: Path, on: bool = True, with_c: bool = True, **changed: str) -> list[str]:
    files = {name: str(tmp_path / changed.get(name.rpartition(".")[2], file)) for name, file in FILES.items()}
    loaded = {name: file for name, file in files.items() if not file.endswith("none")}
    return list(native_compare.imported_findings(Told(loaded=loaded), tmp_path / "lib", with_c, on))


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
    assert list(native_compare.hook_findings(Told(hooks={"a": "installed"}), with_c=True)) == []
    assert list(native_compare.hook_findings(Told(hooks={"a": left}), with_c=True)) == [f"a: {left}"]
    assert list(native_compare.hook_findings(Told(hooks={"a": faster}), with_c=True)) == [f"a: {faster}"]
    assert list(native_compare.hook_findings(Told(hooks={"a": faster}), with_c=False)) == []
    assert list(native_compare.hook_findings(Told(), with_c=True)) == ["install() told of no hook"]


def test_counts() -> None:
    assert str(native_compare.counts(Outcomes(told(a="passed", b="failed", c="skipped")))) == "1 / 1 (1 skipped)"
    assert str(native_compare.counts(Outcomes(told(a="passed")))) == "1 / 0"


@pytest.mark.parametrize(
    ("code", "words"),
    [(-11, "died of SIGSEGV"), (139, "died of SIGSEGV"), (3, "exit code 3"), (0xC0000005, "exit code 0xc0000005")],
)
def test_ends_are_named_on_every_host(code: int, words: str) -> None:
    assert words in ended_by(code)
