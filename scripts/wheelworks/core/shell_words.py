"""Parse variable assignments in a shell's syntax, and evaluate them without a shell.

Quotes, backslashes and ``$NAME`` mean what they mean to a POSIX shell (XCU 2.2, 2.6.2). What runs a program or
computes, such as ``$(command)`` and ``${NAME:-default}``, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wheelworks.core.errors import WheelworksError

_MAX_VALUE = 1 << 20  # characters
# The parts of a word, in the order in which they are tried.
_PART = re.compile(
    r"(?P<name>\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\}))"
    r"|'(?P<single>[^']*)'"
    r"|(?P<double>\")"
    r"|\\(?P<escaped>.)"
    r"|(?P<command>\$\(|`|\$\{)"
    r"|(?P<blank>\s+)"
    r"|(?P<operator>[;&|<>()])"
    r"|(?P<plain>[^\s'\"\\`$;&|<>()]+|\$)",
    re.DOTALL,
)
# Inside of double quotes only these are special; before other characters a backslash stands for itself.
_QUOTED = re.compile(
    r"(?P<name>\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\}))|(?P<double>\")|\\(?P<escaped>[$`\"\\\n])"
    r"|(?P<command>\$\(|`|\$\{)|(?P<plain>[^\"\\`$]+|\$|\\)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Part:
    """A piece of a word: plain text, or the name of a variable whose value stands there."""

    text: str
    is_name: bool = False


@dataclass(frozen=True)
class Assignment:
    """The assignment of a word to a variable."""

    name: str
    parts: tuple[Part, ...]


def parse_assignments(text: str, where: str) -> tuple[Assignment, ...]:
    """Parse ``A=1 B="$PATH:x"``. Raises WheelworksError, which starts with ``where``, for anything else."""
    return tuple(_parse_assignment(parts, text, where) for parts in split_words(text, where))


def _parse_assignment(parts: list[Part], text: str, where: str) -> Assignment:
    name, equals, rest = parts[0].text.partition("=")
    if parts[0].is_name or not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise WheelworksError(f"{where}: not of the form NAME=VALUE: {text[:80]!r}")
    return Assignment(name, (Part(rest), *parts[1:]))


def split_words(text: str, where: str) -> list[list[Part]]:
    """Split text into words, each a list of its parts. Raises WheelworksError for what only a shell can do."""
    words: list[list[Part]] = []
    position, inside, between = 0, False, True
    while position < len(text):
        match = (_QUOTED if inside else _PART).match(text, position)
        if match is None or match["command"] or (not inside and match["operator"]):
            raise WheelworksError(f"{where}: this needs a shell: {text[position : position + 60]!r}")
        position = match.end()
        if not inside and match["blank"]:
            between = True
            continue
        if between:
            words.append([])
            between = False
        inside ^= match["double"] is not None
        words[-1].append(_make_part(match))
    if inside:
        raise WheelworksError(f"{where}: a quote isn't closed: {text[:80]!r}")
    return words


def _make_part(match: re.Match[str]) -> Part:
    if match["name"]:
        return Part(match["name"].strip("${}"), is_name=True)
    groups = match.groupdict()
    literals = (groups.get("single"), groups.get("escaped"), groups.get("plain"))
    return Part(next((one for one in literals if one is not None), ""))


def evaluate_assignments(assignments: Iterable[Assignment], outer: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the values that assignments give, one after another; ``outer`` are the variables before the first.

    Raises WheelworksError for a value of more than 1 MiB characters.
    """
    found: dict[str, str] = {}
    for one in assignments:
        known = {**outer, **found}
        found[one.name] = "".join(known.get(part.text, "") if part.is_name else part.text for part in one.parts)
        if len(found[one.name]) > _MAX_VALUE:
            raise WheelworksError(f"{where}: the value of {one.name} is too long")
    return found
