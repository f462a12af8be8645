"""Split a project's test command into steps that run without a shell, where that is possible.

A foreign root has no shell, and pytest is to run with a plugin of ours. Commands joined by ``&&`` or ``;``, assignments
before a command, and ``cd`` are understood; anything else that only a shell can do makes one step of the kind "shell".
The grammar is that of POSIX, Shell Command Language, 2.3 and 2.10.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["pytest", "python", "program", "shell", "imports"]

# Expansions, pipes, redirections, lists and compound commands.
_NEEDS_SHELL = re.compile(r"[|<>`*?~]|\$[({]|(?<!&)&(?!&)|(?:^|&&|;)\s*(?:\(|(?:if|for|while|case|until|!|\{)\s)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_PYTHON = re.compile(r"(?:\S*/)?python(?:3(?:\.\d+)?)?(?:\.exe)?")
_PYTHON_FLAGS = re.compile(r"-[bBdEiIOPqRsSuvx]+")  # options without a value
_PYTHON_OPTIONS = ("-W", "-X")


@dataclass(frozen=True)
class Step:
    """One command: its kind, its words (for pytest its arguments, for Python those after the program's name).

    ``folder`` is the folder that ``cd`` has named, relative to the one in which the tests start; ``variables`` are
    those assigned before the command.
    """

    kind: Kind
    words: tuple[str, ...]
    folder: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the command for people."""
        program = {"pytest": ["pytest"], "python": ["python"]}.get(self.kind, [])
        return self.words[0] if self.kind == "shell" else shlex.join([*program, *self.words])


def split_command(command: str) -> list[Step]:
    """Return the steps of a command line."""
    try:
        if _NEEDS_SHELL.search(_drop_quoted(command)):
            raise ValueError
        return list(_read_steps(command))
    except ValueError:
        return [Step("shell", (command.strip(),))]


def _drop_quoted(command: str) -> str:
    """Return a command without its quoted parts, in which only an expansion would need a shell."""
    without = re.sub(r"'[^']*'", "''", command)
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: "$(" if re.search(r"`|\$[({]", found[1]) else '""', without)


def _read_steps(command: str) -> Iterator[Step]:
    folder, exported = "", dict[str, str]()
    for all_words in _split_commands(command):
        count = next((index for index, word in enumerate(all_words) if not _ASSIGNMENT.fullmatch(word)), len(all_words))
        assigned, words = all_words[:count], all_words[count:]
        variables = {**exported, **dict(map(_split_assignment, assigned))}
        if not words:
            exported = variables
        elif words[0] == "export":
            exported.update(map(_split_assignment, words[1:]))
        elif words[0] == "cd" and len(words) == 2:
            folder = _join_folder(folder, words[1])
        elif words[0] in ("set", "true", "echo", ":"):
            continue
        else:
            yield _classify(words, folder, variables)


def _split_assignment(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _split_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="&;\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, "#"
    words: list[str] = []
    for token in lexer:
        if set(token) <= set("&;\n") and token.strip() in ("&&", ";", ""):
            if words:
                yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words


def _join_folder(folder: str, name: str) -> str:
    return name if not folder or name.startswith(("/", "{")) else f"{folder}/{name}"


def _classify(words: list[str], folder: str, variables: dict[str, str]) -> Step:
    if words[0] in ("pytest", "py.test"):
        return Step("pytest", tuple(words[1:]), folder, variables)
    if words[:2] == ["coverage", "run"]:
        words = ["python", *_drop_coverage_options(words[2:])]  # coverage of tests isn't measured here
    if not _PYTHON.fullmatch(words[0]):
        return Step("program", tuple(words), folder, variables)
    rest = _drop_python_options(words[1:])
    if rest[:1] == ["-m"] and rest[1:2] in (["pytest"], ["py.test"]):
        return Step("pytest", tuple(rest[2:]), folder, variables)
    if rest[:3] == ["-m", "coverage", "run"]:
        return _classify(["coverage", *rest[2:]], folder, variables)
    return Step("python", tuple(words[1:]), folder, variables)


def _drop_python_options(words: list[str]) -> list[str]:
    while words and (_PYTHON_FLAGS.fullmatch(words[0]) or words[0].startswith(_PYTHON_OPTIONS)):
        words = words[2 if words[0] in _PYTHON_OPTIONS else 1 :]
    return words


def _drop_coverage_options(words: list[str]) -> list[str]:
    while (words and words[0].startswith("--")) or words[:1] in (["-p"], ["-a"]):
        words = words[1:]
    return words
