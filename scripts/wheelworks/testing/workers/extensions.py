"""Record which extension modules a process loads, and from where.

Python code can hide that it runs without its extension: a package falls back to Python, or is imported from a source
tree. Each module is recorded when it has been loaded, so that a crash or ``os._exit`` afterwards loses none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

from . import append_properties

RESULTS_VARIABLE = "WHEELWORKS_RESULTS"
PACKAGES_VARIABLE = "WHEELWORKS_PACKAGES"


def record_extensions(results: str) -> None:
    """Write the name and file of each extension module that this process loads from now on to ``results``."""
    load = ExtensionFileLoader.exec_module

    def exec_module(self: ExtensionFileLoader, module: ModuleType) -> None:
        load(self, module)
        append_properties(results, [(f"module:{self.name}", self.path)])

    ExtensionFileLoader.exec_module = exec_module  # type: ignore[method-assign]


def record_packages(results: str, packages: Iterable[str]) -> None:
    """Write the files of those packages that are loaded. Namespace packages have none."""
    files = ((name, getattr(sys.modules.get(name), "__file__", None)) for name in packages)
    append_properties(results, [(f"module:{name}", str(file)) for name, file in files if file])


def make_variables(results: str, packages: Iterable[str]) -> dict[str, str]:
    """Return the environment variables that make ``hooks/sitecustomize.py`` record in every child process."""
    hooks = os.path.join(os.path.dirname(__file__), "hooks")
    path = os.pathsep.join(filter(None, [hooks, os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, RESULTS_VARIABLE: results, PACKAGES_VARIABLE: ",".join(packages)}
