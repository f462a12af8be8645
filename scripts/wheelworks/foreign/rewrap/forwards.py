"""Follow exports that a library doesn't define itself: another library has them, maybe by another name.

- PE: an export whose address is in the export directory is a text, ``OTHER.name`` or ``OTHER.#ordinal``, and Windows'
  loader goes on in OTHER.dll (PE format, "Export Address Table").
- Mach-O: an export can be re-exported by its symbol (EXPORT_SYMBOL_FLAGS_REEXPORT of <mach-o/loader.h>), or with a
  whole library (LC_REEXPORT_DYLIB), as libgcc_s.1.dylib does for libgcc_s.1.1.dylib.

glibc knows neither, so an import is bound to the library that has the definition. Chains that don't end there, such as
two libraries that forward a name to each other, and very long ones leave the import unresolved.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wheelworks.core.image import Bind, Image
from wheelworks.foreign.rewrap.symbols import Exports, Provided, choose_import

MAX_STEPS = 50  # for one import: chains of Windows' own libraries have two or three


def list_forwarding_libraries(image: Image) -> list[str]:
    """Return the libraries that an image's exports are forwarded to, named as imports name libraries."""
    return sorted({_name_library(image, library) for library, _ in image.forwarded.values()} | {*image.reexported})


def follow_forwards(
    path: str,
    images: Mapping[str, Image],
    loads: Mapping[str, Mapping[str, str]],
    exports: Mapping[str, Exports],
    provided: Provided,
) -> tuple[Image, Provided]:
    """Bind the imports of one image to where their definitions are; return it, and ``provided`` with their libraries.

    ``images`` are those of the wheel by path, ``loads`` has each one's libraries (name to path), and ``exports`` what
    the ones that are loaded export.
    """
    image = images[path]
    if not any(images[to].forwarded or images[to].reexported for to in loads[path].values()):
        return image, provided
    by_soname = {one.soname.lower() if image.os == "windows" else one.soname: one for one in exports.values()}
    provided = replace(provided, rewrapped={**provided.rewrapped, **by_soname})

    def follow(bind: Bind) -> Bind:
        if choose_import(bind, image, provided) is not None:
            return bind
        starts = [bind.library] if bind.library else image.libraries
        for start in (loads[path][name] for name in starts if name in loads[path]):
            for found, name in _list_definitions(start, bind.name, images, loads):
                moved = bind._replace(library=exports[found].soname if found in exports else found, name=name)
                if choose_import(moved, image, provided) is not None:
                    return moved
        return bind

    return replace(image, binds=tuple(map(follow, image.binds))), provided


def _list_definitions(
    path: str, name: str, images: Mapping[str, Image], loads: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield where a library's export may be defined: the path, or the system's library, and its name there."""
    waiting, seen = [(path, name)], set()
    for _ in range(MAX_STEPS):
        if not waiting:
            return
        at = path, name = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        image = images.get(path)
        if image is None or name in image.exports:
            yield at
        else:
            found = [(_locate(library, path, loads[path]), other) for library, other in _list_next(image, name)]
            waiting += reversed(found)


def _locate(library: str, path: str, loads: Mapping[str, str]) -> str:
    """Return the path of a library that another one, or itself, names; the name if the wheel doesn't have it."""
    own = posixpath.basename(path).lower() == library.lower()
    return path if own else loads.get(library, library)


def _list_next(image: Image, name: str) -> list[tuple[str, str]]:
    """Return the libraries and names that an image's export stands for."""
    if name in image.forwarded:
        library, other = image.forwarded[name]
        return [(_name_library(image, library), other)]
    return [(library, name) for library in image.reexported]


def _name_library(image: Image, library: str) -> str:
    """Return a library's name with the suffix that PE's forwarders leave out."""
    return library if image.os != "windows" or library.lower().endswith(".dll") else f"{library}.dll"
