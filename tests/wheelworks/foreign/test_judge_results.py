from dataclasses import replace
from pathlib import Path

from wheelworks.core.junit import Results
from wheelworks.core.verdict import Verdict
from wheelworks.foreign.judging import apply_limits, judge_results
from wheelworks.foreign.rewrap.limits import find_limits
from wheelworks.foreign.site_packages import SitePackages
from wheelworks.testing.suites import SuiteResults

START = Verdict("x.whl", "somehow", "unsupported")
SITE = SitePackages(Path("site"), ("pkg._c",), "pkg")


def verdict(found: Results, reasons: dict[str, str] | None = None, second_try: tuple[str, ...] = ()) -> Verdict:
    return judge_results(START, SuiteResults(found, reasons or {}, second_try), SITE)


def results(**finished: str) -> Results:
    details = {test: (outcome, "some detail") for test, outcome in finished.items()}
    return Results(list(finished), details, modules={"pkg._c": "pkg/_c.so"})


def test_all_passed() -> None:
    good = verdict(results(a="passed", b="passed"))
    assert (good.outcome, good.checks, good.findings, good.why) == ("passed", 2, (), "2 of 2 checks passed")


def test_expected_failures_are_counted_with_their_reasons() -> None:
    seen = results(a="passed", b="skipped", c="skipped")
    seen.collected.append("d")
    good = verdict(seen, {"b": "no curl", "c": "no curl", "d": "no children", "z": "never met"})
    assert good.outcome == "passed"
    assert good.why == "1 of 4 checks passed; expected failures: 3: no curl (2), no children (1)"


def test_second_tries_are_named() -> None:
    assert "second try, alone: a" in verdict(results(a="passed"), second_try=("a",)).why


def failing(found: Results) -> str:
    bad = verdict(found)
    assert bad.outcome == "failed" and len(bad.findings) == 1 and bad.findings[0].splitlines()[0] in bad.why
    return bad.findings[0]


def test_a_failed_test() -> None:
    assert failing(results(a="passed", b="failed")) == "b failed:\nsome detail"


def test_a_skip_that_is_not_expected() -> None:
    assert failing(results(a="passed", b="skipped")) == "skipped, but not an expected failure: 1: b (some detail)"


def test_a_test_that_never_ran() -> None:
    seen = results(a="passed")
    seen.collected += [f"t{number}" for number in range(12)]
    assert failing(seen).startswith("never ran, but not an expected failure: 12: t0, t1") and "and 2 more" in failing(
        seen
    )


def test_an_extension_that_was_never_loaded() -> None:
    seen = results(a="passed")
    seen.modules.clear()
    assert "never loaded" in failing(seen) and "pkg._c" in failing(seen)


def test_a_hook_that_was_left_to_tornado() -> None:
    seen = results(a="passed")
    seen.hooks |= {"masking": "installed", "websocket": "left to Tornado 7.0, a version it doesn't know"}
    assert failing(seen) == "websocket: left to Tornado 7.0, a version it doesn't know"


def test_a_death_is_the_only_finding() -> None:
    """A dead worker has not recorded which modules it had loaded, and has not begun the tests after its last one."""
    seen = replace(results(), collected=["a", "b"], running={"a"}, deaths=["the worker died of SIGSEGV"], modules={})
    assert failing(seen) == "the worker died of SIGSEGV during a"


def test_a_death_names_the_test() -> None:
    seen = results(a="passed")
    seen.collected += ["b", "c"]
    seen.running.add("b")
    seen.deaths.append("the worker died of SIGSEGV\nlast words")
    assert failing(seen) == "the worker died of SIGSEGV during b\nlast words"


def test_nothing_checked_is_a_failure() -> None:
    assert failing(Results(modules={"pkg._c": "pkg/_c.so"})) == "not one check passed"


def test_a_limit_that_ended_a_worker_is_no_failure() -> None:
    """The shim ends the process, so that later checks never run."""
    deaths = ["the worker ended with exit code 99\nwheelworks: unsupported: it calls KERNEL32.dll!CreateFiber"]
    seen = Results(["a", "b"], {"a": ("passed", "")}, deaths=deaths, limits=["it calls KERNEL32.dll!CreateFiber"])
    found = verdict(seen)
    assert (found.outcome, found.checks, found.findings) == ("unsupported", 1, ())
    assert found.why == "it calls KERNEL32.dll!CreateFiber; 1 of 2 checks passed"


def test_a_limit_excuses_no_failure() -> None:
    seen = results(a="failed", b="passed")
    seen.limits.append("something else")
    assert verdict(seen).findings == ("a failed:\nsome detail",)


def test_nothing_but_excuses_is_unsupported() -> None:
    found = verdict(results(a="skipped"), {"a": "it needs the module numpy"})
    assert (found.outcome, found.findings) == ("unsupported", ())
    assert found.why == "it needs the module numpy; 0 of 1 checks passed"


def test_a_module_that_was_excused_need_not_be_loaded() -> None:
    seen = Results([], {"import pkg": ("passed", ""), "import pkg._c": ("skipped", "x")})
    good = verdict(seen, {"import pkg._c": "it needs the module cffi"})
    assert (good.outcome, good.why) == (
        "passed",
        "1 of 2 checks passed; expected failures: 1: it needs the module cffi (1)",
    )


def test_what_the_binaries_show_is_said() -> None:
    site = replace(SITE, remarks=("2 imports unresolved: a, b",), defects=())
    suite = SuiteResults(results(a="passed"))
    assert judge_results(START, suite, site).why == "1 of 1 checks passed; 2 imports unresolved: a, b"
    bad = judge_results(START, suite, replace(site, defects=("pkg/_c.pyd: it imports PyNo_Such",)))
    assert (bad.outcome, bad.findings) == ("failed", ("pkg/_c.pyd: it imports PyNo_Such",))


def test_a_crash_beside_a_limit_is_a_failure() -> None:
    seen = Results([], {"a": ("passed", "")}, {"b"}, deaths=["the worker died of SIGSEGV"], limits=["something"])
    assert verdict(seen).findings == ("the worker died of SIGSEGV during b",)


GREENLET = {"greenlet._greenlet": "its thread state differs"}


def test_a_module_that_cannot_run_here_explains_failures_once_it_is_loaded() -> None:
    seen = results(a="passed", b="failed")
    seen.modules["greenlet._greenlet"] = "/site/greenlet/_greenlet.so"
    site = replace(SITE, limits=GREENLET)
    judged = apply_limits(judge_results(START, SuiteResults(seen), site), site, seen.modules)
    assert (judged.outcome, judged.findings, judged.checks) == ("unsupported", (), 1)
    assert judged.why.startswith("its thread state differs; 1 of 2 checks passed; b failed")


def test_a_module_that_cannot_run_here_excuses_nothing_else() -> None:
    good, bad, site = results(a="passed"), results(a="passed", b="failed"), replace(SITE, limits=GREENLET)
    loaded = {"greenlet._greenlet"}
    assert apply_limits(judge_results(START, SuiteResults(good), site), site, loaded).outcome == "passed"
    assert apply_limits(judge_results(START, SuiteResults(bad), site), site, set()).outcome == "failed"
    assert apply_limits(judge_results(START, SuiteResults(bad), SITE), SITE, loaded).outcome == "failed"
    wrong = replace(site, defects=("no CPython has PyNo_Such",))
    assert apply_limits(judge_results(START, SuiteResults(good), wrong), wrong, loaded).outcome == "failed"


def test_the_limit_is_one_of_windows() -> None:
    modules = ("greenlet._greenlet", "greenlet.tests._test_extension")
    [(name, reason)] = find_limits("windows", modules).items()
    assert name == modules[0] and "PyThreadState" in reason
    assert not find_limits("macos", modules) and not find_limits("windows", ["demo._c"])
