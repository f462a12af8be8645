"""Test the page in a real browser: rendering, sorting, filtering, the keyboard, a phone's screen, and both themes."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from wheelworks.bench import icount, plot
from wheelworks.cli import _page
from wheelworks.core import manifest
from wheelworks.core.manifest import Manifest
from wheelworks.report import pictures

from tests.fixtures import commands
from tests.wheelworks.report.manifests import SAMPLE, hostile

pytestmark = pytest.mark.integration

FIGURES = commands.ROOT / "assets/bench.json"
# Fixed counts, because a change of the package's C may change the baseline's.
COUNTS = icount.WheelCounts("cp311-abi3-win_arm64", "ARM64", {"websocket_mask": (140, 372)})
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, pictures.launch_chromium(playwright) as found:
        yield found


class Opened:
    """Open a page in its own window, and record its console messages and requests."""

    def __init__(self, browser: Browser, address: str, size: Any = DESK, scheme: Any = "light") -> None:
        self.page: Page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def platforms(self) -> list[str]:
        rows = self.page.locator("#matrix tbody tr")
        return [row.locator("th").inner_text().splitlines()[0] for row in rows.all() if row.is_visible()]

    def colour(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))


def written(folder: Path, record: Manifest) -> str:
    """Write a manifest's page with both kinds of figures: the README's times and one wheel's instruction counts."""
    (folder / "bench").mkdir()
    shutil.copyfile(FIGURES, folder / "bench/bench.json")
    plot.write_plots(folder / "bench/bench.json")
    (folder / "bench/icount.json").write_text(icount.format_counts([COUNTS]), encoding="utf-8")
    return _page.write_page(record, folder).as_uri()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return written(tmp_path, SAMPLE)


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Opened]:
    made = Opened(browser, address)
    yield made
    assert made.said == []
    assert made.asked == [made.page.url.partition("#")[0]]
    made.page.context.close()


def violations(page: Page) -> str:
    found = Axe().run(page)
    return str(found.generate_report()) if found.violations_count else ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_is_accessible(browser: Browser, address: str, size: Any, scheme: Any) -> None:
    made = Opened(browser, address, size, scheme)
    made.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert violations(made.page) == ""
    assert made.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert made.said == []


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<html><body><input type=text><p style='color: #eee'>pale</p></body></html>")
    found = violations(Opened(browser, bad.as_uri()).page)
    assert "label" in found and "color-contrast" in found


def test_shows_each_wheel_with_its_states(opened: Opened) -> None:
    assert opened.platforms() == ["Windows ARM64", "macOS arm64", "Linux ppc64le", "any platform"]
    cell = opened.page.locator("#matrix tbody tr").first.locator("td").first
    assert cell.inner_text().split("\n")[1:] == [
        "✓ built: freestanding",
        "✓ audited: passed",
        "✓ executed: emulated CPU, 98 checks",
        "✓ reproduced: same bytes, 2 things varied",
    ]


def test_shows_plots_and_the_instructions_of_each_cpu(opened: Opened) -> None:
    picture = opened.page.get_by_role("img", name="mask: to bytes")
    assert picture.evaluate("(one) => one.complete && one.naturalWidth") > 500, "the browser can't show it"
    source = picture.get_attribute("src") or ""
    svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
    assert len(re.findall(r'id="line-\d"', svg)) == 4
    assert "copy (the limit)" in svg
    work = opened.page.get_by_role("region", name="Instructions per call + per byte")
    row = work.locator("tr").filter(has_text="cp311-abi3-win_arm64").inner_text().split("\t")
    assert row[1] == "82 + 0.23"


def test_sorts_by_name_and_by_size(opened: Opened) -> None:
    head = opened.page.locator("#matrix thead th")
    head.nth(0).locator("button").click()
    assert opened.platforms() == ["any platform", "Linux ppc64le", "macOS arm64", "Windows ARM64"]
    assert head.nth(0).get_attribute("aria-sort") == "ascending"
    head.nth(1).locator("button").press("Enter")
    head.nth(1).locator("button").press("Enter")
    assert opened.platforms() == ["Linux ppc64le", "macOS arm64", "Windows ARM64", "any platform"]
    assert [one.get_attribute("aria-sort") for one in head.all()] == ["none", "descending", "none", "none"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("win_arm64", ["Windows ARM64"]),
        ("PPC64LE musllinux", ["Linux ppc64le"]),
        ("PyErr_Format", ["Windows ARM64"]),
        ("nothing has this", []),
    ],
)
def test_filters_by_words(opened: Opened, words: str, left: list[str]) -> None:
    opened.page.get_by_label("Platform, tag, hash or symbol").fill(words)
    assert opened.platforms() == left
    assert opened.page.get_by_role("status").inner_text() == f"{len(left)} of 4 platforms shown"


def test_filters_by_state(opened: Opened) -> None:
    opened.page.get_by_label("Show").select_option("failures")
    assert opened.platforms() == ["macOS arm64"]
    opened.page.get_by_label("Show").select_option("all wheels")
    assert len(opened.platforms()) == 4


def test_a_link_opens_the_details_by_keyboard_and_again(opened: Opened) -> None:
    link = opened.page.get_by_role("link", name="57.0 kB: details of sample-1.0-cp311-abi3-win_arm64.whl")
    details = opened.page.locator("details").filter(has_text="sample-1.0-cp311-abi3-win_arm64.whl")
    for _ in range(2):
        link.press("Enter")
        assert details.get_attribute("open") is not None
        assert opened.page.evaluate("document.activeElement.textContent") == "sample-1.0-cp311-abi3-win_arm64.whl"
        details.locator("summary").press("Enter")
        assert details.get_attribute("open") is None


def test_details_show_why_a_wheel_could_not_be_run(opened: Opened) -> None:
    opened.page.goto(f"{opened.page.url}#wheel-3")
    del opened.asked[1:]
    shown = opened.page.locator("#wheel-3")
    assert "unsupported: no CPython; 98 checks; there is no CPython of its CPU" in shown.inner_text()


def test_goes_dark_with_the_system_and_by_the_button(browser: Browser, address: str, opened: Opened) -> None:
    light = opened.colour()
    dark = Opened(browser, address, scheme="dark").colour()
    assert light != dark
    button = opened.page.get_by_role("button", name="Dark")
    button.click()
    assert (opened.colour(), button.get_attribute("aria-pressed")) == (dark, "true")
    button.click()
    assert opened.colour() == light


def test_a_hostile_manifest_does_no_harm(browser: Browser, tmp_path: Path) -> None:
    made = Opened(browser, written(tmp_path, hostile()))
    assert made.page.evaluate("window.hacked") is None
    assert (made.said, len(made.asked)) == ([], 1)
    assert len(made.platforms()) > 0
    assert "window.hacked" in made.page.locator("body").inner_text()


def test_the_policy_blocks_an_injected_script(browser: Browser, tmp_path: Path) -> None:
    address = written(tmp_path, SAMPLE)
    place = tmp_path / "report.html"
    added = "<script>window.hacked=1</script><img src='http://192.0.2.1/x.png'></body>"
    place.write_text(place.read_text(encoding="utf-8").replace("</body>", added), encoding="utf-8")
    made = Opened(browser, address)
    assert made.page.evaluate("window.hacked") is None
    assert sum("Content Security Policy" in line for line in made.said) == 2


def test_pictures_are_taken(tmp_path: Path) -> None:
    manifest.save(SAMPLE, tmp_path)
    # A separate process, because Playwright's synchronous API runs only once per process.
    ended = commands.wheelworks("report", tmp_path, "--pictures", tmp_path / "pictures", cache=tmp_path / "cache")
    assert ended.status == 0, ended.err
    made = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in made] == ["report-dark.png", "report-light.png", "report-phone.png"]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size < 150_000 for path in made)
