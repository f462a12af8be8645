"""A project's compiler arguments, and which of them may reach a target: pure functions over lists of words.

A project's build writes arguments for the compiler that it expects on its own machine. What describes that machine
(its folders, its CPU, its Python) must not reach the target; what describes the source must.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from wheelworks.build.settings import Settings

OBJECT_SUFFIXES = (".o", ".obj", ".a")
SOURCE_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".s", ".S", ".m", ".mm")

_TAKES_A_WORD = frozenset(
    {"-o", "-I", "-L", "-D", "-U", "-l", "-x", "-isystem", "-idirafter", "-iquote", "-include", "-imacros", "-arch"}
    | {"-isysroot", "-MF", "-MT", "-MQ", "-framework", "-target", "-undefined", "-install_name", "-Xlinker", "-Xclang"}
)
_FOLDERS = ("-I", "-L", "-isystem", "-idirafter", "-iquote")
_OF_THE_HOST = re.compile(
    r"-(march|mcpu|mtune)=native|-mtune=.*|-arch$|-isysroot$|-mmacosx-version-min=.*|-target$|--target=.*|-l:?(lib)?python.*"
)
_FOR_ANOTHER_BUILD = re.compile(r"-g.*|-flto.*|-pipe|-fno-semantic-interposition|-fstack-clash-protection|-fuse-ld=.*")
_OF_THE_LINKER_LINE = re.compile(
    r"-shared|-bundle|-dynamiclib|-undefined$|-install_name$|-Wl,-undefined,.*|-s|-pthread"
)
_MSVC = re.compile(
    r"/(?P<name>D|I|std:|O[0-9a-z]+|W[0-9aXl].*|EH.*|G[A-Z].*|M[DT]d?|utf-8|nologo|Z.*|permissive-|bigobj)(?P<value>.*)"
)


@dataclass
class Arguments:
    """One invocation, taken apart: what it makes, of what, and which words were left out as the host's."""

    output: str = ""
    flags: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    links: bool = False

    @property
    def compiles(self) -> bool:
        """Whether it ends before linking."""
        return any(flag in ("-c", "-S", "-E") for flag in self.flags)


def pairs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each argument with the word that belongs to it, where it takes one: ``-I x`` is one argument."""
    rest = iter(words)
    for word in rest:
        if word in _TAKES_A_WORD:
            yield word, next(rest, "")
        else:
            yield (word,)


def parse(words: Sequence[str], settings: Settings) -> Arguments:
    """Take an invocation apart, and leave out what describes the host."""
    found = Arguments(links="-shared" in words)
    for argument in pairs(words):
        if found.links and _OF_THE_LINKER_LINE.fullmatch(argument[0]):
            continue  # our own link command says these its own way
        translated = from_msvc(argument) if settings.os == "windows" else argument
        if translated is None or _left_out(translated, settings):
            found.dropped.append(" ".join(argument))
        else:
            _sort_in(translated, found)
    return found


def _sort_in(argument: tuple[str, ...], found: Arguments) -> None:
    name, value = argument[0], argument[-1]
    if name == "-o":
        found.output = value
    elif name.startswith("-l"):
        found.libraries.append("-l" + "".join(argument).removeprefix("-l"))
    elif name.startswith("-"):
        found.flags.extend(argument)
    elif name.endswith(OBJECT_SUFFIXES):
        found.objects.append(name)
    elif name.endswith(SOURCE_SUFFIXES):
        found.sources.append(name)
    else:
        found.flags.append(name)


def _left_out(argument: tuple[str, ...], settings: Settings) -> bool:
    name = argument[0]
    if _OF_THE_HOST.fullmatch(name) or _FOR_ANOTHER_BUILD.fullmatch(name):
        return True
    folder = next((flag for flag in _FOLDERS if name.startswith(flag)), None)
    return folder is not None and not _allowed(argument[-1].removeprefix(folder), settings)


def _allowed(path: str, settings: Settings) -> bool:
    """Whether a folder lies in the tree that is built, or in what its build requirements brought.

    A relative path does: the tree is a copy, so what a path leaves it for isn't there.
    """
    given = pure(path)
    if not given.is_absolute():
        return True
    return ".." not in given.parts and any(given.is_relative_to(pure(root)) for root in settings.allowed)


def pure(path: str) -> PurePath:
    """A path of the host, which shows by its drive or its backslashes whether that is Windows."""
    return PureWindowsPath(path) if re.match(r"[A-Za-z]:[\\/]|\\\\", path) else PurePosixPath(path)


def from_msvc(argument: tuple[str, ...]) -> tuple[str, ...] | None:
    """What an argument of Microsoft's compiler is to ours: itself where it is none, None where it means nothing."""
    match = _MSVC.fullmatch(argument[0])
    if match is None or argument[0].endswith(SOURCE_SUFFIXES + OBJECT_SUFFIXES):  # /Data/a.c is a file
        return argument
    name, value = match["name"], match["value"]
    if name in ("D", "I"):
        return (f"-{name}{value}",)
    return (f"-std={value.replace('latest', '2b')}",) if name == "std:" else None
