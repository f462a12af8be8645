"""Leave out linker options that zig's linkers refuse and that an extension module works without.

They choose which symbols a library exports (a module's entry points are all that CPython needs), suit another linker,
or write reports. What changes how a module works, such as ``-flat_namespace``, stays: the linker refuses it by name.
The options are in the manuals of GNU ld, LLD and Apple's ld64.
"""

from __future__ import annotations

import re

REASON = "zig's linker doesn't have it, and an extension module works without it"

# Patterns are compiled when an option is compared with them: the compiler driver imports this for each source file.
_LEFT_OUT = (
    # of exports
    r"-Bsymbolic-functions|--exclude-libs(=.*)?|--dynamic-list(=.*)?|--retain-symbols-file(=.*)?|--exclude-all-symbols"
    r"|-(un)?exported_symbol|-export_dynamic|--kill-at|--add-stdcall-alias|--enable-stdcall-fixup|--enable-auto-import"
    # of optimization, checks and reports
    r"|--icf=.*|--(no-)?relax|--?plugin(-opt)?(=.*)?|-bind_at_load|-no_compact_unwind|-no_fixup_chains|-ld_classic"
    r"|-ld_new|--?Map(=.*)?|--warn-common|-no-undefined|--allow-multiple-definition|-no_weak_imports|-multiply_defined"
)
# Those whose value is the next word, unless it follows a sign of equality.
_WITH_VALUE = (
    r"--exclude-libs|--dynamic-list|--retain-symbols-file|-(un)?exported_symbol|--?plugin(-opt)?|--?Map"
    r"|-multiply_defined"
)


def split(argument: str) -> tuple[str, str]:
    """Split an argument ``-Wl,OPTION,...`` into what stays and what is left out; either may be empty."""
    kept: list[str] = []
    left_out: list[str] = []
    words = iter(argument.removeprefix("-Wl,").split(","))
    for word in words:
        if not re.fullmatch(_LEFT_OUT, word):
            kept.append(word)
            continue
        left_out.append(word)
        if re.fullmatch(_WITH_VALUE, word):
            left_out += [value for value in [next(words, "")] if value]
    return _join(kept), _join(left_out)


def _join(words: list[str]) -> str:
    return ",".join(["-Wl", *words]) if words else ""
