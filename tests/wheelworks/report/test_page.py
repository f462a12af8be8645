"""Test the page as text: no text of a manifest becomes markup, and each state is shown in words."""

from __future__ import annotations

import re
from collections.abc import Collection
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from wheelworks.core.manifest import Manifest
from wheelworks.core.text import escape_invisible
from wheelworks.report import model, page
from wheelworks.report.page import Figure, Section

from tests.wheelworks.manifests import run, source, wheel
from tests.wheelworks.report.manifests import EXTENSION, HOSTILE, SAMPLE, hostile

TAGS = frozenset(
    """
    html head meta title style script body a header h1 h2 h3 p button main section form label input select option
    table thead tbody tr th td div span ul li code strong details summary dl dt dd pre small
    """.split()  # noqa: SIM905  # lines are easier to read than a list of one word each
)
ATTRIBUTES = frozenset(
    """
    lang charset http-equiv content name type class href id aria-pressed aria-label aria-labelledby aria-hidden
    aria-sort role for autocomplete spellcheck value scope title tabindex data-abi data-size data-states data-text
    """.split()  # noqa: SIM905  # lines are easier to read than a list of one word each
)


class Seen(HTMLParser):
    """Collect the tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def check(text: str, tags: Collection[str] = (), attributes: Collection[str] = ()) -> Seen:
    """Parse a page, and assert that it has only the expected elements and attributes."""
    text.encode()
    seen = Seen(text)
    assert seen.open == []
    assert set(seen.tags) <= TAGS.union(tags)
    assert {name for name, _ in seen.attributes} <= ATTRIBUTES.union(attributes)
    assert (seen.tags.count("script"), seen.tags.count("style")) == (1, 1)
    assert all(re.fullmatch(r"#[a-z]+(-\d+)?", value) for name, value in seen.attributes if name == "href")
    return seen


@given(text=st.text() | st.sampled_from(HOSTILE))
def test_text_stays_text(text: str) -> None:
    seen = Seen(page.make_environment().from_string('<p title="{{ text }}">{{ text }}</p>').render(text=text))
    assert seen.tags == ["p"]
    assert "".join(seen.text) == escape_invisible(text)
    assert seen.attributes == [("title", escape_invisible(text))]


def test_a_very_long_text_is_cut_and_marked() -> None:
    longest, longer = "a" * page.MAX_TEXT, "\u202e" * (page.MAX_TEXT + 1)
    template = page.make_environment().from_string("{{ text }}|{{ [text, text] | join('\\n') }}|{{ text | cut | cut }}")
    assert template.render(text=longest) == f"{longest}|{longest}\n{longest}|{longest}"
    note = "... (cut: 2,001 characters)"
    cut = escape_invisible("\u202e" * (page.MAX_TEXT - len(note))) + note
    assert template.render(text=longer) == f"{cut}|{cut}\n{cut}|{cut}"


def test_long_texts_of_a_manifest_are_cut_and_whole_lists_are_not() -> None:
    names = [f"Py{number:04}_{'x' * 80}" for number in range(100)]
    extension = replace(EXTENSION, imports={"python3.dll": names})
    found = run("failed", why="why " * 5000, findings=["line\n" * 5000])
    record = replace(wheel("a-1-cp311-abi3-win_arm64.whl", runs=[found]), extensions=[extension])
    seen = check(page.render_page(replace(SAMPLE, wheels=[record])))
    text = "".join(seen.text)
    assert "(cut: 20,000 characters)" in text and "(cut: 25,000 characters)" in text
    assert text.count("why ") < page.MAX_TEXT and text.count("line\n") < page.MAX_TEXT
    assert ", ".join(names) in text
    assert any(" ".join(names).casefold() in value for name, value in seen.attributes if name == "data-text")


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.text() | st.sampled_from(HOSTILE), min_size=1, max_size=30))
def test_text_of_a_manifest_stays_text(texts: list[str]) -> None:
    record = hostile(texts)
    seen = check(page.render_page(record))
    assert seen.tags.count("details") == len(record.wheels)
    assert all(escape_invisible(one.file) in "".join(seen.text) for one in record.wheels)


def test_text_of_figures_stays_text() -> None:
    figures = [Figure(text, text.encode("utf-8", "replace"), [text], [[text, text]]) for text in HOSTILE]
    section = Section("Speed", "speed", {text: text for text in HOSTILE}, figures)
    seen = check(page.render_page(SAMPLE, [section]), {"figure", "figcaption", "img"}, {"src", "alt"})
    assert seen.tags.count("img") == len(HOSTILE)
    sources = [value for name, value in seen.attributes if name == "src"]
    assert all(re.fullmatch(r"data:image/svg\+xml;base64,[A-Za-z0-9+/]+=*", value) for value in sources)


def test_a_hostile_manifest_stays_text() -> None:
    seen = check(page.render_page(hostile()))
    assert "window.hacked" in "".join(seen.text)


@pytest.mark.parametrize(
    ("raw", "seen"), [("a\u202eb", "a\\u{202e}b"), ("\x1b[1m", "\\u{1b}[1m"), ("\ud800", "\\u{d800}")]
)
def test_invisible_characters_are_spelled_out(raw: str, seen: str) -> None:
    assert escape_invisible(raw) == seen


def test_the_policy_allows_the_page_itself_and_nothing_else() -> None:
    seen = check(page.render_page(SAMPLE))
    [policy] = [value for name, value in seen.attributes if name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy


def test_the_same_manifest_gives_the_same_page() -> None:
    assert page.render_page(SAMPLE) == page.render_page(msgspec.json.decode(msgspec.json.encode(SAMPLE), type=Manifest))


def states(name: str) -> dict[str, tuple[str, str]]:
    [found] = [one for one in model.list_wheels(SAMPLE) if name in one.record.file]
    return {step.name: (step.state, step.text) for step in found.steps}


def test_passed_steps() -> None:
    assert states("311-abi3-win_arm64") == {
        "built": ("pass", "freestanding"),
        "audited": ("pass", "passed"),
        "executed": ("pass", "emulated CPU, 98 checks"),
        "reproduced": ("pass", "same bytes, 2 things varied"),
    }


def test_failed_steps() -> None:
    found = states("macosx")
    assert found["audited"] == ("fail", "1 error")
    assert found["executed"] == ("fail", "failed: emulated CPU")
    assert found["reproduced"] == ("fail", "other bytes")


def test_warnings_and_pending_steps() -> None:
    assert states("ppc64le")["audited"] == ("warning", "1 warning")
    assert states("ppc64le")["executed"] == ("warning", "unsupported")
    assert {states("314t")[step] for step in ("audited", "executed", "reproduced")} == {("pending", "not yet")}


def test_a_failed_run_outweighs_a_passed_one() -> None:
    runs = [run("passed"), run("failed", how="CPython under qemu")]
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=runs))
    assert model.find_execution(one.record) == model.Step("executed", "fail", "failed: CPython under qemu")


def test_an_unknown_outcome_does_not_pass() -> None:
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=[run("perfect")]))
    assert model.find_execution(one.record).state == "warning"


def test_proofs_are_counted() -> None:
    heads = [head for head, _ in model.summarize_proofs(model.list_wheels(SAMPLE))]
    assert heads[:3] == [
        "Built: 5.",
        "Audited: 1 of 5 passed, 1 with warnings, 1 failed.",
        "Run on an emulated CPU: 1 of 4.",
    ]
    assert heads[3] == "Run under a real CPython of their CPU: under qemu 0 of 4, on this machine 0, natively in CI 0."
    assert heads[4] == "Run under a real CPython of Linux, rewrapped from Windows or macOS: 0 of 4."


@pytest.mark.parametrize("under", [" under qemu 7.2 as cortex-a53", ""])
def test_a_rewrapped_run_is_a_kind_of_its_own(under: str) -> None:
    """It doesn't count as one that the system's loader accepted."""
    how = f"CPython 3.13.5 for arm64, code of Windows rewrapped{under}, in private namespaces"
    one = model.make_wheel(wheel("a-1-cp313-cp313-win_arm64.whl", runs=[run("passed", how=how)]))
    assert model.classify_run(one.record.runs[0]) == model.REWRAPPED
    heads = [head for head, _ in model.summarize_proofs([one])]
    assert "Run under a real CPython of their CPU: under qemu 0 of 1, on this machine 0, natively in CI 0." in heads
    assert "Run under a real CPython of Linux, rewrapped from Windows or macOS: 1 of 1." in heads


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("emulated CPU, aarch64 Windows, CPython 3.12", model.EMULATED),
        ("CPython 3.13.5 for arm64 under qemu 7.2.22 as cortex-a53, in private namespaces", model.QEMU),
        ("CPython 3.13.5 for amd64, in private namespaces", model.NATIVE),
        ("CPython 3.14t of this machine", model.NATIVE),
        ("CPython 3.13 here", model.NATIVE),
        ("CPython 3.13 here, with Tornado 6.5", model.NATIVE),
        ("CPython 3.13 in CI, with Tornado 6.5", model.CI),
        ("CPython", "CPython"),
    ],
)
def test_a_run_is_of_the_kind_that_its_description_says(how: str, kind: str) -> None:
    assert model.classify_run(run("passed", how=how)) == kind


def test_the_limits_of_rewrapped_runs_are_listed_where_there_are_any() -> None:
    how = "CPython 3.13.5 for arm64, code of Windows rewrapped under qemu 7.2, in private namespaces"
    passed, not_run = (
        model.make_wheel(wheel("a-1-cp313-cp313-win_arm64.whl", runs=[run(outcome, how=how)]))
        for outcome in ("passed", "unsupported")
    )
    limit = "pointer authentication (PAC) was off"
    assert limit in "\n".join(model.summarize_limits([passed]))
    assert limit not in "\n".join(model.summarize_limits([not_run]))


def test_limits_are_listed() -> None:
    text = "\n".join(model.summarize_limits(model.list_wheels(SAMPLE)))
    assert "1 could not be run here: there is no CPython of its CPU" in text
    assert "2 of 5 wheels were not audited yet." in text
    assert "targets without a wheel in this folder: manylinux_2_17_aarch64" in text


def test_the_commands_are_those_of_the_commit() -> None:
    assert f"git checkout {SAMPLE.source.commit}" in model.list_commands(SAMPLE.source)
    assert "rm -rf" not in "".join(model.list_commands(source(commit="0; rm -rf /")))


def test_a_name_cannot_become_a_command() -> None:
    seen = check(page.render_page(replace(SAMPLE, source=source(name="x\nrm -rf /"))))
    assert "# x\\u{a}rm -rf /, on one Linux machine\nnox -s build-wheels" in "".join(seen.text)


def test_long_lists_are_cut_with_a_note() -> None:
    found = model.limit_items(["x"] * 1000)
    assert (len(found), found[-1]) == (model.MAX_ITEMS + 1, "and 700 more")


def test_a_wheel_of_an_unknown_platform_is_under_its_tags() -> None:
    one = model.make_wheel(wheel("a-1-cp311-abi3-plan9_mips.whl", abi=""))
    assert (one.platform, one.abi) == ("plan9_mips", "cp311-abi3")
