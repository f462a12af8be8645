"""The page, rendered from ``templates/report.html``: matrix, proofs, figures, wheels, and how to build them again.

Jinja2 escapes all text. Before that, ``finalize`` cuts a very long text, and spells out characters that can't be seen,
so that no text can pose as another.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wheelworks.core.manifest import Manifest
from wheelworks.core.text import escape_invisible
from wheelworks.report import model
from wheelworks.report.model import Wheel

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
MAX_TEXT = 2000  # characters of one text
CHOICES = {"": "all wheels", "fail": "failures", "warning": "warnings", "pending": "pending steps"}
MARKS = {"pass": "✓", "fail": "✗", "warning": "!", "pending": "·"}


@dataclass(frozen=True)
class Figure:
    """A table whose rows begin with a name, and its plot as a file's bytes (SVG), or none."""

    title: str
    plot: bytes
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """Figures, and facts about the machine and the packages that were measured. ``key`` is its id on the page."""

    title: str
    key: str
    facts: Mapping[str, str]
    figures: Sequence[Figure]


def render_page(record: Manifest, sections: Sequence[Section] = ()) -> str:
    """Return the page. It contains no time of day: the same manifest gives the same page."""
    from markupsafe import Markup

    style, script = (Markup((TEMPLATES / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    sources = f"style-src '{_hash_source(style)}'; script-src '{_hash_source(script)}'; img-src data:"
    wheels = model.list_wheels(record)
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    abis = sorted({one.abi for one in wheels}, key=lambda abi: (abi.startswith("py"), abi))
    shown = {"record": record, "wheels": wheels, "abis": abis, "rows": _group_by_platform(wheels), "sections": sections}
    return make_environment().get_template(FILE).render(shown, policy=policy, style=style, script=script)


def make_environment() -> Environment:
    """Return Jinja2's environment of the templates, which escapes everything."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    spaces: dict[str, Any] = dict.fromkeys(("trim_blocks", "lstrip_blocks", "keep_trailing_newline"), True)
    loader = FileSystemLoader(TEMPLATES)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_finalize, **spaces)
    made.filters |= {"join": _join, "cut": _cut, "base64": _base64, "limit": model.limit_items, "facts": _list_facts}
    made.globals |= {"choices": CHOICES, "marks": MARKS, "model": model}
    return made


def _finalize(value: Any) -> Any:
    return escape_invisible(_cut(value)) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _cut(text: str) -> str:
    """Return the text, with a note in place of the end of a very long one."""
    note = f"... (cut: {len(text):,} characters)"
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - len(note)] + note


def _join(texts: Iterable[str], separator: str) -> Markup:
    """Join texts. Each is finalized by itself, so that a line break within a line can't pose as two lines."""
    from markupsafe import Markup

    return Markup(separator).join(map(_finalize, texts))


def _base64(data: bytes) -> Markup:
    from markupsafe import Markup

    return Markup(base64.b64encode(data).decode())


def _list_facts(part: msgspec.Struct | None) -> list[tuple[str, str]]:
    return [] if part is None else list(model.flatten(msgspec.to_builtins(part)))


def _group_by_platform(wheels: Sequence[Wheel]) -> dict[str, list[Wheel]]:
    rows: dict[str, list[Wheel]] = {}
    for one in wheels:
        rows.setdefault(one.platform, []).append(one)
    return rows


def _hash_source(text: str) -> str:
    """Return a source of the Content Security Policy that allows only this text (CSP level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
