"""The modules that describe the platform, as a project's own code sees them: the target's answers."""

from __future__ import annotations

import collections
import functools
import importlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from .layout import Layout, make_struct_view, refuse

# Names that these modules have on POSIX only, and on Windows only.
_POSIX_ONLY = {
    "os": ("uname", "fork", "forkpty", "sysconf", "sysconf_names", "confstr", "confstr_names", "getuid", "geteuid"),
    "sys": ("abiflags", "getdlopenflags", "setdlopenflags"),
}
_WINDOWS_ONLY = {"os": ("startfile",), "sys": ("getwindowsversion", "winver", "dllhandle")}


class View(types.ModuleType):
    """A module as the project's code sees it: some attributes are the target's, the others the module's own."""

    def __init__(self, module: types.ModuleType, missing: tuple[str, ...] = (), **target: object) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["_module"] = module
        self.__dict__["_missing"] = missing
        self.__dict__["_target"] = target

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_target"]:
            return self.__dict__["_target"][name]
        if name in self.__dict__["_missing"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on the target")
        return getattr(self.__dict__["_module"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_module"], name, value)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self.__dict__["_module"]) if name not in self.__dict__["_missing"]]


Uname = collections.namedtuple("Uname", "system node release version machine processor")
PosixUname = collections.namedtuple("PosixUname", "sysname nodename release version machine")
VersionInfo = collections.namedtuple("VersionInfo", "major minor micro releaselevel serial")
HashInfo = collections.namedtuple("HashInfo", "width modulus inf nan imag algorithm hash_bits seed_bits cutoff")
ThreadInfo = collections.namedtuple("ThreadInfo", "name lock version")


class WindowsVersion(collections.namedtuple("WindowsVersion", "major minor build platform service_pack")):
    """What `sys.getwindowsversion` returns: five items, and attributes that aren't items."""

    service_pack_major = service_pack_minor = suite_mask = 0
    product_type = 1

    @property
    def platform_version(self) -> tuple[int, int, int]:
        """The version of the kernel."""
        return self.major, self.minor, self.build


def make_views(target: dict[str, Any]) -> dict[str, Callable[[], View]]:
    """Return for each module that describes the platform a function that returns its view, which is made once.

    ``target`` is `crossenv.describe_platform`'s.
    """
    layout, makers = Layout(**target["layout"]), dict[str, Callable[[], View]]()

    def add(name: str, make: Callable[[], dict[str, Any]]) -> None:
        missing = (_POSIX_ONLY if target["name"] == "nt" else _WINDOWS_ONLY).get(name, ())
        makers[name] = functools.cache(lambda: View(importlib.import_module(name), missing, **make()))

    def make_ctypes() -> dict[str, Any]:
        from .c_types import make_ctypes_view

        importlib.import_module("ctypes.util")
        return {"util": makers["ctypes.util"](), **make_ctypes_view(layout, target["os"])}

    def make_array() -> dict[str, Any]:
        from .c_types import make_array_view

        return make_array_view(layout)

    def make_util() -> dict[str, Any]:
        from .c_types import find_library

        return {"find_library": find_library}

    add("sys", lambda: _make_sys(target, layout))
    add("os", lambda: _make_os(target))
    add("platform", lambda: _make_platform(target, layout))
    add("struct", lambda: make_struct_view(layout))
    add("array", make_array)
    add("ctypes", make_ctypes)
    add("ctypes.util", make_util)
    return makers


def _make_sys(target: dict[str, Any], layout: Layout) -> dict[str, Any]:
    major, minor, micro = map(int, target["python"].split("."))
    version = VersionInfo(major, minor, micro, "final", 0)
    hexversion = major << 24 | minor << 16 | micro << 8 | 0xF0
    names = {"version": version, "hexversion": hexversion, "cache_tag": f"cpython-{major}{minor}"}
    implementation = types.SimpleNamespace(**{**vars(sys.implementation), **names, "_multiarch": target["multiarch"]})
    bits = 8 * layout.pointer
    made = {
        "platform": target["platform"],
        "version": target["version"],
        "version_info": version,
        "hexversion": hexversion,
        "implementation": implementation,
        "abiflags": "t" if target["free_threaded"] else "",
        "byteorder": "little" if layout.order == "<" else "big",
        "maxsize": (1 << bits - 1) - 1,
        "hash_info": HashInfo(bits, (1 << (61 if bits == 64 else 31)) - 1, *tuple(sys.hash_info)[2:]),
        "thread_info": ThreadInfo("nt", None, None) if target["name"] == "nt" else ThreadInfo("pthread", None, None),
        "_is_gil_enabled": lambda: not target["free_threaded"],
        "getsizeof": lambda *_: refuse("sys.getsizeof()"),
    }
    if target["name"] == "nt":
        made["winver"] = target["winver"]
        made["getwindowsversion"] = lambda: WindowsVersion(10, 0, 17763, 2, "")
    return made


def _make_os(target: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": target["name"]}
    if target["name"] == "posix":
        made["uname"] = lambda: PosixUname(target["system"], "", target["release"], "", target["machine"])
        made["confstr"] = lambda name: refuse(f"os.confstr({name!r})")
        made["sysconf"] = _sysconf
    return made


def _sysconf(name: Any) -> int:
    if str(name).startswith("SC_NPROCESSORS"):  # for compiling in parallel
        return os.sysconf(name)
    return int(refuse(f"os.sysconf({name!r})"))


def _make_platform(target: dict[str, Any], layout: Layout) -> dict[str, Any]:
    system, machine, release = target["system"], target["machine"], target["release"]
    uname = Uname(system, "", release, "", machine, machine)
    compiler = target["version"].rpartition("[")[2].rstrip("]")

    def architecture(executable: str = "", *_: str) -> tuple[str, str]:
        if executable not in ("", sys.executable):
            bits, linkage = importlib.import_module("platform").architecture(executable)
            return bits, linkage
        return f"{8 * layout.pointer}bit", {"linux": "ELF", "windows": "WindowsPE"}.get(target["os"], "")

    empty_mac, windows = ("", ("", "", ""), ""), ("10", "10.0.17763", "SP0", "Multiprocessor Free")
    answers: dict[str, Any] = {
        "libc_ver": tuple(target["libc"]),
        "mac_ver": (target["minimum"], ("", "", ""), machine) if target["os"] == "macos" else empty_mac,
        "win32_ver": windows if target["os"] == "windows" else ("", "", "", ""),
        "win32_edition": "Professional" if target["os"] == "windows" else None,
        "win32_is_iot": False,
        "machine": machine,
        "processor": machine,
        "node": "",
        "release": release,
        "version": "",
        "system": system,
        "uname": uname,
        "platform": f"{system}-{release}-{machine}",
        "python_version": target["python"],
        "python_version_tuple": tuple(target["python"].split(".")),
        "python_compiler": compiler,
        "python_build": ("main", ""),
    }
    questions = {"freedesktop_os_release": "which Linux distribution it is (platform.freedesktop_os_release)"}
    return {
        **{name: _answer(value) for name, value in answers.items()},
        **{name: lambda *_, question=text, **__: refuse(question) for name, text in questions.items()},
        "architecture": architecture,
    }


def _answer(value: Any) -> Any:
    return lambda *_, **__: value
