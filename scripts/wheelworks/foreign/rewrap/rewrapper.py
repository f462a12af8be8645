"""Rewrap a PE or Mach-O module as an ELF shared library, its instructions unchanged.

Windows', macOS' and Linux' compilers make the same instructions for one CPU: what differs is the file around them, and
the functions that they call. So the file is changed, and the functions are supplied.

What changes
    - Segments become PT_LOADs at the same distances from each other, so that code reaches its data as before.
    - Pointers into the image become relative relocations (R_*_RELATIVE), imports become relocations against symbols
      (R_*_ABS64) of CPython, of glibc, of the shim, or of the wheel's other rewrapped libraries (module `symbols`).
    - Read-only data with relocations is protected by PT_GNU_RELRO once it is relocated (module `layout`).
    - Initializers run from DT_INIT_ARRAY: Mach-O's constructors one by one; PE's TLS callbacks and entry point through
      the shim's ``w_start_image``, which gets a record of the image.
    - Thread-local variables: Mach-O's descriptors call ``m__tlv_bootstrap`` with a record of the image in their second
      word; PE's index is set by ``w_start_image``.
    - An import that nothing provides is bound to a stub that ends the process by ``w_unresolved`` or ``m_unresolved``
      with the import's name, and is listed in the result.
    - Mach-O's compact unwind data becomes .eh_frame (module `unwind`), so that C++ exceptions find their handlers.

What doesn't change
    - Instructions, except those of a table (module `patches`): Windows' uses of x18, and reads of CurrentEL. Each patch
      is listed in the result.
    - Data: layouts of structures, virtual tables, type descriptions.
    - The calling convention, where it is the same: all of x86-64's between macOS and Linux; ARM64's but for variadic
      functions, for which the shim makes another va_list, and for small arguments on the stack, which Apple packs: the
      ninth and later ones, of a function that is imported. Windows' x86-64 convention has other registers, so such an
      image can't be rewrapped.

What a rewrapped run proves: the shipped instructions, given the real CPython, do what the wheel's Python code and its
tests expect: types, reference counts, garbage collection, threads, numbers, and calls of the C API by the right
convention.

What it doesn't prove: that Windows' loader or dyld accepts the file; that the real UCRT, kernel32 or libSystem behave
as the shim does; code for CPU features that Linux reports otherwise; pointer authentication.

Pages have 4 KiB here, as on every machine that runs these images by qemu-user or natively.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from wheelworks.core.errors import Unsupported
from wheelworks.core.formats import read_image
from wheelworks.core.image import BadImage, Image, round_up
from wheelworks.foreign.rewrap.code import Arm64Code, X86Code, create_code
from wheelworks.foreign.rewrap.elf import Import, Part, Rights, SharedLibrary, write_elf
from wheelworks.foreign.rewrap.layout import CannotRewrap, lay_out, protect
from wheelworks.foreign.rewrap.patches import Patch, patch_windows
from wheelworks.foreign.rewrap.symbols import CPUS, LAZY_BINDER, PREFIXES, Provided, choose_import, name_import, qualify
from wheelworks.foreign.rewrap.unwind import make_eh_frame

__all__ = ["BadImage", "CannotRewrap", "Rewrapped", "rewrap", "rewrap_image"]

MAX_FILE = 128 << 20  # bytes; the largest modules of the index that fit have a tenth of that
MAX_RELOCATIONS = 1_000_000
WORD = struct.Struct("<Q")


@dataclass(frozen=True)
class Rewrapped:
    """The ELF file; the imports that nothing provides, as ``library!name``; the changed instructions."""

    elf: bytes
    unresolved: tuple[str, ...]
    patches: tuple[Patch, ...]


def rewrap(
    data: bytes,
    cpu: str,
    *,
    name: str = "",
    soname: str = "",
    provided: Provided | None = None,
    runpath: str = "$ORIGIN",
) -> Rewrapped:
    """Rewrap a PE or Mach-O file for a CPU ("aarch64", "x86_64"). A universal file must have code for it.

    ``name`` is the file's name in messages. A library that other rewrapped ones import from has a ``soname``.
    ``runpath`` is the folder of the shim and of such libraries.
    Raises BadImage for a file that no loader accepts, CannotRewrap for one that uses something unknown.
    """
    try:
        image = read_image(data, name or "module", cpu, limit=MAX_FILE)
    except CannotRewrap:
        raise
    except Unsupported as error:
        raise CannotRewrap(error.message, error.hint) from None
    return rewrap_image(image, name=name, soname=soname, provided=provided, runpath=runpath)


def rewrap_image(
    image: Image, *, name: str = "", soname: str = "", provided: Provided | None = None, runpath: str = "$ORIGIN"
) -> Rewrapped:
    """Rewrap an image that has been read; see `rewrap`."""
    name = name or "module"
    if image.cpu not in CPUS.get(image.os, ()):
        raise CannotRewrap(f"{name}: {image.os} code for {image.cpu} can't be rewrapped: only {_list_supported()}")
    if len(image.rebases) + len(image.binds) > MAX_RELOCATIONS:
        raise CannotRewrap(f"{name}: more than {MAX_RELOCATIONS} relocations")
    _check_names(image, name, soname, runpath)
    return _Rewrapper(image, name, provided or Provided()).rewrap(soname, runpath)


def _check_names(image: Image, name: str, *others: str) -> None:
    """Raise BadImage for a name that a string table can't hold."""
    imports = (text for bind in image.binds for text in (bind.name, bind.library))
    for text in (name, *others, *image.exports, *imports):
        if "\0" in text:
            raise BadImage(f"{name!r}: a zero in a name: {text!r}")


def _list_supported() -> str:
    return ", ".join(f"{os} for {' and '.join(cpus)}" for os, cpus in CPUS.items())


class _Data:
    """A writable part of pointers, records and texts, and the relocations of its words."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.data = bytearray()
        self.relative: dict[int, int] = {}
        self.absolute: dict[int, tuple[Import, int]] = {}

    def put(self, data: bytes, alignment: int = 8) -> int:
        """Append data; return its address."""
        self.data += bytes(-len(self.data) % alignment)
        self.data += data
        return self.address + len(self.data) - len(data)

    def put_words(self, words: Sequence[int | None]) -> int:
        """Append numbers; return their address. None is a word that a relocation fills in."""
        return self.put(b"".join(WORD.pack(word or 0) for word in words))

    def put_pointers(self, targets: Sequence[int | None]) -> int:
        """Append pointers to addresses in the image, null for None; return their address."""
        start = self.put_words([None] * len(targets))
        self.relative |= {start + 8 * i: target for i, target in enumerate(targets) if target is not None}
        return start

    def put_slot(self, symbol: Import) -> int:
        """Append a pointer to a symbol; return its address."""
        slot = self.put_words([None])
        self.absolute[slot] = (symbol, 0)
        return slot


class _Rewrapper:
    """One image on its way to a shared library.

    The image is followed by a part of data and a part of code of our own. The data comes first, since code refers to
    it; it refers to code only by relocations.
    """

    def __init__(self, image: Image, name: str, provided: Provided) -> None:
        self.image, self.name, self.provided = image, name, provided
        self.parts = lay_out(image, name)
        self.own = _Data(self.parts[-1].end)
        self.relative: dict[int, int] = {}
        self.absolute: dict[int, tuple[Import, int]] = {}
        self.initializers: tuple[int, int] = (0, 0)
        self.unwinding = (0, 0)
        self.unresolved: dict[str, list[int]] = {}
        self.patches: list[Patch] = []

    def rewrap(self, soname: str, runpath: str) -> Rewrapped:
        self._relocate()
        own = self._add_parts()
        protected = protect(self.parts, self.image, [*self.relative, *self.absolute])
        absolute = self.absolute | self.own.absolute
        used = {symbol.library for symbol, _ in absolute.values()} - {""} | self._list_named_libraries()
        library = SharedLibrary(
            cpu=self.image.cpu,
            parts=(*protected.parts, *own),
            relative=self.relative | self.own.relative,
            absolute=absolute,
            exports=self._list_exports(soname),
            needed=sorted(used, key=self._rank),
            soname=soname,
            runpath=runpath,
            initializers=self.initializers,
            read_only=protected.read_only,
            text_relocations=protected.text_relocations,
            unwinding=self.unwinding,
        )
        return Rewrapped(write_elf(library), tuple(sorted(self.unresolved)), tuple(self.patches))

    def _add_parts(self) -> list[Part]:
        """Add our own data, code and unwinding tables, behind the image."""
        code = self._add_code()
        data = Part(self.own.address, self.own.data, len(self.own.data), Rights.READ | Rights.WRITE)
        own = [data, Part(code.address, code.data, len(code.data), Rights.READ | Rights.EXECUTE)]
        if self.image.os == "macos" and (frames := make_eh_frame(self.image, own[-1].end)):
            tables = bytearray(frames.eh_frame + frames.header)
            own.append(Part(frames.address, tables, len(tables), Rights.READ))
            self.unwinding = (frames.header_address, len(frames.header))
        return [part for part in own if part.size]

    def _list_named_libraries(self) -> set[str]:
        """Return the rewrapped libraries that the image names: they are loaded and started, used or not."""
        names = {name.lower() if self.image.os == "windows" else name for name in self.image.libraries}
        return {one.soname for name, one in self.provided.rewrapped.items() if name in names}

    def _rank(self, soname: str) -> tuple[bool, str]:
        """Order libraries: the shim first, others by name."""
        return soname != self.provided.shim.soname, soname

    def _list_exports(self, soname: str) -> dict[str, int]:
        plain = dict(self.image.exports)
        return plain | {qualify(soname, name): address for name, address in plain.items()} if soname else plain

    def _relocate(self) -> None:
        """Turn rebases and imports into relocations.

        An import wins over a rebase of the same word, unless nothing has its name: then dyld keeps the image's own
        definition too.
        """
        rebases = dict(self.image.rebases)
        for bind in self.image.binds:
            chosen = choose_import(bind, self.image, self.provided)
            if isinstance(chosen, Import):
                self.absolute[bind.address] = (chosen, bind.addend)
            elif chosen is not None:
                self.relative[bind.address] = chosen + bind.addend
            elif bind.weak or bind.name == LAZY_BINDER:
                self._write_word(bind.address, bind.addend)
            elif bind.address not in rebases:
                self.unresolved.setdefault(name_import(bind), []).append(bind.address)
        bound = self.absolute.keys() | self.relative.keys()
        self.relative |= {address: target for address, target in rebases.items() if address not in bound}

    def _write_word(self, address: int, value: int) -> None:
        part = next(part for part in self.parts if part.address <= address < part.address + part.size)
        offset = address - part.address
        if offset < len(part.data):  # else it is zero already
            part.data[offset : offset + 8] = WORD.pack(value & ((1 << 64) - 1))

    def _import_from_shim(self, name: str) -> Import:
        return Import(PREFIXES[self.image.os] + name, self.provided.shim.soname)

    def _add_code(self) -> Arm64Code | X86Code:
        """Add data and code: stubs of unresolved imports, the start of the image, veneers."""
        texts = {name: self.own.put(name.encode() + b"\0", 1) for name in sorted(self.unresolved)}
        ending = self.own.put_slot(self._import_from_shim("unresolved")) if texts else 0
        if self.image.os == "windows":
            return self._add_windows_code(texts, ending)
        if self.image.thread_local:
            self._add_descriptors()
        if self.image.constructors:
            constructors = self.image.constructors
            self.initializers = (self.own.put_pointers(constructors), len(constructors))
        code = create_code(self.image.cpu, round_up(self.own.address + len(self.own.data)))
        self._add_stubs(code, texts, ending)
        return code

    def _add_stubs(self, code: Arm64Code | X86Code, texts: dict[str, int], ending: int) -> None:
        for name, text in texts.items():
            stub = code.emit_stub(text, ending)
            self.relative |= dict.fromkeys(self.unresolved[name], stub)

    def _add_descriptors(self) -> None:
        """Put the record of the image's thread-local variables into the second word of each TLV descriptor."""
        storage = self.image.thread_local
        assert storage is not None
        record = self.own.put_words([None, storage.filled, storage.size, 0, storage.alignment])
        self.own.relative[record] = storage.address
        self.relative |= {descriptor + 8: record for descriptor in storage.descriptors}

    def _add_windows_code(self, texts: dict[str, int], ending: int) -> Arm64Code:
        record = self._add_record()
        array = self.own.put_words([None])
        start = self.own.put_slot(self._import_from_shim("start_image"))
        teb = self.own.put_slot(self._import_from_shim("teb"))
        code = Arm64Code(round_up(self.own.address + len(self.own.data)))
        self._add_stubs(code, texts, ending)
        self.own.relative[array] = code.emit_stub(record, start)
        self.initializers = (array, 1)
        self.patches = patch_windows(self.image, self.parts, code, teb, self.name)
        return code

    def _add_record(self) -> int:
        """Add the shim's ``struct image`` (shim/windows.h): 64-bit numbers and addresses."""
        image, storage = self.image, self.image.thread_local
        name = self.own.put(self.name.rpartition("/")[2].encode() + b"\0", 1)
        callbacks = self.own.put_pointers([*storage.callbacks, None]) if storage and storage.callbacks else None
        filled, size, alignment = (storage.filled, storage.size, storage.alignment) if storage else (0, 0, 0)
        fields: list[tuple[int | None, int]] = [  # an address or None, a number
            (image.entry or None, 0),
            (0, 0),  # the image's start
            (storage.index if storage else None, 0),
            (storage.address if storage else None, 0),
            (None, filled),
            (None, size),
            (None, alignment),
            (callbacks, 0),
            (None, image.size),
            (image.exception_table[0] or None, 0),
            (None, image.exception_table[1]),
            (name, 0),
        ]
        record = self.own.put_words([number for _, number in fields])
        self.own.relative |= {record + 8 * i: target for i, (target, _) in enumerate(fields) if target is not None}
        return record
