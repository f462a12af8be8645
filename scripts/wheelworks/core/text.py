"""Text of untrusted files, made safe and short enough to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Control characters, format characters (some reverse the direction of text), surrogates, private and unassigned
# characters, and line separators: Unicode's general categories.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def abbreviate(names: Sequence[str], shown: int = 5) -> str:
    """Return the first few names, and the number of further ones."""
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def escape_invisible(text: str) -> str:
    r"""Return the text with every invisible character as ``\u{...}``, so that no file name can pose as another."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(one):x}}}" if unicodedata.category(one) in _INVISIBLE else one for one in text)
