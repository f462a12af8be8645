"""Rewrap all binaries of a wheel and of its dependencies together: modules, and the libraries that they load.

Each binary of Windows or macOS becomes an ELF file at its own place in site-packages. Modules get names that CPython
imports on Linux. A library that others import from gets a soname of its own, and a link in the folder `LIBRARIES`,
where each binary's RUNPATH finds it: so glibc loads the wheel's own file, whatever libraries the root has.

How the systems find a library
    - Windows (LoadLibraryEx with LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, as CPython calls it): by its file name, without
      case, in the folder of the module and in those given to ``os.add_dll_directory``. Which of a wheel's code gives
      which folders isn't known here: the folder of the module comes first, then any other of the wheel.
    - macOS (dyld(1)): by its path, in which ``@loader_path`` is the folder of the binary that names it, and ``@rpath``
      each entry of LC_RPATH in turn. A library with that install name that was loaded before is taken, too.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wheelworks.core.binary import MACHO_MAGIC, name_entry_points
from wheelworks.core.formats import list_cpus, read_image
from wheelworks.core.image import Image
from wheelworks.foreign.rewrap.forwards import follow_forwards, list_forwarding_libraries
from wheelworks.foreign.rewrap.patches import Patch
from wheelworks.foreign.rewrap.rewrapper import MAX_FILE, CannotRewrap, rewrap_image
from wheelworks.foreign.rewrap.symbols import Exports, Provided

LIBRARIES = ".wheelworks-libs"
SUFFIXES = (".pyd", ".so", ".dll", ".dylib")
TRIPLETS = {"aarch64": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu"}
# Libraries that other parts of a run provide, whatever a wheel carries: CPython, and the C runtime that the shim is.
_PROVIDED = {
    "windows": re.compile(r"python3\d*t?\.dll|vcruntime\d+(_\d+)?\.dll|ucrtbase\.dll|(api|ext)-ms-.*\.dll"),
    "macos": re.compile(r"/usr/lib/.*|/System/.*|.*/Python3?\.framework/.*|.*/(Python|libpython3[\d.]*t?\.dylib)"),
}
# A name as in `Rewrapped.unresolved`, of CPython's DLL, or of no library: macOS looks CPython's names up everywhere.
_PYTHON_API = re.compile(r"(?i:python3\d*t?\.dll!)?_?Py[A-Z_]\w*")
_WINDOWS_API = re.compile(r"Windows|MBCS|CodePage|PyOS_CheckStack")


@dataclass(frozen=True)
class NativeFile:
    """A binary of a wheel: its path in site-packages, what its headers say, and the libraries of the wheel it loads.

    ``loads`` maps a library, as the image names it, to its path in site-packages.
    """

    path: str
    image: Image
    loads: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Return the last part of the module's name."""
        return posixpath.basename(self.path).partition(".")[0]

    @property
    def is_module(self) -> bool:
        """Return whether CPython can import it: whether it has the entry point of its name, and calls CPython.

        PyCryptodome's libraries have an entry point that does nothing: ctypes or cffi loads them.
        """
        if not any(name in self.image.exports for name in name_entry_points(self.stem)):
            return False
        return any(bind.name.startswith(("Py", "_Py")) for bind in self.image.binds)


@dataclass(frozen=True)
class Bundle:
    """The rewrapped binaries of a ``system``: ``files`` by path in site-packages, ``links`` from a path to another.

    ``targets`` maps a binary's path in the wheel to that in site-packages. ``modules`` are the paths of extension
    modules, ``libraries`` of binaries that nothing here imports. ``patches`` and ``unresolved`` have an entry for each
    rewrapped binary that has any, by its path in the wheel. ``defects`` are such paths with findings.
    """

    system: str
    files: Mapping[str, bytes]
    links: Mapping[str, str]
    targets: Mapping[str, str]
    modules: tuple[str, ...]
    libraries: tuple[str, ...]
    patches: Mapping[str, tuple[Patch, ...]]
    unresolved: Mapping[str, tuple[str, ...]]
    defects: tuple[tuple[str, str], ...]


def is_native(path: str, data: bytes) -> bool:
    """Return whether a file is a binary of Windows or macOS that a process can load."""
    return path.lower().endswith(SUFFIXES) and (data[:2] == b"MZ" or data[:4] in MACHO_MAGIC)


def rewrap_files(files: Mapping[str, bytes], cpu: str, python: str, provided: Provided) -> Bundle:
    """Rewrap binaries, given by path in site-packages, for CPython ``python`` ("3.13") of Linux on a CPU.

    ``provided`` are the symbols of CPython, of the shim and of the system. Raises CannotRewrap for what isn't
    understood: a part for another CPU, a library that isn't there; BadImage for what no loader accepts. Libraries may
    load each other, as FreeType and HarfBuzz do in Pillow's wheels: glibc then starts one of them first, as dyld does.
    """
    natives = find_libraries(read_files(files, cpu))
    needed = {path for native in natives.values() for path in native.loads.values()}
    sonames = {path: make_soname(path) for path in sorted(needed)}
    targets = {path: rename(native, cpu) for path, native in natives.items()}
    if twice := sorted({path for path in targets.values() if list(targets.values()).count(path) > 1}):
        raise CannotRewrap(f"{twice[0]}: two binaries of the wheel would have this name on Linux")
    images = {path: native.image for path, native in natives.items()}
    loads = {path: native.loads for path, native in natives.items()}
    exports = {path: Exports(soname, dict.fromkeys(images[path].exports, "")) for path, soname in sonames.items()}
    made = {}
    for path, native in natives.items():
        known = {_spell(name, native.image): exports[to] for name, to in native.loads.items()}
        own = replace(provided, rewrapped={**provided.rewrapped, **known})
        image, own = follow_forwards(path, images, loads, exports, own)
        made[path] = rewrap_image(
            image, name=path, soname=sonames.get(path, ""), provided=own, runpath=make_runpath(path)
        )
    alone = [path for path, native in natives.items() if not native.is_module and path not in needed]
    unresolved = {path: rewrapped.unresolved for path, rewrapped in made.items() if rewrapped.unresolved}
    return Bundle(
        system=next((native.image.os for native in natives.values()), ""),
        files={targets[path]: rewrapped.elf for path, rewrapped in made.items()},
        links={f"{LIBRARIES}/{soname}": f"../{targets[path]}" for path, soname in sonames.items()},
        targets=targets,
        modules=tuple(sorted(targets[path] for path, native in natives.items() if native.is_module)),
        libraries=tuple(sorted(targets[path] for path in alone)),
        patches={path: rewrapped.patches for path, rewrapped in made.items() if rewrapped.patches},
        unresolved=unresolved,
        defects=tuple(find_missing_python_api(unresolved, python)),
    )


def read_files(files: Mapping[str, bytes], cpu: str) -> dict[str, NativeFile]:
    """Read the binaries for a CPU. Raises CannotRewrap for a file that has no code for it, BadImage."""
    found = {}
    for path, data in files.items():
        cpus = list_cpus(data, path)
        if cpus != (None,) and cpu not in cpus:
            raise CannotRewrap(f"{path}: it has code for {', '.join(map(str, cpus))}, none for {cpu}")
        found[path] = NativeFile(path, read_image(data, path, cpu, limit=MAX_FILE))
    return found


def find_libraries(natives: Mapping[str, NativeFile]) -> dict[str, NativeFile]:
    """Return the binaries with the libraries of the wheel that each loads. Raises CannotRewrap for a missing one."""
    found = {}
    for path, native in natives.items():
        names = [*native.image.libraries, *native.image.delayed, *list_forwarding_libraries(native.image)]
        wanted = [name for name in names if not _PROVIDED[native.image.os].fullmatch(_spell(name, native.image))]
        loads = {name: _find(name, native, natives) for name in wanted}
        found[path] = replace(native, loads={name: target for name, target in loads.items() if target})
    return found


def _spell(name: str, image: Image) -> str:
    return name.lower() if image.os == "windows" else name


def _find(name: str, native: NativeFile, natives: Mapping[str, NativeFile]) -> str:
    """Return the path of a library; "" for one of Windows' own, which can't be told from one that is missing."""
    if native.image.os == "windows":
        return _find_by_name(name, native.path, natives)
    candidates = [*_expand(name, native), *_find_by_install_name(name, natives)]
    if found := next((path for path in candidates if path in natives), ""):
        return found
    raise CannotRewrap(f"{native.path}: it loads {name}, which neither macOS nor the wheel has")


def _find_by_name(name: str, path: str, natives: Mapping[str, NativeFile]) -> str:
    same = [other for other in natives if posixpath.basename(other).lower() == name.lower() and other != path]
    own = posixpath.dirname(path)
    return min(same, key=lambda other: (posixpath.dirname(other) != own, other), default="")


def _expand(name: str, native: NativeFile) -> list[str]:
    """Return the paths in site-packages that a library's path on macOS stands for, in dyld's order."""
    starts = native.image.rpaths if name.startswith("@rpath/") else ("@loader_path",)
    paths = [posixpath.join(start, name.partition("/")[2]) for start in starts]
    folder = posixpath.dirname(native.path) or "."
    inside = [path.replace("@loader_path", folder, 1) for path in paths if path.startswith("@loader_path")]
    return [posixpath.normpath(path) for path in inside] if name.startswith("@") else []


def _find_by_install_name(name: str, natives: Mapping[str, NativeFile]) -> list[str]:
    """Return the libraries with an install name, or, if they say none, with the same file name."""
    same = [path for path, native in natives.items() if native.image.install_name == name]
    return same or [path for path in natives if posixpath.basename(path) == posixpath.basename(name)]


def make_soname(path: str) -> str:
    """Return a soname that no other library has."""
    return f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{posixpath.basename(path)}"


def make_runpath(path: str) -> str:
    """Return the RUNPATH of a binary, which is loaded from its own folder, or by its link in `LIBRARIES`."""
    up = "../" * path.count("/")
    return f"$ORIGIN:$ORIGIN/{up}{LIBRARIES}"


def rename(native: NativeFile, cpu: str) -> str:
    """Return a binary's path on Linux: modules get a suffix that CPython imports there, libraries keep their names.

    A version of CPython in the name is kept: ``_c.cp313-win_arm64.pyd`` is ``_c.cpython-313-aarch64-linux-gnu.so``.
    """
    folder, name = posixpath.split(native.path)
    stem, *infixes, suffix = name.split(".")
    if suffix.lower() not in ("pyd", "so"):
        return native.path
    tags = [
        re.sub(r"^cp(3\d+t?)-win_.*|^cpython-(3\d+t?)-darwin$", r"cpython-\1\2-" + TRIPLETS[cpu], x) for x in infixes
    ]
    return posixpath.join(folder, ".".join([stem, *tags, "so"]))


def describe_unresolved(unresolved: Mapping[str, Sequence[str]], shown: int = 5) -> str:
    """Return how many imports nothing provides, with the first names; "" for none."""
    names = sorted({name for names in unresolved.values() for name in names})
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)} imports unresolved: {', '.join(names[:shown])}{more}" if names else ""


def describe_patches(patches: Mapping[str, Sequence[Patch]]) -> str:
    """Return how many instructions were changed for each reason; "" for none."""
    counts: dict[str, int] = {}
    for patch in (patch for found in patches.values() for patch in found):
        counts[patch.reason] = counts.get(patch.reason, 0) + 1
    words = [f"{count} ({reason.partition(':')[0]})" for reason, count in sorted(counts.items())]
    return f"instructions patched: {', '.join(words)}" if words else ""


def find_missing_python_api(unresolved: Mapping[str, Sequence[str]], version: str) -> list[tuple[str, str]]:
    """Return paths with findings: functions and variables of CPython's C API that no CPython of this version has.

    Those that exist on Windows only (of code pages, and of its error numbers) are not among them.
    """
    pairs = sorted({(path, name) for path, found in unresolved.items() for name in found})
    return [
        (path, f"{path}: it imports {name.rpartition('!')[2]}, which CPython {version} doesn't have")
        for path, name in pairs
        if _PYTHON_API.fullmatch(name) and not _WINDOWS_API.search(name)
    ]
