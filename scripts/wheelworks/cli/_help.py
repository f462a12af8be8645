"""How a command explains itself: its epilog made to fit the terminal, which argparse leaves as it was written."""

from __future__ import annotations

import argparse
import re
import textwrap


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Folds paragraphs; of an example that is too long, the explanation goes under the command."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (_folded(paragraph, width) for paragraph in text.split("\n\n"))
        return "\n\n".join(paragraphs)


def _folded(paragraph: str, width: int) -> str:
    lines = paragraph.splitlines()
    if not any(line.startswith("  ") for line in lines):
        return textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(folded for line in lines for folded in _example(line, width))


def _example(line: str, width: int) -> list[str]:
    if len(line) <= width or not (parts := re.fullmatch(r"(  \S.*?)\s{2,}(\S.*)", line)):
        return [line]
    return [parts[1], *textwrap.wrap(parts[2], width, initial_indent="      ", subsequent_indent="      ")]
