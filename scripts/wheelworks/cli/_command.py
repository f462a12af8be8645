"""What every command shares: its parser, the layout of its --help, and the folders that it writes to."""

from __future__ import annotations

import argparse
import difflib
import re
import secrets
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from wheelworks.core.errors import UsageError
from wheelworks.core.files import remove_tree

_DEFAULTS = {"out": "dist", "tests": "smoke"}  # values of options that needn't be repeated, besides empty ones


def create_parser(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser for the command line ``program``, whose --help ends with the wrapped ``epilog``."""
    return _Parser(prog=program, description=description, epilog=epilog, formatter_class=_HelpFormatter)


class _Parser(argparse.ArgumentParser):
    """Report a wrong command line as every other error is reported, with the nearest option or value."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError. argparse would print twenty lines of options, and end the program."""
        shown = message.removeprefix("argument ")
        raise UsageError(shown, f"{self._suggest(shown)}{self.prog} --help lists the options")

    def _suggest(self, message: str) -> str:
        if unknown := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1, cutoff=0.7)
        elif invalid := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            near = difflib.get_close_matches(invalid[1], re.findall(r"[\w-]+", invalid[2]), n=1, cutoff=0.7)
        else:
            near = []
        return f"did you mean {near[0]}? " if near else ""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wrap paragraphs; where an example is too long, put its explanation below the command."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(_wrap_paragraph(paragraph, width) for paragraph in text.split("\n\n"))


def _wrap_paragraph(paragraph: str, width: int) -> str:
    lines = paragraph.splitlines()
    if not any(line.startswith("  ") for line in lines):
        return textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped for line in lines for wrapped in _wrap_example(line, width))


def _wrap_example(line: str, width: int) -> list[str]:
    if len(line) <= width or not (parts := re.fullmatch(r"(  \S.*?)\s{2,}(\S.*)", line)):
        return [line]
    return [parts[1], *textwrap.wrap(parts[2], width, initial_indent="      ", subsequent_indent="      ")]


def repeat_options(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Return those of the options that were given, as words of a command line that repeats a part of the command."""
    words = []
    for name in names:
        value = getattr(options, name)
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(one)] if one and one != _DEFAULTS.get(name) else []
    return words


def ensure_writable(folder: Path, option: str = "--out") -> Path:
    """Create the folder of an option where it doesn't exist; returns it. Raises UsageError if it can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        why = "it is a file, not a folder" if folder.is_file() else error.strerror
        raise UsageError(f"{option} {folder}: {why}", "name a folder that you may write to") from error


@contextmanager
def create_work_folder() -> Iterator[Path]:
    """Create a temporary folder; it is removed afterwards, even where an interrupt arrives during its creation.

    Libraries create their temporary files in it too: an interrupt can arrive before they have noted what to remove.
    """
    parent = tempfile.gettempdir()
    path = Path(parent, f"wheelworks-{secrets.token_hex(6)}")
    try:
        path.mkdir(mode=0o700)
        tempfile.tempdir = str(path)
        yield path.resolve()
    finally:
        tempfile.tempdir = parent
        remove_tree(path)
