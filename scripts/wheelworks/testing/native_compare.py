"""What two runs of Tornado's suite, with the speedups off and on, say of the speedups. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelworks.testing.outcomes import Outcomes
from wheelworks.testing.results import Told

DETAIL = 1500  # characters

PACKAGE, EXTENSION = "tornado_speedups", "tornado_speedups._speedups"
FASTER_ALREADY = "whose C is faster"  # what a wheel without C says where it leaves Tornado's own C in place


@dataclass(frozen=True)
class Counts:
    """How many tests of a run passed, failed and were skipped."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} / {self.failed}" + (f" ({self.skipped} skipped)" if self.skipped else "")


def counts(seen: Outcomes) -> Counts:
    """The counts of a run."""
    return Counts(*(len(seen.told.having(outcome)) for outcome in ("passed", "failed", "skipped")))


def new_failures(off: Told, on: Told) -> dict[str, str]:
    """What went wrong with the speedups on, and not with them off, the last try of each counting: details by test.

    A test that passes without them must pass with them: to be skipped, or not to run, is a failure. One that is
    there with them alone must not fail.
    """
    wrong: dict[str, str] = {}
    for test in dict.fromkeys([*off.ended, *on.tests, *on.ended]):
        before, _ = off.ended.get(test, ("missing", ""))
        after, detail = on.ended.get(test, ("missing", "it never ran"))
        if (before == "passed" and after != "passed") or (before != "failed" and after == "failed"):
            wrong[test] = f"{after}:\n{_shown(detail)}"
    return wrong


def _shown(detail: str) -> str:
    """The end of what a test said, without the line that would look as if this program had failed."""
    return detail.removeprefix("Traceback (most recent call last):\n")[-DETAIL:]


def failing_in_both(off: Told, on: Told) -> list[str]:
    """The tests that fail without the speedups too, which say nothing of them."""
    return [test for test in off.having("failed") if on.ended.get(test, ("", ""))[0] == "failed"]


def compared(off: Outcomes, on: Outcomes, excused: Mapping[str, str]) -> Iterator[str]:
    """The findings of two runs, those of tests that ``excused`` names left out."""
    yield from deaths(off.told, "with the speedups off")
    yield from deaths(on.told, "with the speedups on")
    if not off.told.having("passed"):
        yield "not one of Tornado's tests passed with the speedups off: there is nothing to compare with"
    for test, detail in new_failures(off.told, on.told).items():
        if test not in excused:
            yield f"{test}: passes with the speedups off, and with them on {detail}"


def package_findings(seen: Outcomes) -> Iterator[str]:
    """The findings of a run of the package's own tests."""
    yield from deaths(seen.told, "in the package's own tests")
    for test in seen.told.having("failed"):
        yield f"{test} failed:\n{_shown(seen.told.ended[test][1])}"
    if not seen.told.having("passed"):
        yield "not one of the package's own tests passed"


def deaths(told: Told, when: str) -> Iterator[str]:
    """The guests that did not end well."""
    for death in told.deaths:
        during = f", during {', '.join(sorted(told.begun))}" if told.begun else ""
        yield f"{when}{during}: {death}"


def imported_findings(told: Told, environment: Path, with_c: bool, on: bool) -> Iterator[str]:
    """What is wrong with the modules that a run has loaded: they must be those that were installed, and no others."""
    needed = {"tornado", PACKAGE, *([EXTENSION] if with_c else [])} if on else {"tornado"}
    for name in sorted(needed - told.loaded.keys()):
        yield f"{name} was never loaded, so that the tests ran without it"
    for name in sorted({PACKAGE, EXTENSION} & told.loaded.keys() - needed):
        yield f"{name} was loaded from {told.loaded[name]}, and should not have been"
    for name in sorted(needed & told.loaded.keys()):
        if not Path(told.loaded[name]).resolve().is_relative_to(environment.resolve()):
            yield f"{name} was loaded from {told.loaded[name]}, which is not the environment"


def hook_findings(told: Told, with_c: bool) -> Iterator[str]:
    """The hooks that were left to Tornado, so that its tests say nothing of them."""
    for hook, text in told.hooks.items():
        if text != "installed" and (with_c or FASTER_ALREADY not in text):
            yield f"{hook}: {text}"
    if not told.hooks:
        yield "install() told of no hook"


def excused_words(on: Told, excused: Mapping[str, str]) -> Iterable[str]:
    """The named exceptions that were made use of, with the reasons."""
    return [f"{test}: {reason}" for test, reason in excused.items() if on.ended.get(test, ("", ""))[0] != "passed"]
