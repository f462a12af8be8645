"""What the compiler driver needs to know of a target, handed to it as a JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any


@dataclass(frozen=True)
class DriverSettings:
    """One build's compiler settings.

    ``compiler`` is the compiler's target, ``model`` its CPU, ``include`` the folder with CPython's headers, ``python``
    their version ("311", "314t"), ``source`` the tree that is built, ``allowed`` the folders that headers and libraries
    may come from, ``work`` a folder for what the driver writes, ``log`` the file it reports to, ``warm`` the file whose
    presence says that this target's libc has been linked before.
    """

    target: str
    os: str
    cpu: str
    compiler: str
    model: str
    minimum: str
    python: str
    zig: str
    include: str
    source: str
    allowed: tuple[str, ...]
    work: str
    log: str
    warm: str

    def write(self, path: Path) -> None:
        """Write the settings for the driver to read."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> DriverSettings:
        """Read what ``write`` wrote."""
        values: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**{**values, "allowed": tuple(values["allowed"])})


OBJECT_SUFFIXES = (".o", ".obj", ".a")
SOURCE_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".s", ".S", ".m", ".mm")

_WITH_VALUE = frozenset(
    {"-o", "-I", "-L", "-D", "-U", "-l", "-x", "-isystem", "-idirafter", "-iquote", "-include", "-imacros", "-arch"}
    | {"-isysroot", "-MF", "-MT", "-MQ", "-framework", "-target", "-undefined", "-install_name", "-Xlinker", "-Xclang"}
)
_FOLDER_FLAGS = ("-I", "-L", "-isystem", "-idirafter", "-iquote")
_HOST_ONLY = re.compile(
    r"-(march|mcpu|mtune)=native|-mtune=.*|-arch$|-isysroot$|-mmacosx-version-min=.*|-target$|--target=.*|-l:?(lib)?python.*"
)
_DEBUG_AND_LTO = re.compile(r"-g.*|-flto.*|-pipe|-fno-semantic-interposition|-fstack-clash-protection|-fuse-ld=.*")
_LINKING = re.compile(r"-shared|-bundle|-dynamiclib|-undefined$|-install_name$|-Wl,-undefined,.*|-s|-pthread")
_MSVC = re.compile(
    r"/(?P<name>D|I|std:|O[0-9a-z]+|W[0-9aXl].*|EH.*|G[A-Z].*|M[DT]d?|utf-8|nologo|Z.*|permissive-|bigobj)(?P<value>.*)"
)


@dataclass
class Invocation:
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


def iter_arguments(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each argument with the word that belongs to it, where it takes one: ``-I x`` is one argument."""
    rest = iter(words)
    for word in rest:
        if word in _WITH_VALUE:
            yield word, next(rest, "")
        else:
            yield (word,)


def parse_arguments(words: Sequence[str], settings: DriverSettings) -> Invocation:
    """Take an invocation apart, and leave out what describes the host."""
    found = Invocation(links="-shared" in words)
    for argument in iter_arguments(words):
        if found.links and _LINKING.fullmatch(argument[0]):
            continue  # our own link command says these its own way
        translated = translate_msvc(argument) if settings.os == "windows" else argument
        if translated is None or _describes_host(translated, settings):
            found.dropped.append(" ".join(argument))
        else:
            _add_argument(translated, found)
    return found


def _add_argument(argument: tuple[str, ...], found: Invocation) -> None:
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


def _describes_host(argument: tuple[str, ...], settings: DriverSettings) -> bool:
    name = argument[0]
    if _HOST_ONLY.fullmatch(name) or _DEBUG_AND_LTO.fullmatch(name):
        return True
    folder = next((flag for flag in _FOLDER_FLAGS if name.startswith(flag)), None)
    return folder is not None and not _is_allowed(argument[-1].removeprefix(folder), settings)


def _is_allowed(path: str, settings: DriverSettings) -> bool:
    """Whether a folder lies in the tree that is built, or in what its build requirements brought.

    A relative path does: the tree is a copy, so what a path leaves it for isn't there.
    """
    given = parse_host_path(path)
    if not given.is_absolute():
        return True
    return ".." not in given.parts and any(given.is_relative_to(parse_host_path(root)) for root in settings.allowed)


def parse_host_path(path: str) -> PurePath:
    """A path of the host, which shows by its drive or its backslashes whether that is Windows."""
    return PureWindowsPath(path) if re.match(r"[A-Za-z]:[\\/]|\\\\", path) else PurePosixPath(path)


def translate_msvc(argument: tuple[str, ...]) -> tuple[str, ...] | None:
    """What an argument of Microsoft's compiler is to ours: itself where it is none, None where it means nothing."""
    match = _MSVC.fullmatch(argument[0])
    if match is None or argument[0].endswith(SOURCE_SUFFIXES + OBJECT_SUFFIXES):  # /Data/a.c is a file
        return argument
    name, value = match["name"], match["value"]
    if name in ("D", "I"):
        return (f"-{name}{value}",)
    return (f"-std={value.replace('latest', '2b')}",) if name == "std:" else None
