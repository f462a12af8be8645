"""Accept the C code that the platform's usual compiler accepts, unless the module would be wrong.

Constraints of C99 that old code breaks, such as ``int x = NULL``, are errors for clang. GCC made them errors in version
14, but the image of manylinux2014 has GCC 10, and one wheel of ours may be for glibc and for musl. Microsoft's compiler
warns as well (C4047, C4133, C4013). On macOS the usual compiler is clang.

A call of an undeclared function stays an error for Linux: if the function is missing, the module would fail when it is
imported. Windows' linker finds that out, and Microsoft's headers declare more functions than MinGW's, such as _getpid.
What it doesn't find out are functions of CPython, whose import library is made for the module, and functions that
return a pointer: an undeclared function returns an int.
"""

from __future__ import annotations

import re

_WARNINGS = ("int-conversion", "incompatible-pointer-types", "return-mismatch", "implicit-int")
_LENIENT = {
    "linux": _WARNINGS,
    "windows": (*_WARNINGS, "implicit-function-declaration"),
}
# Patterns are compiled when they are needed: the compiler driver imports this for each source file.
_UNDECLARED = r"(?m)^(\S.*?:\d+:\d+): warning: (?:call to undeclared function|implicit declaration of function) '(\w+)'"
_INT_AS_POINTER = (
    r": warning: (?:incompatible integer to pointer conversion|cast to '[^\n]*' from smaller integer type)[^\n]*"
    r"((?:\n *\d* \|[^\n]*)*)"  # the lines of the source
)


def list_flags(system: str) -> list[str]:
    """Return the flags that turn errors into warnings for an operating system; the project's own flags follow them."""
    return [f"-Wno-error={name}" for name in _LENIENT.get(system, ())]


def find_wrong_call(warnings: str) -> str:
    """Return an error about the call of an undeclared function that can't work, given the compiler's ``warnings``.

    "" if there is none.
    """
    undeclared = re.findall(_UNDECLARED, warnings)
    sources = "".join(re.findall(_INT_AS_POINTER, warnings)) if undeclared else ""
    for where, name in undeclared:
        if name.startswith(("Py", "_Py")):
            return f"{where}: error: CPython's headers don't declare {name}: this version may not have it\n"
        if re.search(rf"\b{name}\s*\(", sources):
            return f"{where}: error: {name} isn't declared, so that half of the pointer that it returns is lost\n"
    return ""
