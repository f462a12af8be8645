"""What was measured, on the page: plots, and the figures that they are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wheelworks.markup import Safe, element


@dataclass(frozen=True)
class Figure:
    """A table, whose rows begin with a name, and the plot of it as SVG in Base64; or ""."""

    title: str
    plot: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def section(title: str, about: Mapping[str, str], figures: Sequence[Figure], key: str) -> Safe:
    """Several figures, and on what machine and with what they were measured."""
    facts = [element("li", f"{name}: {value}") for name, value in about.items()]
    shown = [_figure(figure) for figure in figures]
    return element("section", element("h2", title), *shown, element("ul", *facts) if facts else None, id=key)


def _figure(figure: Figure) -> Safe:
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in ("what", *figure.columns))))
    table = element("table", head, element("tbody", *map(_row, figure.rows)), class_="facts")
    scrolled = element("div", table, class_="scroll", tabindex="0", role="region", aria_label=figure.title)
    source = f"data:image/svg+xml;base64,{figure.plot}"
    picture = element("img", src=source, alt=f"{figure.title}: a plot of the table below") if figure.plot else None
    return element("figure", element("figcaption", element("strong", figure.title)), picture, scrolled)


def _row(row: Sequence[str]) -> Safe:
    return element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:]))
