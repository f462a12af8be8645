"""Libraries that the user brings for a target: headers and static libraries below one folder, such as ``make install``
leaves them.

Nothing of this machine's own libraries is used for a target: it has another CPU, or a newer libc. A wheel holds no
shared libraries beside its modules, so that a library must be a static one.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wheelworks.build.objects import identify_objects
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.core.targets import Target, find_target
from wheelworks.core.zig import find_zig, find_zig_cache

_FORMATS = {"linux": "ELF", "macos": "Mach-O", "windows": "COFF"}
_SYSTEMS = {"ELF": "Linux", "Mach-O": "macOS", "COFF": "Windows"}
_LAYOUT_HINT = "name the folder that `make install` fills: its headers are in include/, its libraries in lib/ or lib64/"


@dataclass(frozen=True)
class Prefix:
    """A folder with libraries for a target; ``sha256`` covers the names and contents of what a build can use of it."""

    folder: Path
    sha256: str

    @cached_property
    def include(self) -> list[str]:
        """The folders of its headers."""
        return self._list("include")

    @cached_property
    def libraries(self) -> list[str]:
        """The folders of its static libraries."""
        return self._list("lib", "lib64")

    @cached_property
    def pkgconfig(self) -> list[str]:
        """The folders of its files for pkg-config."""
        return self._list("lib/pkgconfig", "lib64/pkgconfig", "share/pkgconfig")

    def _list(self, *names: str) -> list[str]:
        return [str(self.folder / name) for name in names if (self.folder / name).is_dir()]


def parse_prefixes(words: Sequence[str]) -> dict[str, tuple[Prefix, ...]]:
    """Parse words of the form ``TARGET=DIR``; return the prefixes by the target's id, in their order.

    Raises UsageError for another word, an unknown target, and a folder that isn't one for the target.
    """
    found: dict[str, tuple[Prefix, ...]] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not name or not folder:
            raise UsageError(f"--prefix {word}: not of the form TARGET=DIR", "--prefix win_arm64=DIR")
        try:
            target = find_target(name)
        except UsageError as error:
            raise UsageError(f"--prefix {word}: {error.message}", error.hint) from None
        found[target.id] = (*found.get(target.id, ()), _open_prefix(word, Path(folder).expanduser().absolute(), target))
    return found


def check_targets(prefixes: Mapping[str, object], targets: Iterable[Target]) -> None:
    """Check that each prefix is for one of the targets that are built. Raises UsageError."""
    if others := sorted(prefixes.keys() - {target.id for target in targets}):
        message = f"--prefix {others[0]}=DIR: nothing is built for {others[0]} by this command"
        raise UsageError(message, f"leave it out, or request the target: --target {others[0]}")


def list_include(prefixes: Iterable[Prefix]) -> list[str]:
    """Return the folders of the headers of prefixes, in their order."""
    return [folder for prefix in prefixes for folder in prefix.include]


def list_libraries(prefixes: Iterable[Prefix]) -> list[str]:
    """Return the folders of the static libraries of prefixes, in their order."""
    return [folder for prefix in prefixes for folder in prefix.libraries]


def make_variables(prefixes: Sequence[Prefix]) -> dict[str, str]:
    """Return the environment variables that show prefixes to a project's build.

    They are those of pkg-config, which then reads no other folder, and those of compilers (gcc(1)), which setup scripts
    search as well.
    """
    pkgconfig = [folder for prefix in prefixes for folder in prefix.pkgconfig]
    folders = {
        "PKG_CONFIG_LIBDIR": pkgconfig,
        "CPATH": list_include(prefixes),
        "LIBRARY_PATH": list_libraries(prefixes),
    }
    found = {name: os.pathsep.join(names) for name, names in folders.items()}
    # pkgconf leaves the folders of CPATH and LIBRARY_PATH out of its answers without these.
    shown = dict.fromkeys(("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "PKG_CONFIG_ALLOW_SYSTEM_LIBS"), "1" if prefixes else "")
    return {name: value for name, value in {**found, **shown}.items() if value}


def format_compiler(target: Target) -> str:
    """Return shell commands that set the variables with which autoconf and make build a library for a target.

    It is the compiler of the wheels. Its options are those that a static library needs to be linked into them.
    """
    zig, chosen = shlex.quote(find_zig()), f"-target {target.compiler} -mcpu={target.model}"
    flags = "-O2 -g0 -fPIC -fno-sanitize=undefined -fno-stack-protector"  # as command_lines.compile_command
    variables = {
        "CC": f"{zig} cc {chosen}",
        "CXX": f"{zig} c++ {chosen}",
        "AR": f"{zig} ar",
        "RANLIB": f"{zig} ranlib",
        **dict.fromkeys(("CFLAGS", "CXXFLAGS"), flags),
        "ZIG_GLOBAL_CACHE_DIR": str(find_zig_cache()),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _open_prefix(word: str, folder: Path, target: Target) -> Prefix:
    if not folder.is_dir():
        raise UsageError(f"--prefix {word}: there is no such folder", _LAYOUT_HINT)
    if not any((folder / name).is_dir() for name in ("include", "lib", "lib64")):
        raise UsageError(f"--prefix {word}: the folder has neither include/ nor lib/", _LAYOUT_HINT)
    for library in _list_static_libraries(folder):
        _check_library(f"--prefix {word}: {library.relative_to(folder).as_posix()}", library, target)
    return Prefix(folder, _hash_files(folder))


def _list_static_libraries(folder: Path) -> list[Path]:
    found = (path for name in ("lib", "lib64") for path in (folder / name).glob("*") if path.suffix in (".a", ".lib"))
    return sorted(path for path in found if path.is_file())


def _check_library(what: str, library: Path, target: Target) -> None:
    """Check that a static library has code of the target's format and CPU. Raises UsageError that names both."""
    try:
        kinds = identify_objects(library.read_bytes())
    except WheelworksError as error:
        raise UsageError(f"{what}: {error.message}", error.hint or _format_hint(target)) from None
    wanted = (_FORMATS[target.os], target.cpu)
    if others := sorted(kinds - {wanted}):
        raise UsageError(
            f"{what} has code for {_describe(others[0])}, not for {_describe(wanted)}", _format_hint(target)
        )


def _describe(kind: tuple[str, str]) -> str:
    form, cpu = kind
    return f"{_SYSTEMS[form]} on {cpu} ({form})"


def _format_hint(target: Target) -> str:
    return f"build the library for {target.id}: --show-compiler {target.id} prints the compiler"


def _hash_files(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a prefix's headers, static libraries and pkg-config files."""
    total = hashlib.sha256()
    for path in sorted({*_iter_files(folder), *_list_static_libraries(folder)}):
        total.update(f"{path.relative_to(folder).as_posix()}\0{hash_file(path)}\n".encode())
    return total.hexdigest()


def _iter_files(folder: Path) -> Iterator[Path]:
    for place, _, files in os.walk(folder / "include", followlinks=False):
        yield from (Path(place, file) for file in files)
    for name in ("lib", "lib64", "share"):
        yield from (folder / name / "pkgconfig").glob("*.pc")
