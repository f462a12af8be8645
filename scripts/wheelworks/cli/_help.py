"""The layout of a command's --help: argparse doesn't wrap an epilog with examples in it."""

from __future__ import annotations

import argparse
import re
import textwrap


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wrap paragraphs; where an example is too long, put its explanation below the command."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (_wrap_paragraph(paragraph, width) for paragraph in text.split("\n\n"))
        return "\n\n".join(paragraphs)


def _wrap_paragraph(paragraph: str, width: int) -> str:
    lines = paragraph.splitlines()
    if not any(line.startswith("  ") for line in lines):
        return textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped for line in lines for wrapped in _wrap_example(line, width))


def _wrap_example(line: str, width: int) -> list[str]:
    if len(line) <= width or not (parts := re.fullmatch(r"(  \S.*?)\s{2,}(\S.*)", line)):
        return [line]
    return [parts[1], *textwrap.wrap(parts[2], width, initial_indent="      ", subsequent_indent="      ")]
