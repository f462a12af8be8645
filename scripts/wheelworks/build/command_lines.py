"""Make the compiler's and the linker's command lines for a target: pure functions, with output that can be pasted.

The flags are those of clang and lld; zig's own manual documents few of them. A comment explains a flag whose name
doesn't.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wheelworks.build import cpu_options, leniency
from wheelworks.build.arguments import DriverSettings, Invocation
from wheelworks.build.objects import Symbols

# Defined by the linker, with any libc.
_LINKER_SYMBOLS = frozenset(
    {"_GLOBAL_OFFSET_TABLE_", "__dso_handle", "__ImageBase", "_mh_dylib_header", "__TMC_END__", ".TOC."}
)
# Functions of the compiler's own library, which it calls for operations that a CPU lacks, such as 64-bit division.
_COMPILER_SYMBOLS = re.compile(
    r"__aeabi_\w+|__(u?div|u?mod|u?divmod|mul|neg|ashl|ashr|lshr|u?cmp|clz|ctz|popcount|bswap|ffs|parity)[sdt]i[234]?"
    r"|__fix(uns)?[sdtx]f[sdt]i|__float(un)?[sdt]i[sdtx]f|__(extend|trunc)[hsdtx]f[hsdtx]f2"
    r"|__(add|sub|mul|div|cmp|eq|ne|lt|le|gt|ge|unord)[sdtx]f[23]"
)
_DLLTOOL_MACHINE = {"aarch64": "arm64", "x86_64": "i386:x86-64", "x86": "i386"}
ENTRY_FLAG = "-Wl,-e,wheelworks_entry"
# PEP 489 (names beyond ASCII in Punycode: PyInitU_), PEP 793
_ENTRY_POINTS = ("PyInit_", "PyInitU_", "PyModExport_", "PyModExportU_")
_ENTRY = Path(__file__).with_name("shim") / "entry.c"
# Assembler in GNU's form is left out of the sources for Windows, because MSVC has another; zstd decides by __GNUC__.
_AS_MSVC = ("-DZSTD_DISABLE_ASM",)
# 32-bit Arm's tables for C++ exceptions name functions of a library, in C too.
_NO_UNWINDING = ("-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
_SHARED_LIBRARY = {
    "linux": ["-shared", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack", "-Wl,--build-id=none"],
    "windows": ["-shared", "-Wl,--dynamicbase", "-Wl,--nxcompat"],
    # zig's linker can't make bundles. CPython loads a dylib as well.
    "macos": ["-dynamiclib", "-Wl,-undefined,dynamic_lookup"],
}
# dyld refuses a library that links no other ("must link with at least libSystem.dylib"), and lazy binding asks
# libSystem for dyld_stub_binder. This text stub (TBD version 4) provides both without any of Apple's files.
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


def compile_command(parsed: Invocation, settings: DriverSettings, language: str = "cc") -> list[str]:
    """Return the command that compiles for the target's lowest CPU, with its libc's and CPython's headers."""
    return [
        *_zig_command(settings, language),
        f"-mcpu={settings.model}",  # without it zig tunes for the machine that it runs on
        "-O2",
        "-DNDEBUG",
        "-fPIC",
        "-fwrapv",  # as CPython is compiled: signed overflow is defined
        *(_NO_UNWINDING if settings.cpu == "arm" and language == "cc" else ()),
        *(_AS_MSVC if settings.os == "windows" else ()),
        *leniency.list_flags(settings.os),
        *(("-fms-extensions",) if settings.ms_extensions else ()),
        f"-I{settings.include}",
        *cpu_options.list_included(parsed.flags, settings.cpu),
        *(_map_source(flag, settings) for flag in parsed.flags),
        *(f"-I{folder}" for folder in settings.prefix_include),  # as CPATH: after the project's own, before libc's
        *(["-idirafter", settings.forwarders] if settings.forwarders else []),
        *parsed.sources,
        *(["-o", parsed.output] if parsed.output else []),
        "-g0",
        "-fno-sanitize=undefined",  # zig enables traps unless optimization is requested
        "-Wno-date-time",  # an error in zig; the date is that of SOURCE_DATE_EPOCH
        "-fno-stack-protector",  # its check calls a function of libc
        f"-ffile-prefix-map={settings.source}=.",
        *(f"-ffile-prefix-map={folder}=prefix" for folder in settings.prefixes),
        "-Wno-unused-command-line-argument",
    ]


def _map_source(flag: str, settings: DriverSettings) -> str:
    """Return a project's own mapping of paths, such as yarl's from a temporary folder, so that it maps to the source.

    The compiler applies one mapping to a path: ours isn't applied to the result of another.
    """
    mapped = re.fullmatch(rf"(-f(?:file|macro|debug)-prefix-map=.*=){re.escape(settings.source)}([/\\].*)?", flag)
    return f"{mapped[1]}.{mapped[2] or ''}" if mapped else flag


def program_command(parsed: Invocation, settings: DriverSettings, language: str = "cc") -> list[str]:
    """Return the command that compiles and links a program with the target's libc.

    It keeps the order of its libraries after its objects and sources, as a linker for ELF requires.
    """
    return [
        *compile_command(replace(parsed, sources=[*parsed.sources, *parsed.objects]), settings, language),
        *parsed.libraries,
    ]


def query_command(parsed: Invocation, settings: DriverSettings, language: str = "cc") -> list[str]:
    """Return the command that asks the compiler about itself or its target, such as ``-dumpmachine``.

    zig hands it on to clang, which knows no libc versions in a target's name.
    """
    return [settings.zig, language, "-target", re.sub(r"\.[0-9.]+$", "", settings.compiler), *parsed.flags]


def _zig_command(settings: DriverSettings, language: str) -> list[str]:
    return [settings.zig, language, "-target", settings.compiler]


def _linking_zig(settings: DriverSettings, language: str) -> list[str]:
    """Return the start of a link, which compiles the target's runtimes: for its lowest CPU, as the project's files."""
    return [*_zig_command(settings, language), f"-mcpu={settings.model}"]


def entry_command(settings: DriverSettings, output: str, *, has_dllmain: bool) -> list[str]:
    """Return the command that compiles the entry point of a Windows extension without a C runtime."""
    folder = [f"-ffile-prefix-map={_ENTRY.parent}=.", "-fno-sanitize=undefined", "-fno-stack-protector", "-fno-builtin"]
    flags = [f"-mcpu={settings.model}", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", *folder]
    dllmain = ["-DHAS_DLLMAIN"] if has_dllmain else []
    return [*_zig_command(settings, "cc"), *flags, *dllmain, "-c", str(_ENTRY), "-o", output]


def is_python_symbol(symbol: str) -> bool:
    """Return whether a symbol's name is one of CPython's."""
    return symbol.startswith(("Py", "_Py"))


def is_compiler_symbol(symbol: str) -> bool:
    """Return whether the compiler's own library, which is linked statically, defines a symbol."""
    return _COMPILER_SYMBOLS.fullmatch(symbol) is not None


def is_freestanding(symbols: Symbols) -> bool:
    """Return whether objects need only CPython: they are linked without libc, and run with any libc of the CPU."""
    wanted = symbols.undefined | symbols.imported
    return all(is_python_symbol(name) or name in _LINKER_SYMBOLS or is_compiler_symbol(name) for name in wanted)


def link_command(
    parsed: Invocation,
    settings: DriverSettings,
    output: str,
    stubs: Sequence[str],
    *,
    freestanding: bool,
    language: str = "cc",
) -> list[str]:
    """Return the command that links an extension module.

    ``stubs`` are added by us: import libraries of CPython or the system, and the list of exported symbols.
    """
    name = parsed.output.replace("\\", "/").rsplit("/", 1)[-1]
    return [
        *_linking_zig(settings, language),
        *_SHARED_LIBRARY[settings.os],
        *([f"-Wl,-install_name,@rpath/{name}"] if settings.os == "macos" else []),  # by default a path of the host
        *(["-nostdlib"] if freestanding else []),
        *(["-Wl,--no-entry"] if freestanding and settings.os == "windows" and ENTRY_FLAG not in stubs else []),
        "-s",
        *_link_flags(parsed),
        *parsed.objects,
        *stubs,
        *([] if freestanding else parsed.libraries),
        "-o",
        output,
    ]


def _link_flags(parsed: Invocation) -> list[str]:
    return [flag for flag in parsed.flags if not flag.startswith(("-O", "-W", "-D", "-f")) or flag.startswith("-Wl,")]


def trial_link_command(
    parsed: Invocation, settings: DriverSettings, output: str, python: str, language: str
) -> list[str]:
    """Return the command that links with every symbol defined, CPython's by the C file ``python``.

    An extension leaves CPython's symbols to the loader, so that its linker accepts any other undefined symbol as well.
    The trial link reports these.
    """
    shape = ["-shared", "-Wl,-z,defs", "-w"]
    files = [*parsed.objects, python, *parsed.libraries]
    return [*_linking_zig(settings, language), *shape, *_link_flags(parsed), *files, "-o", output]


def format_python_stub(symbols: Symbols) -> str:
    """Return a C file that defines CPython's symbols, for a trial link."""
    return "".join(f"char {name};\n" for name in sorted(symbols.undefined) if is_python_symbol(name))


def format_export_list(symbols: Symbols, settings: DriverSettings) -> tuple[str, str]:
    """Return the name and contents of a linker's input that exports a module's entry points and nothing else.

    MSVC exports no more either. Both are empty for macOS, because zig's linker accepts -exported_symbols_list and
    ignores it, and for a library without entry points.
    """
    entries = sorted(name for name in symbols.defined if name.startswith(_ENTRY_POINTS))
    if not entries or settings.os == "macos":
        return "", ""
    if settings.os == "windows":
        return "exports.def", "\n".join(["EXPORTS", *(f" {name}" for name in entries), ""])
    return "exports.map", "{ global: " + " ".join(f"{name};" for name in entries) + " local: *; };\n"


def format_import_library(symbols: Symbols, settings: DriverSettings, output: str) -> str:
    """Return the definition file of the import library that a Windows extension is linked with.

    The stable ABI is in ``python3.dll``, and its extension is called ``NAME.pyd``. Without the GIL it exists since 3.15
    and is in ``python3t.dll`` (PEP 803). An extension whose name has the Python version (``NAME.cp311-win_arm64.pyd``)
    imports that version's DLL.
    """
    version, free_threaded = settings.python.removesuffix("t"), settings.python.endswith("t")
    versioned = output.endswith(".pyd") and f".cp{settings.python}-" in output.replace("\\", "/").rsplit("/", 1)[-1]
    if versioned or (free_threaded and int(version[1:]) < 15):
        dll = f"python{settings.python}.dll"
    else:
        dll = "python3t.dll" if free_threaded else "python3.dll"
    wanted = sorted(name for name in symbols.undefined | symbols.imported if is_python_symbol(name))
    # DATA: a symbol that is only used through the import table needs no thunk.
    lines = [f" {name}{'' if name in symbols.undefined else ' DATA'}" for name in wanted]
    return "\n".join([f"LIBRARY {dll}", "EXPORTS", *lines, ""])


def dlltool_command(settings: DriverSettings, definition: str, output: str) -> list[str]:
    """Return the command that makes an import library from its definition file."""
    return [settings.zig, "dlltool", "-d", definition, "-m", _DLLTOOL_MACHINE[settings.cpu], "-l", output]
