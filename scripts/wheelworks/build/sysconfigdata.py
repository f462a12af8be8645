"""A target's ``sysconfig``, as a build backend that runs on the host is to see it: pure functions.

The door is CPython's own: ``_PYTHON_SYSCONFIGDATA_NAME`` names a module with ``build_time_vars``, and
``_PYTHON_HOST_PLATFORM`` is what ``sysconfig.get_platform()`` answers (Lib/sysconfig.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wheelworks.core.targets import Abi, Target

MODULE = "_sysconfigdata_wheelworks"

_POINTER_SIZE = {"aarch64": 8, "x86_64": 8, "x86": 4, "arm": 4, "powerpc64le": 8, "s390x": 8, "riscv64": 8}
# Projects compare these with the lowest they know; the target's own lowest is what a wheel is for.
_RELEASE = {"linux": "3.10.0", "macos": "20.0.0", "windows": "10"}
_SYSTEM = {
    "linux": ("Linux", "linux", "posix"),
    "macos": ("Darwin", "darwin", "posix"),
    "windows": ("Windows", "win32", "nt"),
}


def soabi(target: Target, abi: Abi) -> str:
    """The middle of an extension's file name there: ``cpython-311-darwin``, ``cp314t-win_arm64``."""
    if target.os == "windows":
        return f"cp{abi.nodot}-{target.platform.replace('-', '_')}"
    if target.os == "macos":
        return f"cpython-{abi.nodot}-darwin"
    # Debian's names of machines (Misc/platform_triplet.c), which are the compiler's but for one
    return f"cpython-{abi.nodot}-{re.sub('^x86-', 'i386-', target.compiler.partition('.')[0])}"


def suffixes(target: Target, abi: Abi) -> list[str]:
    """The endings that CPython looks for there, best first (Python/dynload_*.c)."""
    if target.os == "windows":
        return [f".{soabi(target, abi)}.pyd", ".pyd"]
    stable = [] if abi.free_threaded else [".abi3.so"]
    return [f".{soabi(target, abi)}.so", *stable, *([".abi3t.so"] if "abi3t" in abi.tags else []), ".so"]


def build_time_vars(target: Target, abi: Abi, include: str, tools: Tools) -> dict[str, str | int]:
    """The variables that build backends ask for; whatever describes the host isn't among them."""
    ending = suffixes(target, abi)[0]
    return {
        "AR": tools.ar,
        "ARFLAGS": "rcs",
        "BLDSHARED": f"{tools.cc} -shared",
        "CC": tools.cc,
        "CCSHARED": "-fPIC",
        "CFLAGS": "",
        "CONFINCLUDEPY": include,
        "CXX": tools.cxx,
        "EXT_SUFFIX": ending,
        "HOST_GNU_TYPE": f"{target.cpu}-{target.os}",
        "INCLUDEPY": include,
        "LDCXXSHARED": f"{tools.cxx} -shared",
        "LDFLAGS": "",
        "LDSHARED": f"{tools.cc} -shared",
        "LIBDIR": "",
        "OPT": "",
        "Py_DEBUG": 0,
        "Py_ENABLE_SHARED": 0,
        "Py_GIL_DISABLED": int(abi.free_threaded),
        "RANLIB": tools.ranlib,
        "SHLIB_SUFFIX": ".pyd" if target.os == "windows" else ".so",
        "SIZEOF_VOID_P": _POINTER_SIZE[target.cpu],
        "SO": ending,
        "SOABI": soabi(target, abi),
        "VERSION": abi.python.replace(".", "") if target.os == "windows" else abi.python,
        "WITH_PYMALLOC": 1,
        "py_version_nodot": abi.python.replace(".", ""),
        "py_version_short": abi.python,
        **({"MACOSX_DEPLOYMENT_TARGET": target.minimum} if target.os == "macos" else {}),
    }


def view(target: Target, abi: Abi) -> dict[str, str]:
    """What ``platform``, ``sys`` and ``os`` say on the target, for the project's own code."""
    system, platform, name = _SYSTEM[target.os]
    return {
        "system": system,
        "machine": target.machine,
        "platform": platform,
        "name": name,
        "release": _RELEASE[target.os],
        "python": f"{abi.python}.0",
    }


@dataclass(frozen=True)
class Tools:
    """The compiler's command lines, as one string each: the way build backends keep them."""

    cc: str
    cxx: str
    ar: str
    ranlib: str


def quoted(words: Sequence[str]) -> str:
    """A command line that distutils' ``split_quoted`` takes apart again into ``words``.

    There a backslash escapes, so that Windows' paths go with slashes, which Windows takes as well.
    """
    return " ".join(re.sub(r"""([\s'"])""", r"\\\1", word.replace("\\", "/")) for word in words)
