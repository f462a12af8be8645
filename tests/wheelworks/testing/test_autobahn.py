"""The comparison of two runs of the Autobahn test suite's cases."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from wheelworks.cli import test_autobahn as command
from wheelworks.core import summary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.testing import autobahn
from wheelworks.testing.autobahn import ORDER, Case, RoleResult

from tests.fixtures.schemas import jsonschema


def cases(*words: str) -> dict[str, Case]:
    return {f"1.1.{number}": Case(word, "OK") for number, word in enumerate(words)}


@pytest.mark.parametrize(("better", "worse"), list(itertools.pairwise(ORDER)))
def test_each_word_is_worse_than_the_one_before(better: str, worse: str) -> None:
    assert list(autobahn.find_worse_cases(cases(better), cases(worse))) == ["1.1.0"]
    assert autobahn.find_worse_cases(cases(worse), cases(better)) == {}
    assert autobahn.find_worse_cases(cases(worse), cases(worse)) == {}


def test_a_worse_close_counts() -> None:
    found = autobahn.find_worse_cases({"1": Case("OK", "OK")}, {"1": Case("OK", "UNCLEAN")})
    assert found == {"1": "OK, close OK with the speedups off, OK, close UNCLEAN with them on"}


def test_a_case_that_was_not_run_counts() -> None:
    assert autobahn.find_worse_cases(cases("FAILED"), {}) == {
        "1.1.0": "FAILED, close OK with the speedups off, never run with them on"
    }


def test_an_unknown_word_is_as_bad_as_the_worst() -> None:
    assert list(autobahn.find_worse_cases(cases("WRONG CODE"), cases("CONFUSED"))) == ["1.1.0"]


def test_a_section_without_a_good_case_proves_nothing() -> None:
    assert list(autobahn.find_empty_sections(cases("FAILED", "OK"), ["1"])) == []
    [finding] = autobahn.find_empty_sections(cases("UNIMPLEMENTED", "OK"), ["1", "12"])
    assert finding.startswith("section 12: not one case is OK")


def test_counts_are_from_good_to_bad() -> None:
    assert autobahn.count_cases(cases("FAILED", "OK", "NON-STRICT", "OK")) == "2 OK, 1 NON-STRICT, 1 FAILED"
    assert autobahn.count_cases({}) == "none"


def test_unreported_cases_are_named() -> None:
    log = "Running test case ID 1.1.0 for agent x\nRunning test case ID 7.5.1 for agent x\n"
    assert autobahn.find_unreported_cases(log, cases("OK")) == ["7.5.1"]


def test_reading_a_report(tmp_path: Path) -> None:
    report = tmp_path / "index.json"
    report.write_text(json.dumps({"tornado": {"1.1.1": {"behavior": "OK", "behaviorClose": "UNCLEAN", "duration": 1}}}))
    assert autobahn.read_cases(report) == {"1.1.1": Case("OK", "UNCLEAN")}


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"a": {}, "b": {}}', '{"a": {"1": {}}}', '{"a": [1]}'])
def test_a_report_that_is_none(text: str | None, tmp_path: Path) -> None:
    report = tmp_path / "index.json"
    if text is not None:
        report.write_text(text)
    with pytest.raises(WheelworksError, match="left no report"):
        autobahn.read_cases(report)


def test_sections() -> None:
    assert command.parse_sections("9,12,9") == ("9", "12")
    assert {"1", "7", "9", "12", "13"} < set(command.parse_sections("all"))
    with pytest.raises(UsageError, match="no section 8, x"):
        command.parse_sections("1,8,x")


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Darwin", "arm64"), ("Linux", "aarch64")])
def test_where_the_suite_is_not_pinned_for(system: str, machine: str) -> None:
    with pytest.raises(WheelworksError, match="pinned for Linux on x86-64"):
        autobahn.check_platform(system, machine)
    autobahn.check_platform("Linux", "x86_64")


def test_no_python_2(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match=r"no Python 2\.7") as caught:
        autobahn.find_python2({"PATH": str(tmp_path)}, tmp_path)
    assert "pyenv install 2.7.18" in caught.value.hint


def test_the_summary_names_roles_counts_and_worse_cases() -> None:
    off, on = cases("OK", "OK"), cases("OK", "FAILED")
    server = RoleResult("server", off, on, ("case 1.1.1: OK with the speedups off, FAILED with them on",), ("1.1.0",))
    result = command.summarize("CPython 3.11.0", [server, RoleResult("client", off, off, ())], 5.0)
    assert (result.status, result.counts) == (1, {"cases": 4, "worse": 1})
    assert result.failures[0].message.startswith("server: case 1.1.1: OK with")
    shown = " ".join(" ".join(summary.render(result, 80)).split())
    assert "Tornado as server, 2 cases: speedups off: 2 OK; on: 1 OK, 1 FAILED; worse: 1" in shown
    assert "server: case 1.1.0 passed only at the second try, alone" in shown
    jsonschema.validate(result.record(), summary.generate_schema())
