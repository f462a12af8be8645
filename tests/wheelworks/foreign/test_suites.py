import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.verdict import Verdict
from wheelworks.foreign.suites import judge
from wheelworks.testing import known_failures
from wheelworks.testing.outcomes import Outcomes
from wheelworks.testing.results import Told

START = Verdict("x.whl", "somehow", "unsupported")


def verdict(told: Told, reasons: dict[str, str] | None = None, second_try: tuple[str, ...] = ()) -> Verdict:
    return judge(START, Outcomes(told, reasons or {}, second_try), ["pkg._c"])


def told(**ended: str) -> Told:
    return Told(
        list(ended), {test: (outcome, "some detail") for test, outcome in ended.items()}, loaded={"pkg._c": "pkg/_c.so"}
    )


def test_all_passed() -> None:
    good = verdict(told(a="passed", b="passed"))
    assert (good.outcome, good.checks, good.findings, good.why) == ("passed", 2, (), "2 of 2 checks passed")


def test_named_exceptions_are_counted_with_their_reasons() -> None:
    seen = told(a="passed", b="skipped", c="skipped")
    seen.tests.append("d")
    good = verdict(seen, {"b": "no curl", "c": "no curl", "d": "no children", "z": "never met"})
    assert good.outcome == "passed"
    assert good.why == "1 of 4 checks passed; named exceptions: 3: no curl (2), no children (1)"


def test_second_tries_are_named() -> None:
    assert "second try, alone: a" in verdict(told(a="passed"), second_try=("a",)).why


def failing(told: Told) -> str:
    bad = verdict(told)
    assert bad.outcome == "failed" and len(bad.findings) == 1 and bad.findings[0].splitlines()[0] in bad.why
    return bad.findings[0]


def test_a_failed_test() -> None:
    assert failing(told(a="passed", b="failed")) == "b failed:\nsome detail"


def test_a_skip_that_is_no_named_exception() -> None:
    assert failing(told(a="passed", b="skipped")) == "skipped, and no named exception: 1: b (some detail)"


def test_a_test_that_never_ran() -> None:
    seen = told(a="passed")
    seen.tests += [f"t{number}" for number in range(12)]
    assert failing(seen).startswith("never ran, and no named exception: 12: t0, t1") and "and 2 more" in failing(seen)


def test_an_extension_that_was_never_loaded() -> None:
    seen = told(a="passed")
    seen.loaded.clear()
    assert "never loaded" in failing(seen) and "pkg._c" in failing(seen)


def test_a_hook_that_was_left_to_tornado() -> None:
    seen = told(a="passed")
    seen.hooks |= {"masking": "installed", "websocket": "left to Tornado 7.0, a version it doesn't know"}
    assert failing(seen) == "websocket: left to Tornado 7.0, a version it doesn't know"


def test_a_death_names_the_test() -> None:
    seen = told(a="passed")
    seen.tests += ["b", "c"]
    seen.begun.add("b")
    seen.deaths.append("the guest died of SIGSEGV\nlast words")
    assert failing(seen) == "the guest died of SIGSEGV during b\nlast words"


def test_nothing_checked_is_a_failure() -> None:
    assert failing(Told(loaded={"pkg._c": "pkg/_c.so"})) == "not one check passed"


def test_the_table_of_exceptions_is_sound() -> None:
    kinds = known_failures.parse(known_failures.TABLE.read_text(encoding="utf-8"))
    assert all(test.startswith("tornado.") for tests in kinds.values() for test in tests)
    assert known_failures.known_skips() and known_failures.needing_children()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('[[skips]]\ntests = ["a"]', "must have a reason and tests"),
        ('[[skips]]\nreason = "r"\ntests = []', "must have a reason and tests"),
        ('[[skips]]\nreason = ""\ntests = ["a"]', "must have a reason and tests"),
        ('[[skips]]\nreason = "r"\ntests = ["a", "a"]', "named twice in skips: a"),
        ('[[skips]]\nreason = "r"\ntests = ["a"]\n[[skips]]\nreason = "s"\ntests = ["a"]', "named twice in skips: a"),
        ('[[flaky]]\nreason = "r"\ntests = ["a"]', "unknown kind 'flaky'"),
    ],
)
def test_an_unsound_table_is_refused(text: str, finding: str) -> None:
    with pytest.raises(WheelworksError, match=finding):
        known_failures.parse(text)
