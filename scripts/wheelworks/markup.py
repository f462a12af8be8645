"""HTML from Python: elements whose text is always escaped, and what can't be seen made visible."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable


class Safe(str):
    """Text that is HTML already: only ``element`` and constants make it."""

    __slots__ = ()


Child = str | None
_EMPTY = frozenset(("meta", "input", "br", "img"))
# Controls, formatting (which reverses the direction of text, for one), halves of characters, and line separators.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def visible(text: str) -> str:
    """The text with every character that can't be seen spelled out: no file name can pose as another."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(one):x}}}" if unicodedata.category(one) in _INVISIBLE else one for one in text)


def escape(text: str) -> Safe:
    """Text as HTML shows it, between tags or in a quoted attribute."""
    return text if isinstance(text, Safe) else Safe(html.escape(visible(text)))


def element(tag: str, /, *children: Child, **attributes: str | bool | None) -> Safe:
    """An element: its children are escaped unless they are HTML already.

    An underscore in an attribute's name stands for a hyphen, one at its end for nothing; True has no value, None and
    False leave the attribute out.
    """
    words = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if tag in _EMPTY:
        return Safe(f"<{tag}{words}>")
    return Safe(f"<{tag}{words}>{join(*children)}</{tag}>")


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(value)}"'


def join(*children: Child, by: str = "") -> Safe:
    """Several pieces in a row."""
    return Safe(escape(by).join(escape(child) for child in children if child is not None))


def lines(found: Iterable[str], label: str) -> Safe:
    """Preformatted lines; a line break within one is spelled out, so that none can pose as two."""
    return element("pre", element("code", join(*found, by=Safe("\n"))), tabindex="0", aria_label=label)
