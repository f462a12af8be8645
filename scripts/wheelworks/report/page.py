"""The page, rendered from ``templates/report.html``: verdict, problems, matrix, figures, and how to build it again.

Jinja2 escapes all text. Before that, ``finalize`` cuts a very long text, and spells out characters that can't be seen,
so that no text can pose as another. The page has no script: links to counts filter the matrix by ``:target``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wheelworks.core.manifest import Manifest, Source
from wheelworks.core.tags import rank_abi
from wheelworks.core.text import escape_invisible
from wheelworks.report import model, problems, summary
from wheelworks.report.model import Wheel

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
MAX_TEXT = 2000  # characters of one text
MARKS = {"pass": "✓", "fail": "✗", "unsupported": "?", "warning": "!", "pending": "·"}
WORDS = summary.STATE_WORDS | {"warning": "has warnings"}
SHOWN = 8  # problems that are shown before the rest is folded
NARROW = 3  # ABIs whose marks fit beside a platform on a phone
# Text of a manifest becomes an address only if it has no character that could change what the address means.
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~-]+)*/?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.(?:whl|tar\.gz)")
_FORGES = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org")  # each has a page of a commit
_RULES = """\
#only-KEY:target ~ main .row:not(.is-KEY) { display: none; }
#only-KEY:target ~ main .marks:not(.is-KEY) { visibility: hidden; }
#only-KEY:target ~ main a[href="#only-KEY"] { outline: 2px solid; }
#only-KEY:target ~ main .filtered { display: inline; }
"""


@dataclass(frozen=True)
class Beside:
    """What the page can refer to: its folder as a command line names it, and the files in it.

    ``codes`` explains the audit's codes: what is wrong, and what to do.
    """

    folder: str = "dist"
    files: frozenset[str] = frozenset()
    codes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Row:
    """A row of the matrix: a platform's wheels, by ABI."""

    platform: str
    minimum: str
    cells: Mapping[str, Sequence[Wheel]]

    @property
    def wheels(self) -> list[Wheel]:
        """All of its wheels."""
        return [one for cell in self.cells.values() for one in cell]

    @property
    def keys(self) -> list[str]:
        """What the filters can show it by."""
        return sorted({key for one in self.wheels for key in one.keys})


def render_page(record: Manifest, sections: Sequence[Section] = (), beside: Beside | None = None) -> str:
    """Return the page. It contains no time of day: the same manifest and folder give the same page."""
    from markupsafe import Markup

    wheels, beside = model.list_wheels(record), beside or Beside()
    native = [one for one in wheels if not one.is_pure]
    abis = sorted({one.abi for one in native}, key=rank_abi)
    missing = problems.find_missing(wheels)
    shown = {
        "record": record, "wheels": wheels, "abis": abis, "rows": _list_rows(native, abis), "sections": sections,
        "pure": [Row(one.platform, one.abi, {one.abi: [one]}) for one in wheels if one.is_pure], "missing": missing,
        "beside": beside,
        "problems": problems.find_problems(wheels, record.source, beside.folder),
        "commit_address": find_commit_address(record.source),
        "verdict": summary.judge(wheels, len(missing)), "codes": _explain_codes(record, beside.codes),
    }  # fmt: skip
    filters = sorted(model.count_keys(wheels))
    rules = "".join(_RULES.replace("KEY", key) for key in filters) + f":root {{ --abis: {max(len(abis), 1)}; }}\n"
    style = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8") + rules)
    sources = f"style-src '{_hash_source(style)}'; img-src data:"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return make_environment().get_template(FILE).render(shown, filters=filters, policy=policy, style=style)


def _list_rows(wheels: Sequence[Wheel], abis: Sequence[str]) -> list[Row]:
    """Return a row for each platform, with a cell for each of ``abis``."""
    found = []
    for platform, row in _group_by_platform(wheels).items():
        libc = platform.rpartition(", ")[2]  # "Linux x86_64, musl" has it in its name
        cells = {abi: [one for one in row if one.abi == abi] for abi in abis}
        found.append(Row(platform, row[0].minimum.removeprefix(f"{libc} "), cells))
    return found


def _explain_codes(record: Manifest, codes: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return the explanations of the codes that audits of the manifest's wheels found."""
    found = {one.code for wheel in record.wheels if wheel.audit for one in wheel.audit.findings}
    return {code: codes[code] for code in sorted(found) if code in codes}


def find_commit_address(source: Source) -> str:
    """Return the address of the source's commit, where its project is on a forge with such pages; otherwise ""."""
    match = _ADDRESS.fullmatch(source.url)
    host = source.url.split("/")[2] if match else ""
    if host not in _FORGES or not summary.is_commit(source.commit):
        return ""
    part = "commits" if host == "bitbucket.org" else "commit"
    return f"{source.url.rstrip('/').removesuffix('.git')}/{part}/{source.commit}"


@cache
def make_environment() -> Environment:
    """Return Jinja2's environment of the templates, which escapes everything."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    spaces: dict[str, Any] = dict.fromkeys(("trim_blocks", "lstrip_blocks", "keep_trailing_newline"), True)
    loader = FileSystemLoader(TEMPLATES)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_finalize, **spaces)
    made.filters |= {"join": _join, "cut": _cut, "base64": _base64, "limit": model.limit_items, "facts": _list_facts}
    made.tests["file"] = lambda name: _FILE_NAME.fullmatch(name) is not None
    made.globals |= {"marks": MARKS, "words": WORDS, "model": model, "summary": summary, "find": problems}
    made.globals |= {"shown_problems": SHOWN, "narrow": NARROW}
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
