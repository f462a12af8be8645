"""Runs first in the Python that runs a build backend: what CPython's cross-compiling door leaves out.

Tools see the host that they run on, but the project's own code (``setup.py`` and what lies beside it) sees the
target: by ``sys.platform``, ``os.name``, ``platform.machine()`` it chooses sources and flags for that.
Standard library only, any Python: this file is not imported by wheelworks.
"""

import builtins
import collections
import importlib.machinery
import json
import os
import platform
import sys
import sysconfig
import types
from typing import Any


class View(types.ModuleType):
    """A module as the project's code sees it: some names are the target's, the others are the module's own."""

    def __init__(self, module: types.ModuleType, **target: object) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["_module"] = module
        self.__dict__["_target"] = target

    def __getattr__(self, name: str) -> Any:
        target = self.__dict__["_target"]
        return target[name] if name in target else getattr(self.__dict__["_module"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_module"], name, value)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_module"])


Uname = collections.namedtuple("Uname", "system node release version machine processor")
PosixUname = collections.namedtuple("PosixUname", "sysname nodename release version machine")
VersionInfo = collections.namedtuple("VersionInfo", "major minor micro releaselevel serial")
WindowsVersion = collections.namedtuple("WindowsVersion", "major minor build platform service_pack")


def views(target: dict[str, str]) -> dict[str, View]:
    """The three modules that tell a program where it runs."""
    system, machine = target["system"], target["machine"]
    uname = Uname(system, "", target["release"], "", machine, machine)
    major, minor, micro = map(int, target["python"].split("."))
    of_sys: dict[str, Any] = {
        "version_info": VersionInfo(major, minor, micro, "final", 0),
        "hexversion": major << 24 | minor << 16 | micro << 8 | 0xF0,
    }
    of_os: dict[str, Any] = {}
    if target["name"] == "nt":
        of_sys["getwindowsversion"] = lambda: WindowsVersion(10, 0, 17763, 2, "")
    else:
        of_os["uname"] = lambda: PosixUname(system, "", target["release"], "", machine)
    return {
        "sys": View(sys, platform=target["platform"], **of_sys),
        "os": View(os, name=target["name"], **of_os),
        "platform": View(
            platform,
            machine=lambda: machine,
            processor=lambda: machine,
            release=lambda: target["release"],
            python_version=lambda: target["python"],
            python_version_tuple=lambda: tuple(target["python"].split(".")),
            system=lambda: system,
            uname=lambda: uname,
            platform=lambda *_: f"{system}-{machine}",
        ),
    }


def install(settings: dict[str, Any]) -> None:
    """Show the target to the project's code, and to everybody what only the target can answer."""
    importlib.machinery.EXTENSION_SUFFIXES[:] = settings["suffixes"]
    if os.name == "nt":  # there CPython leaves its door shut
        sysconfig.get_config_vars().update(settings["variables"])
        sysconfig.get_platform = lambda: settings["platform"]
    source = os.path.join(os.path.realpath(settings["source"]), "")
    seen = views(settings["view"])
    real_import = builtins.__import__

    def target_import(  # by position and by keyword, as builtins.__import__ is called
        name: str,
        globals: Any = None,  # noqa: A002
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = real_import(name, globals, locals, fromlist, level)
        bound = name if fromlist else name.partition(".")[0]  # `import os.path` binds os
        if level == 0 and bound in seen and globals and is_the_projects(globals):
            return seen[bound]
        return module

    def is_the_projects(namespace: dict[str, Any]) -> bool:
        file = namespace.get("__file__")
        return isinstance(file, str) and os.path.realpath(file).startswith(source)

    builtins.__import__ = target_import


with open(os.environ["WHEELWORKS_SHIM"], encoding="utf-8") as file:
    install(json.load(file))
