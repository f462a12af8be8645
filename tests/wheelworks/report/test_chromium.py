"""Test the page in a real browser: the first screen, filters, keyboard, a phone's screen, print, and both themes."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from wheelworks.bench import icount, plot
from wheelworks.cli import _page
from wheelworks.core import manifest
from wheelworks.core.manifest import Manifest
from wheelworks.report import pictures

from tests.fixtures import commands
from tests.wheelworks.manifests import wheel
from tests.wheelworks.report.manifests import FAILED, RELEASES, SAMPLE, STEM, hostile

pytestmark = [pytest.mark.integration, pytest.mark.needs("chromium")]

FIGURES = commands.ROOT / "assets/bench.json"
# Fixed counts, because a change of the package's C may change the baseline's.
COUNTS = icount.WheelCounts("cp311-abi3-win_arm64", "ARM64", {"websocket_mask": (140, 372)})
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}
SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
FAILING = f"{STEM}-cp314-cp314t-win_arm64.whl"


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
        rows = [one for one in self.page.locator(".platform").all() if one.is_visible()]
        return [str(one.evaluate("(one) => one.firstChild.data.trim()")) for one in rows]

    def fits(self, one: Locator) -> bool:
        """Return whether an element is wholly on the screen without scrolling."""
        box, size = one.bounding_box(), self.page.viewport_size
        assert box and size
        return bool(
            box["x"] >= 0
            and box["y"] >= 0
            and box["x"] + box["width"] <= size["width"]
            and box["y"] + box["height"] <= size["height"]
        )

    def is_wide(self) -> bool:
        """Return whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def colour(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))


def written(folder: Path, record: Manifest) -> str:
    """Write a manifest's page; return its address."""
    return _page.write_page(record, folder).as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page with both kinds of figures: the README's times and a wheel's instruction counts."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "bench").mkdir()
    shutil.copyfile(FIGURES, folder / "bench/bench.json")
    plot.write_plots(folder / "bench/bench.json")
    (folder / "bench/icount.json").write_text(icount.format_counts([COUNTS]), encoding="utf-8")
    return written(folder, SAMPLE)


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
@SIZES
def test_is_accessible(browser: Browser, address: str, size: Any, scheme: Any) -> None:
    made = Opened(browser, address, size, scheme)
    made.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert violations(made.page) == ""
    assert not made.is_wide()
    assert made.said == []


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_accessible_on_one_screen_and_on_a_phone(browser: Browser, tmp_path: Path, name: str) -> None:
    address = written(tmp_path, RELEASES[name])
    for size, height in ((DESK, 1300), (PHONE, 1800)):
        made = Opened(browser, address, size)
        assert violations(made.page) == ""
        assert not made.is_wide()
        assert made.page.evaluate("document.documentElement.scrollHeight") < height
        matrix = made.page.locator("#matrix .grid").first
        matrix.scroll_into_view_if_needed()
        box = matrix.bounding_box()
        assert box and box["height"] < size["height"] * 2 / 3
        assert size == PHONE or made.fits(matrix), "not all of the matrix is on the screen"


@SIZES
def test_a_failure_is_explained_without_scrolling(browser: Browser, tmp_path: Path, size: Any) -> None:
    """Which wheel, why, and what to type."""
    made = Opened(browser, written(tmp_path, FAILED), size)
    problem = made.page.locator(".problem")
    for one in (
        made.page.get_by_role("heading", name="1 of 37 wheels failed"),
        problem.get_by_role("link", name=FAILING),
        problem.get_by_text("heap-buffer-overflow-write: writes 4 bytes after a block of 16"),
        problem.get_by_text(f"nox -s test-foreign -- --how emulated {tmp_path.name}/{FAILING}"),
    ):
        assert made.fits(one), one


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<html><body><input type=text><p style='color: #eee'>pale</p></body></html>")
    found = violations(Opened(browser, bad.as_uri()).page)
    assert "label" in found and "color-contrast" in found


def test_shows_each_wheel_with_its_marks(opened: Opened) -> None:
    assert opened.platforms() == ["Windows ARM64", "macOS arm64", "Linux ppc64le", "any platform"]
    marks = [row.locator(".mark > [aria-hidden]").all_inner_texts() for row in opened.page.locator(".row").all()]
    assert list(map("".join, marks)) == ["✓✓✓✓✓···", "✓✗✗✗", "✓!?·", "✓·✓·"]
    summary = opened.page.locator(".row summary").first
    said = " ".join(summary.inner_text().split())
    assert "✓ built: passed, ✓ audited: passed, ✓ run: passed, ✓ reproduced: passed;" in said
    assert "✓ built: passed, · audited: not looked at," in said
    assert summary.locator(".mark").nth(2).get_attribute("title") == "run: emulated CPU, 98 checks"


def test_shows_plots_and_the_instructions_of_each_cpu(opened: Opened) -> None:
    opened.page.locator("#speed > summary").click()
    picture = opened.page.get_by_role("img", name="mask: to bytes")
    assert picture.evaluate("(one) => one.complete && one.naturalWidth") > 500, "the browser can't show it"
    source = picture.get_attribute("src") or ""
    svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
    assert len(re.findall(r'id="line-\d"', svg)) == 4
    assert "copy (the limit)" in svg
    opened.page.locator("#icount > summary").click()
    work = opened.page.get_by_role("region", name="Instructions per call + per byte")
    row = work.locator("tr").filter(has_text="cp311-abi3-win_arm64").inner_text().split("\t")
    assert row[1] == "82 + 0.23"


@pytest.mark.parametrize(
    ("count", "left", "marks"),
    [
        ("1 failed (wheels)", ["macOS arm64"], 4),
        ("1 with warnings (audited)", ["Linux ppc64le"], 4),
        ("2 not looked at (audited)", ["Windows ARM64", "any platform"], 8),
        ("1 could not be run (run)", ["Linux ppc64le"], 4),
        ("5 wheels (show all)", ["Windows ARM64", "macOS arm64", "Linux ppc64le", "any platform"], 20),
    ],
)
def test_each_count_is_a_link_that_filters(opened: Opened, count: str, left: list[str], marks: int) -> None:
    opened.page.get_by_role("link", name=count).press("Enter")
    assert opened.platforms() == left
    assert sum(one.is_visible() for one in opened.page.locator(".row .mark").all()) == marks
    assert opened.page.evaluate("scrollY") == 0
    if len(left) < 4:
        opened.page.get_by_role("link", name="show all", exact=True).click()
    assert len(opened.platforms()) == 4
    del opened.asked[1:]


def test_every_count_of_the_page_filters_to_its_number(browser: Browser, tmp_path: Path) -> None:
    made = Opened(browser, written(tmp_path, RELEASES["unsupported"]))
    counts = made.page.locator("nav .count").all()
    assert len(counts) == 8
    for one in counts:
        one.click()
        shown = sum(each.is_visible() for each in made.page.locator(".marks").all())
        assert one.inner_text().split()[0 if one.inner_text()[0].isdigit() else 1] == str(shown)


def test_a_row_opens_by_keyboard(opened: Opened) -> None:
    summary = opened.page.locator(".row summary").first
    details = opened.page.locator("#wheel-0")
    for is_open in (True, False):
        summary.press("Enter")
        assert details.is_visible() == is_open


def test_a_failure_leads_to_the_details_of_its_wheel(opened: Opened) -> None:
    details = opened.page.locator("article.wheel").filter(has_text="sample-1.0-cp311-abi3-macosx_11_0_arm64.whl")
    assert not details.is_visible()
    opened.page.locator(".problem a.name").first.press("Enter")
    assert details.is_visible() and "wild-pointer in init" in details.inner_text()
    del opened.asked[1:]


def test_details_show_why_a_wheel_could_not_be_run(opened: Opened) -> None:
    opened.page.goto(f"{opened.page.url}#wheel-3")
    del opened.asked[1:]
    shown = opened.page.locator("#wheel-3")
    assert "unsupported: no CPython; 98 checks; there is no CPython of its CPU" in shown.inner_text()


def test_print_shows_what_is_folded(opened: Opened) -> None:
    folded = opened.page.locator("#again pre")
    assert not folded.is_visible()
    opened.page.emulate_media(media="print")
    assert folded.is_visible() and "nox -s build-wheels" in folded.inner_text()


def test_many_abis_fit_a_phone(browser: Browser, tmp_path: Path) -> None:
    wheels = [
        wheel(f"a-1-cp3{minor}-cp3{minor}-{tag}.whl", abi=f"cp3{minor}-cp3{minor}", targets=[tag])
        for minor in range(9, 17)
        for tag in ("win_arm64", "manylinux_2_17_x86_64", "musllinux_1_2_x86_64")
    ]
    made = Opened(browser, written(tmp_path, replace(SAMPLE, wheels=wheels)), PHONE)
    assert not made.is_wide()
    assert made.page.locator(".abi", has_text="cp316-cp316").first.is_visible()


def test_goes_dark_with_the_system(browser: Browser, address: str, opened: Opened) -> None:
    assert Opened(browser, address, scheme="dark").colour() != opened.colour()


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
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size < 250_000 for path in made)
