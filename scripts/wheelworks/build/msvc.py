"""Translate arguments of Microsoft's compiler and linker for clang: a table, by the options that clang-cl knows.

A project writes them for Windows, as ``/O2`` or as ``-O2``. Microsoft's words for its options are in "Compiler options
listed by category" and "Linker options"; clang-cl's table (clang/include/clang/Driver/Options.td, group ``CLOption``)
says what each means to clang. The patterns are compiled when an option is compared with them, because the compiler
driver imports this module for each source file of every target.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PureWindowsPath

from wheelworks.core.errors import WheelworksError

Words = tuple[str, ...]

_STANDARDS = {"clatest": "c23", "c++latest": "c++2b"}
_CPU_FEATURES = {
    "SSE": ("-msse",),
    "SSE2": ("-msse2",),
    "SSE4.2": ("-msse4.2",),
    "AVX": ("-mavx",),
    "IA32": (),
    "AVX2": ("-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mf16c", "-mpopcnt"),
    "AVX512": ("-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
}
_FLOATING_POINT = {"precise": ("-ffp-model=precise",), "fast": ("-ffp-model=fast",), "strict": ("-ffp-model=strict",)}
_OPTIMIZATIONS = {"1": ("-Os",), "2": ("-O2",), "x": ("-O2",), "d": ("-O0",), "s": ("-Os",), "t": ("-O2",)}


def _parse_standard(value: str) -> Words:
    return (f"-std={_STANDARDS.get(value, value)}",)


def _parse_cpu(value: str) -> Words:
    if value.lower().startswith("armv8"):
        return (f"-march={value.lower().replace('armv8.0', 'armv8-a').rstrip()}",)
    return _CPU_FEATURES[value.upper()]


# Options of the compiler. The value of a rule is the part of the option after what its pattern names.
_COMPILER: tuple[tuple[str, Callable[[str], Words]], ...] = (
    (r"[D](?P<value>.+)", lambda value: (f"-D{value}",)),
    (r"U(?P<value>.+)", lambda value: (f"-U{value}",)),
    (r"I(?P<value>.+)", lambda value: (f"-I{value}",)),
    (r"external:I(?P<value>.+)", lambda value: ("-isystem", value.strip())),
    (r"FI(?P<value>.+)", lambda value: ("-include", value.strip())),
    (r"std:(?P<value>c(\+\+)?(\d\d|latest))", _parse_standard),
    (r"O(?P<value>[12xdst])", lambda value: _OPTIMIZATIONS[value]),
    (r"arch:(?P<value>IA32|SSE|SSE2|SSE4\.2|AVX|AVX2|AVX512|armv8\.\d)", _parse_cpu),
    (r"fp:(?P<value>precise|fast|strict)", lambda value: _FLOATING_POINT[value]),
    (r"T(?P<value>[CP])", lambda value: ("-x", "c" if value == "C" else "c++")),
    (r"GR(?P<value>-?)", lambda value: ("-fno-rtti" if value else "-frtti",)),
    (r"Zp(?P<value>\d+)", lambda value: (f"-fpack-struct={value}",)),
    (r"c(?P<value>)", lambda _: ("-c",)),
    (r"EP?(?P<value>)", lambda _: ("-E",)),
    (r"J(?P<value>)", lambda _: ("-funsigned-char",)),
    (r"w(?P<value>)", lambda _: ("-w",)),
    (r"openmp(:\w+)?(?P<value>)", lambda _: ("-fopenmp",)),
    (r"LDd?(?P<value>)", lambda _: ("-shared",)),
    (r"Fo:?(?P<value>.+)", lambda value: ("-o", value.strip())),
)
# Options without a meaning for clang, or whose meaning it always has: warnings by number, the C runtime, debug
# information, how many processes compile, charsets (clang reads and writes UTF-8), checks of Microsoft's own.
_IGNORED = (
    r"w[deo1-4]\d+|W[0-4]|Wall|WX-?|Wv:.*|MP\d*|M[DT]d?|EH[scar-]+|G[ACEFHLSTeghmwXyZd]-?|GS-|Gs\d*|Z[7iIlaegWX]|Zc:.*|Zm\d+"
    r"|Zs|nologo|utf-8|(source|execution|validate)-charset(:.*|-)?|bigobj|permissive-?|sdl-?|guard:.*|Q[\w-]+(:.*)?"
    r"|diagnostics:.*|experimental:.*|external:(W\d|anglebrackets|env:.*|templates-)|await(:strict)?|favor:.*|homeparams"
    r"|hotpatch|FC|FS|F[adempRr].*|FA\w*|analyze.*|showIncludes|JMC-?|cgthreads\d|d[12].*|Bt\+?|O[bgiy]\w?-?|Oi|O[bi]\d?"
    r"|errorReport:.*|volatile:.*|Wp64|fp:except-?|doc.*|u|X|V\w*|link|kernel-?|vd\d|vm[bgmsv]|jumptablerdata|fsanitize-.*"
)
# Options of the linker, which Windows' users write in any case.
_LINKER: tuple[tuple[str, Callable[[str], Words]], ...] = (
    (r"libpath:(?P<value>.+)", lambda value: (f"-L{value}",)),
    (r"def:(?P<value>.+)", lambda value: (value,)),
    (r"defaultlib:(?P<value>.+)", lambda value: (f"-l{PureWindowsPath(value).stem}",)),
    (r"export:(?P<value>PyInit_\w+)", lambda _: ()),  # exported anyway
)
_IGNORED_BY_LINKER = (
    r"ltcg(:.*|-)?|debug(:.*)?|opt:.*|incremental(:no)?|manifest.*|nodefaultlib(:.*)?|subsystem:.*|dll|machine:.*|release"
    r"|nxcompat(:no)?|dynamicbase(:no)?|guard:.*|safeseh(:no)?|largeaddressaware(:no)?|highentropyva(:no)?|verbose.*|map.*"
    r"|pdb.*|ignore:.*|cetcompat(:no)?|brepro|nologo|wx(:no)?|swaprun:.*|tsaware(:no)?|version:.*|emittoolversioninfo:.*"
)
# With a dash these are clang's own options, of another meaning or the same.
_OF_CLANG = r"-([DUIX].*|[cEwuS]|O[0123sgz]|M[DTFGQPM]?D?|W(?![0-4X]$).*|F.*|d.*|f(?!p:).*|std=.*|Zs)"


def translate(argument: Words, *, is_file: Callable[[str], bool]) -> Words | None:
    """Translate an argument; one that isn't Microsoft's is returned unchanged. Returns None for one without meaning.

    A word that begins with a slash may be a path as well. Raises WheelworksError for an option that no table has.
    """
    word = argument[0]
    if len(argument) > 1 or word[:1] not in ("/", "-") or (word[0] == "-" and re.fullmatch(_OF_CLANG, word)):
        return argument
    if word[0] == "/" and is_file(word):
        return argument
    option = word[1:]
    for rules, flags, ignored in ((_LINKER, re.IGNORECASE, _IGNORED_BY_LINKER), (_COMPILER, 0, _IGNORED)):
        for pattern, make in rules:
            if match := re.fullmatch(pattern, option, flags):
                return make(match["value"]) or None
        if re.fullmatch(ignored, option, flags):  # the linker's first: /DEBUG would define EBUG
            return None
    if word[0] == "-":
        return argument
    raise WheelworksError(
        f"{word}: an option of Microsoft's compiler that has no translation for clang",
        "leave it out where the compiler isn't MSVC (its compiler_type is unix here)",
    )


def plain_library(name: str) -> str:
    """Return ``-lws2_32`` for a library that a project for Windows names Ws2_32 or Ws2_32.lib; zig has lower case."""
    return f"-l{PureWindowsPath(re.sub(r'(?i)[.]lib$', '', name.removeprefix('-l'))).name.lower()}"
