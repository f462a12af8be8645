"""Runs first in the Python that runs a build backend, and does what CPython's cross-compiling hooks don't cover.

Build tools see the host that they run on. The project's own code (``setup.py`` and the modules beside it) sees the
target, because it chooses sources and flags by ``sys.platform``, ``os.name`` and ``platform.machine()``.
Standard library only, for any Python: wheelworks doesn't import this file.
"""

import builtins
import collections
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import platform
import sys
import sysconfig
import types
from typing import Any


class View(types.ModuleType):
    """A module as the project's code sees it: some attributes are the target's, the others the module's own."""

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


def make_views(target: dict[str, str]) -> dict[str, View]:
    """Return the views of the three modules that describe the platform."""
    system, machine, release = target["system"], target["machine"], target["release"]
    uname = Uname(system, "", release, "", machine, machine)
    major, minor, micro = map(int, target["python"].split("."))
    sys_attributes: dict[str, Any] = {
        "platform": target["platform"],
        "version_info": VersionInfo(major, minor, micro, "final", 0),
        "hexversion": major << 24 | minor << 16 | micro << 8 | 0xF0,
    }
    os_attributes: dict[str, Any] = {"name": target["name"]}
    if target["name"] == "nt":
        sys_attributes["getwindowsversion"] = lambda: WindowsVersion(10, 0, 17763, 2, "")
    else:
        os_attributes["uname"] = lambda: PosixUname(system, "", release, "", machine)
    return {
        "sys": View(sys, **sys_attributes),
        "os": View(os, **os_attributes),
        "platform": View(
            platform,
            machine=lambda: machine,
            processor=lambda: machine,
            release=lambda: release,
            python_version=lambda: target["python"],
            python_version_tuple=lambda: tuple(target["python"].split(".")),
            system=lambda: system,
            uname=lambda: uname,
            platform=lambda *_: f"{system}-{machine}",
        ),
    }


class TagFinder(importlib.abc.MetaPathFinder):
    """Import ``packaging.tags``, setuptools' and wheel's copies included, with the target's tags added.

    setuptools before 84 asserts that a wheel's tag is one that the running Python accepts.
    """

    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target
        self.active = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module of that name, with a loader that changes it afterwards."""
        if self.active or not name.endswith("packaging.tags"):
            return None
        self.active = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.active = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            add_tags(module, self.target)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def add_tags(module: Any, target: dict[str, Any]) -> None:
    """Let a module's ``sys_tags`` begin with the target's tags."""
    own = module.sys_tags

    def sys_tags(**options: Any) -> Any:
        yield from module.cpython_tags(tuple(target["python"]), [target["abi"]], [target["platform"]])
        yield from own(**options)

    module.sys_tags = sys_tags


def answer_tags(target: dict[str, Any]) -> None:
    """Add the target's tags to what ``packaging.tags`` answers in this process."""
    sys.meta_path.insert(0, TagFinder(target))


def install(settings: dict[str, Any]) -> None:
    """Show the platform views to the project's code, and extension suffixes and sysconfig to all code."""
    importlib.machinery.EXTENSION_SUFFIXES[:] = settings["suffixes"]
    if os.name == "nt":  # CPython for Windows doesn't read the environment variables of the hooks
        sysconfig.get_config_vars().update(settings["variables"])
        sysconfig.get_platform = lambda: settings["platform"]
    answer_tags(settings["tags"])
    source = os.path.join(os.path.realpath(settings["source"]), "")
    views = make_views(settings["view"])
    real_import = builtins.__import__

    def target_import(  # called by position and by keyword, like builtins.__import__
        name: str,
        globals: Any = None,  # noqa: A002
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = real_import(name, globals, locals, fromlist, level)
        bound = name if fromlist else name.partition(".")[0]  # `import os.path` binds os
        if level == 0 and bound in views and globals and is_project_code(globals):
            return views[bound]
        return module

    def is_project_code(namespace: dict[str, Any]) -> bool:
        file = namespace.get("__file__")
        return isinstance(file, str) and os.path.realpath(file).startswith(source)

    builtins.__import__ = target_import


with open(os.environ["WHEELWORKS_SHIM"], encoding="utf-8") as file:
    install(json.load(file))
