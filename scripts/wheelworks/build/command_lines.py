"""The compiler's and the linker's command lines for a target: pure functions, so that a log line can be pasted.

zig's own manual names few of these flags; they are clang's and lld's. Where one is there for a reason that its name
doesn't say, a comment says it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wheelworks.build.arguments import DriverSettings, Invocation
from wheelworks.build.objects import Symbols

# What a linker provides itself, whichever libc there is.
_LINKER_SYMBOLS = frozenset(
    {"_GLOBAL_OFFSET_TABLE_", "__dso_handle", "__ImageBase", "_mh_dylib_header", "__TMC_END__", ".TOC."}
)
# What the compiler calls for what a CPU hasn't got, 64-bit division on 32 bits for one: functions of its own library.
_COMPILER_SYMBOLS = re.compile(
    r"__aeabi_\w+|__(u?div|u?mod|u?divmod|mul|neg|ashl|ashr|lshr|u?cmp|clz|ctz|popcount|bswap|ffs|parity)[sdt]i[234]?"
    r"|__fix(uns)?[sdtx]f[sdt]i|__float(un)?[sdt]i[sdtx]f|__(extend|trunc)[hsdtx]f[hsdtx]f2"
    r"|__(add|sub|mul|div|cmp|eq|ne|lt|le|gt|ge|unord)[sdtx]f[23]"
)
_DLLTOOL_MACHINE = {"aarch64": "arm64", "x86_64": "i386:x86-64", "x86": "i386"}


def compile_command(found: Invocation, settings: DriverSettings, language: str = "cc") -> list[str]:
    """Compile for the target: its lowest CPU, its libc's headers, CPython's headers of the ABI's floor."""
    return [
        settings.zig,
        language,
        "-target",
        settings.compiler,
        f"-mcpu={settings.model}",  # without it zig tunes for the machine that it runs on
        "-O2",
        "-DNDEBUG",
        "-fPIC",
        "-fwrapv",  # as CPython is compiled: signed overflow is defined
        *(_NO_UNWINDING if settings.cpu == "arm" and language == "cc" else ()),
        f"-I{settings.include}",
        *found.flags,
        *found.sources,
        *_output_flags(found),
        "-g0",
        "-fno-sanitize=undefined",  # zig turns traps on where nobody asks for optimisation
        "-Wno-date-time",  # an error of zig's; the date is SOURCE_DATE_EPOCH's
        "-fno-stack-protector",  # its check is a function of libc
        f"-ffile-prefix-map={settings.source}=.",
        "-Wno-unused-command-line-argument",
    ]


# 32-bit Arm's tables for C++ exceptions name functions of a library, in C too.
_NO_UNWINDING = ("-fno-unwind-tables", "-fno-asynchronous-unwind-tables")


def _output_flags(found: Invocation) -> list[str]:
    return ["-o", found.output] if found.output else []


def is_python_symbol(symbol: str) -> bool:
    """Whether CPython exports a symbol of such a name."""
    return symbol.startswith(("Py", "_Py"))


def is_freestanding(symbols: Symbols) -> bool:
    """Whether objects need nothing but CPython: then no libc is linked, and every libc of the CPU will do."""
    wanted = symbols.undefined | symbols.imported
    return all(is_python_symbol(name) or name in _LINKER_SYMBOLS or is_compiler_symbol(name) for name in wanted)


def is_compiler_symbol(symbol: str) -> bool:
    """Whether the compiler's own library, which is linked statically, has a symbol of such a name."""
    return _COMPILER_SYMBOLS.fullmatch(symbol) is not None


def link_command(
    found: Invocation,
    settings: DriverSettings,
    output: str,
    stubs: Sequence[str],
    *,
    freestanding: bool,
    language: str = "cc",
) -> list[str]:
    """Link an extension module.

    ``stubs`` are what we add: what stands for CPython or the system, and which symbols are exported.
    """
    libraries = [] if freestanding else found.libraries
    return [
        settings.zig,
        language,
        "-target",
        settings.compiler,
        *_SHARED_LIBRARY[settings.os](found.output),
        *(["-nostdlib"] if freestanding else []),
        *(["-Wl,--no-entry"] if freestanding and settings.os == "windows" else []),
        "-s",
        *_link_flags(found),
        *found.objects,
        *stubs,
        *libraries,
        "-o",
        output,
    ]


def _link_flags(found: Invocation) -> list[str]:
    return [flag for flag in found.flags if not flag.startswith(("-O", "-W", "-D", "-f")) or flag.startswith("-Wl,")]


def trial_link_command(
    found: Invocation, settings: DriverSettings, output: str, python: str, language: str
) -> list[str]:
    """Link as an extension never is: with every symbol known, CPython's by the C file ``python``.

    An extension leaves CPython's symbols to the loader, so that its linker takes any other unknown one, too.
    """
    shape = ["-shared", "-Wl,-z,defs", "-w"]
    files = [*found.objects, python, *found.libraries]
    return [settings.zig, language, "-target", settings.compiler, *shape, *_link_flags(found), *files, "-o", output]


def format_python_stub(symbols: Symbols) -> str:
    """A C file that defines CPython's symbols, for a rehearsal."""
    return "".join(f"char {name};\n" for name in sorted(symbols.undefined) if is_python_symbol(name))


def _linux_flags(_: str) -> list[str]:
    return ["-shared", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack", "-Wl,--build-id=none"]


def _windows_flags(_: str) -> list[str]:
    return ["-shared", "-Wl,--dynamicbase", "-Wl,--nxcompat"]


def _macos_flags(output: str) -> list[str]:
    # zig's linker knows no bundles, and CPython loads a dylib as well. Its install name would else be a host path.
    name = output.replace("\\", "/").rsplit("/", 1)[-1]
    return ["-dynamiclib", "-Wl,-undefined,dynamic_lookup", f"-Wl,-install_name,@rpath/{name}"]


_SHARED_LIBRARY = {"linux": _linux_flags, "windows": _windows_flags, "macos": _macos_flags}


def format_export_list(symbols: Symbols, settings: DriverSettings) -> tuple[str, str]:
    """A linker's input that exports a module's entry points and nothing else: its file name and its contents.

    What a project's C leaves visible is no one else's business, and MSVC exports no more. zig's linker for macOS can't
    be told (it accepts -exported_symbols_list and does nothing): ("", "").
    """
    entries = sorted(name for name in symbols.defined if name.startswith(("PyInit_", "PyModExport_")))
    if not entries or settings.os == "macos":
        return "", ""
    if settings.os == "windows":
        return "exports.def", "\n".join(["EXPORTS", *(f" {name}" for name in entries), ""])
    return "exports.map", "{ global: " + " ".join(f"{name};" for name in entries) + " local: *; };\n"


@dataclass(frozen=True)
class ImportLibrary:
    """The import library that a Windows extension is linked against: its DLL, its definition file, how to make it."""

    dll: str
    definition: str
    machine: str


def plan_import_library(symbols: Symbols, settings: DriverSettings, output: str) -> ImportLibrary:
    """What CPython's DLL must provide to these objects.

    The stable ABI lives in ``python3.dll``, and its extension is called ``NAME.pyd``; without the GIL it is that of
    3.15 and lives in ``python3t.dll`` (PEP 803). A file that names its Python (``NAME.cp311-win_arm64.pyd``) is of that
    version and imports that version's DLL.
    """
    version, free_threaded = settings.python.removesuffix("t"), settings.python.endswith("t")
    versioned = output.endswith(".pyd") and f".cp{settings.python}-" in output.replace("\\", "/").rsplit("/", 1)[-1]
    if versioned or (free_threaded and int(version[1:]) < 15):
        dll = f"python{settings.python}.dll"
    else:
        dll = "python3t.dll" if free_threaded else "python3.dll"
    wanted = sorted(name for name in symbols.undefined | symbols.imported if is_python_symbol(name))
    # A symbol that is only ever asked for through the import table needs no thunk: that is what DATA says.
    lines = [f" {name}{'' if name in symbols.undefined else ' DATA'}" for name in wanted]
    return ImportLibrary(dll, "\n".join([f"LIBRARY {dll}", "EXPORTS", *lines, ""]), _DLLTOOL_MACHINE[settings.cpu])


def dlltool_command(library: ImportLibrary, settings: DriverSettings, definition: str, output: str) -> list[str]:
    """Make an import library of its definition file."""
    return [settings.zig, "dlltool", "-d", definition, "-m", library.machine, "-l", output]


# dyld refuses a library that names no other ("must link with at least libSystem.dylib"), and lazy binding asks
# libSystem for dyld_stub_binder. A text stub (TBD version 4) says so without any of Apple's files.
LIBSYSTEM_STUB = """\
--- !tapi-tbd
tbd-version:     4
targets:         [ arm64-macos, x86_64-macos ]
install-name:    '/usr/lib/libSystem.B.dylib'
exports:
  - targets:         [ arm64-macos, x86_64-macos ]
    symbols:         [ dyld_stub_binder ]
...
"""


def quote_command(words: Sequence[str]) -> str:
    """A command as one line that a shell takes."""
    return " ".join(f"'{word}'" if any(c in word for c in " '\"\\$`*;&|<>()#") else word for word in words)
