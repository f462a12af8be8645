"""Pictures of the page for README, taken by the system's Chromium, which Playwright controls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import write_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright, ViewportSize

Scheme = Literal["light", "dark"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PICTURES: dict[str, tuple[ViewportSize, Scheme]] = {
    "report-light.png": ({"width": 1100, "height": 860}, "light"),
    "report-dark.png": ({"width": 1100, "height": 860}, "dark"),
    "report-phone.png": ({"width": 390, "height": 844}, "light"),
}


@contextmanager
def launch_chromium(playwright: Playwright) -> Iterator[Browser]:
    """Run the system's Chromium without a window. Raises WheelworksError if it isn't installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise WheelworksError("pictures need Chromium, which isn't installed", "apt-get install chromium")
    # Chromium's sandbox doesn't start as root, the user of CI's containers. The page is our own.
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    browser = playwright.chromium.launch(executable_path=program, args=options)
    try:
        yield browser
    finally:
        browser.close()


def take_pictures(page: Path, folder: Path) -> list[Path]:
    """Write pictures of a page, and return their paths. Raises WheelworksError if Chromium is missing or fails."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise WheelworksError("pictures need Playwright", "install requirements/report.txt") from error
    try:
        with sync_playwright() as playwright, launch_chromium(playwright) as browser:
            return [_take_picture(browser, page, folder / name) for name in PICTURES]
    except Error as error:
        raise WheelworksError(f"Chromium failed: {error.message.splitlines()[0]}") from error


def _take_picture(browser: Browser, page: Path, place: Path) -> Path:
    size, scheme = PICTURES[place.name]
    shown = browser.new_page(viewport=size, color_scheme=scheme)
    shown.goto(page.resolve().as_uri())
    return write_file(place, shown.screenshot())
