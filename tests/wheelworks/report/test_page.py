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
from wheelworks.report import model, page, problems, summary
from wheelworks.report.page import Beside, Figure, Section

from tests.wheelworks.manifests import run, source, wheel
from tests.wheelworks.report.manifests import (
    DATE,
    EXTENSION,
    FAILED,
    HOSTILE,
    NEVER_AUDITED,
    PARTIAL,
    SAMPLE,
    UNSUPPORTED,
    URL,
    audit,
    hostile,
    release,
)

TAGS = frozenset(
    """
    html head meta title style body a header h1 h2 h3 h4 p main nav section article
    table thead tbody tr th td div span ul li code strong details summary dl dt dd pre small
    """.split()  # noqa: SIM905  # lines are easier to read than a list of one word each
)
ATTRIBUTES = frozenset(
    """
    lang charset http-equiv content name class href id aria-label aria-hidden role scope title tabindex
    """.split()  # noqa: SIM905  # lines are easier to read than a list of one word each
)


WARNED = audit("warning", "warning")


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
    assert seen.tags.count("style") == 1
    links = [value for name, value in seen.attributes if name == "href"]
    kinds = rf"#[a-z]+(-[A-Za-z0-9]+)*|\./[\w.+!-]+\.(whl|tar\.gz)|{URL}/commit/{SAMPLE.source.commit}"
    assert all(re.fullmatch(kinds, value) for value in links)
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids)) and {link[1:] for link in links if link[0] == "#"} <= {*ids, "only-all"}
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


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.text() | st.sampled_from(HOSTILE), min_size=1, max_size=30))
def test_text_of_a_manifest_stays_text(texts: list[str]) -> None:
    record = hostile(texts)
    seen = check(page.render_page(record))
    articles = [value for name, value in seen.attributes if name == "id" and value.startswith("wheel-")]
    assert len(articles) == len(record.wheels) + len(record.failures)
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
        "run": ("pass", "emulated CPU, 98 checks"),
        "reproduced": ("pass", "same bytes, 2 things varied"),
    }


def test_failed_steps() -> None:
    found = states("macosx")
    assert found["audited"] == ("fail", "1 error")
    assert found["run"] == ("fail", "failed: emulated CPU")
    assert found["reproduced"] == ("fail", "other bytes")


def test_warnings_and_pending_steps() -> None:
    assert states("ppc64le")["audited"] == ("warning", "1 warning")
    assert states("ppc64le")["run"] == ("unsupported", "could not be run")
    assert {states("314t")[step] for step in ("audited", "run", "reproduced")} == {("pending", "not looked at")}


def test_a_failed_run_outweighs_a_passed_one() -> None:
    runs = [run("passed"), run("failed", how="CPython under qemu")]
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=runs))
    assert model.find_execution(one.record) == model.Step("run", "fail", "failed: CPython under qemu")


def test_an_unknown_outcome_does_not_pass() -> None:
    one = model.make_wheel(wheel("a-1-cp311-abi3-win_arm64.whl", runs=[run("perfect")]))
    assert model.find_execution(one.record).state == "unsupported"


def test_proofs_are_counted() -> None:
    assert [head for head, _ in summary.summarize_proofs(model.list_wheels(SAMPLE))] == [
        "Built: 5.",
        "Audited: 1 of 3 passed, 1 failed, 1 with warnings, 2 not looked at.",
        "Run on an emulated CPU: 1 of 2 passed.",
        "Reproduced: 1 of 2 passed, 1 failed, 3 not looked at.",
    ]


def test_what_was_not_looked_at_is_not_none_passed() -> None:
    wheels = model.list_wheels(NEVER_AUDITED)
    heads = [head for head, _ in summary.summarize_proofs(wheels)]
    assert "Audited: not looked at." in heads and not any("qemu" in head for head in heads)
    assert [(one.number, one.text) for one in summary.count_step("audited", wheels)] == [(37, "not looked at")]
    text = "".join(check(page.render_page(NEVER_AUDITED)).text)
    assert " 0 of " not in text and "0 passed" not in text
    assert "nox -s audit -- dist" in text


@pytest.mark.parametrize("under", [" under qemu 7.2 as cortex-a53", ""])
def test_a_rewrapped_run_is_a_kind_of_its_own(under: str) -> None:
    """It doesn't count as one that the system's loader accepted."""
    how = f"CPython 3.13.5 for arm64, code of Windows rewrapped{under}, in private namespaces"
    one = model.make_wheel(wheel("a-1-cp313-cp313-win_arm64.whl", runs=[run("passed", how=how)]))
    assert model.classify_run(one.record.runs[0]) == model.REWRAPPED
    heads = [head for head, _ in summary.summarize_proofs([one])]
    assert not any("of their CPU" in head for head in heads)
    assert "Run under a real CPython of Linux, rewrapped from Windows or macOS: 1 of 1 passed." in heads


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
    assert limit in "\n".join(summary.summarize_limits([passed]))
    assert limit not in "\n".join(summary.summarize_limits([not_run]))


def test_limits_are_listed() -> None:
    text = "\n".join(summary.summarize_limits(model.list_wheels(SAMPLE)))
    assert "2 of 5 wheels were not audited yet." in text and "1 of 5 wheels was not run yet." in text
    assert "targets without a wheel in this folder: manylinux_2_17_aarch64" in text


def test_the_commands_are_those_of_the_commit() -> None:
    assert f"git checkout {SAMPLE.source.commit}" in summary.list_commands(SAMPLE.source)
    assert "rm -rf" not in "".join(summary.list_commands(source(commit="0; rm -rf /")))


def test_a_name_cannot_become_a_command() -> None:
    seen = check(page.render_page(replace(SAMPLE, source=source(name="x\nrm -rf /"))))
    assert "# x\\u{a}rm -rf /, on one Linux machine\nnox -s build-wheels" in "".join(seen.text)


def test_long_lists_are_cut_with_a_note() -> None:
    found = model.limit_items(["x"] * 1000)
    assert (len(found), found[-1]) == (model.MAX_ITEMS + 1, "and 700 more")


def test_a_wheel_of_an_unknown_platform_is_under_its_tags() -> None:
    one = model.make_wheel(wheel("a-1-cp311-abi3-plan9_mips.whl", abi=""))
    assert (one.platform, one.abi) == ("plan9_mips", "cp311-abi3")


def test_a_wheel_for_one_libc_has_a_row_of_its_own() -> None:
    names = ("manylinux_2_17_x86_64", "musllinux_1_2_x86_64")
    found = [model.make_wheel(wheel(f"a-1-cp311-cp311-{name}.whl", targets=[name])).platform for name in names]
    assert found == ["Linux x86_64, glibc", "Linux x86_64, musl"]


@pytest.mark.parametrize(
    ("record", "state", "text"),
    [
        (FAILED, "fail", "1 of 37 wheels failed"),
        (UNSUPPORTED, "unsupported", "Nothing failed, but 1 of 37 wheels could not be run here"),
        (NEVER_AUDITED, "pending", "Nothing failed, but not all was looked at: audited"),
        (PARTIAL, "warning", "Nothing failed, but 3 wheels are missing"),
        (release(), "pass", "Passed: 37 wheels, built, audited, run and reproduced"),
        (release(win32={"audit": WARNED}), "warning", "Nothing failed: 37 wheels, 3 with warnings"),
        (replace(SAMPLE, wheels=[]), "pending", "No wheels"),
        (replace(SAMPLE, wheels=SAMPLE.wheels[1:2]), "fail", "1 of 1 wheel failed"),
    ],
)
def test_the_verdict_is_the_worst_that_is_known(record: Manifest, state: str, text: str) -> None:
    wheels = model.list_wheels(record)
    assert summary.judge(wheels, len(problems.find_missing(wheels))) == summary.Verdict(state, text)  # type: ignore[arg-type]
    assert text in "".join(check(page.render_page(record)).text)


def test_counts_add_up_to_all_wheels() -> None:
    wheels = model.list_wheels(SAMPLE)
    for counts in (summary.count_states(wheels), *(summary.count_step(step, wheels) for step in model.STEPS)):
        assert sum(one.number for one in counts) == len(wheels) == 5


def test_links_lead_to_the_files_beside_the_page_and_to_what_codes_mean() -> None:
    native, sdist = SAMPLE.wheels[0].file, "sample-1.0.tar.gz"
    codes = {"E101": ("It has no extension.", "Build it."), "W999": ("It isn't in this manifest.", "")}
    beside = Beside("dist", frozenset([native, sdist]), codes)
    seen = check(page.render_page(SAMPLE, beside=beside))
    links = {value for name, value in seen.attributes if name == "href"}
    assert {link for link in links if link[0] == "."} == {f"./{native}", f"./{sdist}"}
    assert {link for link in links if "code" in link} == {"#code-E101"}
    assert "It has no extension. Build it." in "".join(seen.text)


def test_dates_are_dates() -> None:
    text = "".join(Seen(page.render_page(FAILED)).text)
    assert f"source of {DATE}, commit" in text and f"{DATE} (1795899391 s since 1970)" in text
    assert summary.format_date(10**30) == str(10**30)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, f"{URL}/commit/{SAMPLE.source.commit}"),
        (f"{URL}.git", f"{URL}/commit/{SAMPLE.source.commit}"),
        ("https://bitbucket.org/a/b/", f"https://bitbucket.org/a/b/commits/{SAMPLE.source.commit}"),
        ("https://example.org/project", ""),
        ("https://github.com@example.org/a", ""),
        ('https://github.com/"onfocus=x', ""),
        ("javascript:alert(1)//github.com", ""),
        ("", ""),
    ],
)
def test_the_commit_is_a_link_where_the_project_has_a_page_of_it(url: str, address: str) -> None:
    known = source(commit=SAMPLE.source.commit, url=url)
    assert page.find_commit_address(known) == address
    seen = Seen(page.render_page(replace(SAMPLE, source=known)))
    links = [value for name, value in seen.attributes if name == "href"]
    assert [link for link in links if ":" in link] == ([address] if address else [])
    assert page.find_commit_address(source(commit="main", url=URL)) == ""
