"""Parse the compiler arguments that a project's build writes, and drop those that describe the host.

A build backend writes arguments for the machine that it runs on. Arguments that describe that machine (its folders, its
CPU, its Python) must not reach the target; arguments that describe the source must. The compiler driver imports this
module for each source file, so that it must stay light to import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Literal

from wheelworks.build import cpu_options, linker_options, msvc

OBJECT_SUFFIXES = (".o", ".obj", ".a")
SOURCE_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".s", ".S", ".m", ".mm")

_WITH_VALUE = frozenset(
    {"-o", "-I", "-L", "-D", "-U", "-l", "-x", "-isystem", "-idirafter", "-iquote", "-include", "-imacros", "-arch"}
    | {"-isysroot", "-MF", "-MT", "-MQ", "-framework", "-target", "-undefined", "-install_name", "-Xlinker", "-Xclang"}
)
_FOLDER_FLAGS = ("-I", "-L", "-isystem", "-idirafter", "-iquote")
_OF_THE_HOST = "it describes this machine"
# Arguments that must not reach the target's compiler, and why.
_LEFT_OUT = {
    re.compile(r"-(march|mcpu|mtune)=native|-mtune=.*"): "it is about this machine's CPU",
    re.compile(r"-arch|-target|--target=.*|-isysroot|-mmacosx-version-min=.*"): _OF_THE_HOST,
    re.compile(r"-l:?(lib)?python.*"): "an extension gets CPython's functions from the program that loads it",
    re.compile(r"-g.*"): "wheels have no debug information, which names folders of this machine",
    re.compile(r"-flto.*|-fuse-ld=.*"): "how to link is decided for each target",
    re.compile(
        r"-pipe|-fno-semantic-interposition|-fstack-clash-protection"
    ): "it is an option of GCC for this machine",
}
_SHARED = ("-shared", "-bundle", "-dynamiclib")
_NOT_LINKING = ("-c", "-S", "-E", "-M", "-MM", "-fsyntax-only")
_REPLACED_WHEN_LINKING = re.compile(
    r"-shared|-bundle|-dynamiclib|-undefined$|-install_name$|-Wl,-undefined,.*|-s|-pthread"
    r"|-static|-static-libgcc|-static-libstdc\+\+|-pie"  # zig would make an archive; its own libraries are static
)


@dataclass(frozen=True)
class DriverSettings:
    """What the compiler driver knows of one build; handed over as a JSON file.

    ``compiler`` is the compiler's target triple, ``model`` its CPU, ``include`` the folder with CPython's headers,
    ``python`` their version ("311", "314t"), ``source`` the tree that is built, ``allowed`` the folders that headers
    and libraries may come from, ``work`` a folder for the driver's own files, ``log`` the file that it appends events
    to. The file ``libc_marker`` exists if this target's libc has been linked before. ``forwarders`` is a folder of
    headers for names in Windows' case, or "". ``ms_extensions`` says that the source is in Microsoft's C. ``prefixes``,
    ``prefix_include`` and ``prefix_libraries`` are the folders of libraries that the user brings for the target.
    ``objects`` is the folder of `object_cache`, or "" to compile everything, ``compiler_version`` that of zig.
    """

    target: str
    os: str
    cpu: str
    compiler: str
    model: str
    python: str
    zig: str
    include: str
    source: str
    allowed: Sequence[str]
    work: str
    log: str
    libc_marker: str
    forwarders: str = ""
    ms_extensions: bool = False
    prefixes: Sequence[str] = ()
    prefix_include: Sequence[str] = ()
    prefix_libraries: Sequence[str] = ()
    objects: str = ""
    compiler_version: str = ""

    def write(self, path: Path) -> None:
        """Write the settings for the driver to read."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> DriverSettings:
        """Read the settings that `write` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass
class Invocation:
    """One parsed invocation of the compiler; ``dropped`` are the arguments that describe the host.

    ``shared`` says that it makes a shared library, such as an extension module.
    """

    output: str = ""
    flags: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    shared: bool = False
    for_windows: bool = False

    @property
    def compiles(self) -> bool:
        """Return whether the invocation ends before linking."""
        return any(flag in _NOT_LINKING for flag in self.flags)

    @property
    def step(self) -> Literal["query", "compile", "link", "program"]:
        """What the invocation does; a query, such as ``--version``, has no input.

        A build links extension modules and other shared libraries. It links programs to test the compiler or libc.
        """
        if not self.sources and not self.objects:
            return "query"
        if self.compiles:
            return "compile"
        return "link" if self.shared else "program"


def iter_arguments(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield each argument together with its value: ``-I x`` is one argument of two words."""
    rest = iter(words)
    for word in rest:
        yield (word, next(rest, "")) if word in _WITH_VALUE else (word,)


def parse_arguments(words: Sequence[str], settings: DriverSettings) -> Invocation:
    """Parse an invocation of the compiler, and drop what describes the host."""
    parsed = Invocation(shared=not set(_SHARED).isdisjoint(words), for_windows=settings.os == "windows")
    for argument in iter_arguments(words):
        if parsed.shared and _REPLACED_WHEN_LINKING.fullmatch(argument[0]):
            continue  # link_command adds the target's own
        if parsed.shared and argument[0].startswith("-Wl,"):
            _add_linker_options(argument[0], parsed)
            continue
        translated = msvc.translate(argument, is_file=_is_file) if settings.os == "windows" else argument
        if translated is None or _describes_host(translated, settings):
            parsed.dropped.append(" ".join(argument))
        elif cpu := cpu_options.translate(translated[0], settings.cpu, settings.model):
            _add_argument((cpu, *translated[1:]), parsed)
    return parsed


def _add_linker_options(word: str, parsed: Invocation) -> None:
    kept, left_out = linker_options.split(word)
    parsed.flags += [kept] if kept else []
    parsed.dropped += [left_out] if left_out else []


def _is_file(word: str) -> bool:
    """Return whether a word is a file, which may exist later only, rather than an option."""
    named = word.endswith(SOURCE_SUFFIXES + OBJECT_SUFFIXES) and not re.search("[:=]", word)
    return named or os.path.exists(word)


def _add_argument(argument: tuple[str, ...], parsed: Invocation) -> None:
    name, value = argument[0], argument[-1]
    if name == "-o":
        parsed.output = value
    elif parsed.for_windows and name.lower().endswith(".lib") and not os.path.exists(name):
        parsed.libraries.append(msvc.plain_library(name))
    elif name.startswith("-l"):
        parsed.libraries.append("-l" + "".join(argument).removeprefix("-l"))
    elif name == "-":  # standard input
        parsed.sources.append(name)
    elif name.startswith("-"):
        parsed.flags.extend(argument)
    elif name.endswith(OBJECT_SUFFIXES):
        parsed.objects.append(name)
    elif name.endswith(SOURCE_SUFFIXES):
        parsed.sources.append(name)
    else:
        parsed.flags.append(name)


def _describes_host(argument: tuple[str, ...], settings: DriverSettings) -> bool:
    name = argument[0]
    if any(pattern.fullmatch(name) for pattern in _LEFT_OUT):
        return True
    folder = next((flag for flag in _FOLDER_FLAGS if name.startswith(flag)), None)
    return folder is not None and not _is_allowed(argument[-1].removeprefix(folder), settings)


def explain_dropped(words: str) -> str:
    """Return why an argument, with its value after a blank, was left out."""
    name = words.split(" ")[0]
    if name.startswith("-Wl,"):
        return linker_options.REASON
    reasons = [reason for pattern, reason in _LEFT_OUT.items() if pattern.fullmatch(name)]
    if not reasons and not name.startswith(_FOLDER_FLAGS):
        reasons = ["it is an option of Microsoft's compiler that has no meaning for clang"]
    return (
        reasons[0] if reasons else "the folder is neither the project's nor that of a build requirement or a --prefix"
    )


def _is_allowed(path: str, settings: DriverSettings) -> bool:
    """Return whether a folder belongs to the tree that is built or to its build requirements.

    Relative paths do: the tree is a copy, so that a path which leaves it finds nothing. The tree has no links, so that
    ".." is the folder above.
    """
    given = parse_host_path(path)
    if not given.is_absolute():
        return True
    parts: list[str] = []
    for part in given.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    plain = type(given)(*parts)
    return any(plain.is_relative_to(parse_host_path(root)) for root in settings.allowed)


def parse_host_path(path: str) -> PurePath:
    """Parse a path of the host; a drive or leading backslashes show that the host is Windows."""
    return PureWindowsPath(path) if re.match(r"[A-Za-z]:[\\/]|\\\\", path) else PurePosixPath(path)
