"""The page: a matrix, what is proven and what isn't, every wheel, and how to do it again."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from wheelworks.core.manifest import Manifest, Source
from wheelworks.markup import Safe, element, join, lines
from wheelworks.report import details, model, summary
from wheelworks.report.model import Step, Wheel

FILE = "report.html"
HERE = Path(__file__).parent
CHOICES = {"": "every wheel", "bad": "what has failed", "doubt": "what is in doubt", "open": "what nobody looked at"}
MARKS = {"good": "✓", "bad": "✗", "doubt": "!", "open": "·"}


def render(record: Manifest, *measured: Safe) -> str:
    """The whole page, with sections of what was ``measured``. It holds no time of day: one manifest, one page."""
    wheels = model.wheels(record)
    title = f"{model.text(record.source.name) or 'Wheels'}: what was built, and what is proven"
    body = element(
        "body",
        element("a", "Skip to the matrix", class_="skip", href="#matrix"),
        element("header", element("h1", title), _facts(wheels, record.source), _theme()),
        element(
            "main",
            _matrix(wheels),
            _proven(wheels),
            *measured,
            details.section(wheels),
            _again(record, wheels),
        ),
    )
    return "<!DOCTYPE html>\n" + element("html", _head(title), body, lang="en") + "\n"


def _head(title: str) -> Safe:
    style, script = (Safe((HERE / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    sources = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; img-src data:; {sources}; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
        element("script", script, type="module"),
    )


def _hash(text: str) -> str:
    """A source of the Content Security Policy: this very text and no other (CSP level 3, 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _facts(wheels: Sequence[Wheel], source: Source) -> Safe:
    total = sum(one.size for one in wheels) / 1000
    commit = model.text(source.commit)
    dirty = " with changes that aren't committed" if source.dirty else ""
    parts = [f"{len(wheels)} wheels, {total:,.0f} kB in all"]
    parts += [f"commit {commit[:12]}{dirty}"] if commit else []
    return element("p", "; ".join(parts) + ".")


def _theme() -> Safe:
    return element("button", "Dark", type="button", id="theme", aria_pressed="false")


# -- the matrix


def _matrix(wheels: Sequence[Wheel]) -> Safe:
    abis = sorted({one.abi for one in wheels}, key=lambda abi: (abi.startswith("py"), abi))
    platforms = list(dict.fromkeys(one.platform for one in wheels))
    numbers = {one: number for number, one in enumerate(wheels)}
    head = element(
        "thead", element("tr", _column("platform"), *(_column(abi) for abi in abis), role="row"), role="rowgroup"
    )
    rows = [
        _row(platform, abis, [one for one in wheels if one.platform == platform], numbers) for platform in platforms
    ]
    table = element(
        "table", head, element("tbody", *rows, role="rowgroup"), role="table", aria_labelledby="matrix-title"
    )
    return element(
        "section",
        element("h2", "Platforms by ABI", id="matrix-title"),
        _filters(),
        element("p", f"{len(platforms)} of {len(platforms)} platforms shown", id="shown", role="status"),
        table,
        element("p", "The buttons in the head sort: by name, or by the size of the wheels below them."),
        id="matrix",
    )


def _filters() -> Safe:
    select = element("select", *(element("option", label, value=value) for value, label in CHOICES.items()), id="state")
    find = element("input", type="search", id="find", autocomplete="off", spellcheck="false")
    return element(
        "form",
        element("label", "Platform, tag, hash or symbol ", find, for_="find"),
        element("label", "Show ", select, for_="state"),
        id="filters",
        role="search",
    )


def _column(name: str) -> Safe:
    return element("th", element("button", name, type="button"), scope="col", role="columnheader", aria_sort="none")


def _row(platform: str, abis: Sequence[str], wheels: Sequence[Wheel], numbers: dict[Wheel, int]) -> Safe:
    lowest = model.minimum(wheels[0].ids)
    name = element("th", platform, element("small", lowest) if lowest else None, scope="row", role="rowheader")
    cells = [_cell(abi, [one for one in wheels if one.abi == abi], numbers) for abi in abis]
    return element("tr", name, *cells, role="row")


def _cell(abi: str, wheels: Sequence[Wheel], numbers: dict[Wheel, int]) -> Safe:
    size = str(sum(one.size for one in wheels))
    if not wheels:
        return element("td", element("span", "no wheel", class_="none"), role="cell", data_abi=abi, data_size=size)
    return element("td", *(_wheel(one, numbers[one]) for one in wheels), role="cell", data_abi=abi, data_size=size)


def _wheel(one: Wheel, number: int) -> Safe:
    steps = element("ul", *(element("li", *state(step)) for step in one.steps), class_="steps")
    label = f"Details of {one.file}"
    size = element(
        "a", f"{one.size / 1000:,.1f} kB", href=f"#wheel-{number}", aria_label=f"{one.size / 1000:,.1f} kB: {label}"
    )
    hashed = element("code", one.sha256[:12], title=f"SHA-256 {one.sha256}")
    search = " ".join((one.platform, *one.ids, *one.tags, one.file, one.sha256, *details.symbols(one)))
    states = " ".join(dict.fromkeys(step.state for step in one.steps))
    return element("div", size, " ", hashed, steps, class_="wheel", data_states=states, data_text=search.casefold())


def state(step: Step) -> tuple[Safe, Safe]:
    """A step's mark, its name and what it says: never by colour alone."""
    mark = element("span", MARKS[step.state], class_=step.state, aria_hidden="true")
    return mark, join(f" {step.name}: ", element("span", step.says, class_="says"))


# -- in words


def _proven(wheels: Sequence[Wheel]) -> Safe:
    items = [element("li", element("strong", f"{head} "), text) for head, text in summary.proven(wheels)]
    limits = [element("li", text) for text in summary.unproven(wheels)]
    return element(
        "section",
        element("h2", "What is proven"),
        element("ul", *items),
        element("h2", "What isn't"),
        element("ul", *limits),
        id="proven",
    )


def _again(record: Manifest, wheels: Sequence[Wheel]) -> Safe:
    facts = [*model.flat(msgspec.to_builtins(record.source), "source."), *model.flat(record.toolchain.versions())]
    table = [element("tr", element("th", key, scope="row"), element("td", value)) for key, value in facts]
    sums = [f"{one.sha256}  {one.file}" for one in wheels]
    return element(
        "section",
        element("h2", "Do it again"),
        lines(summary.commands(record.source), "Commands"),
        element("h3", "Made with"),
        element("table", element("tbody", *table), class_="facts"),
        element("h3", "SHA256SUMS"),
        lines(sums, "Checksums"),
        id="again",
    )
