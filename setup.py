"""Build the C extension, whose flags depend on the target's ABI. The metadata is in pyproject.toml.

TORNADO_SPEEDUPS_EXTENSION=0 builds a pure wheel (py3-none-any), 1 requires the extension. Unset or empty, CPython
requires it and other Pythons get the pure wheel. C that can't be built is an error and never a wheel without it,
because pip hides the warnings of a build that succeeds, and installs its wheel from the cache ever after.

The platform is taken from sysconfig only, which knows the target when cross-compiling.
"""

import os
import re
import sys
import sysconfig
import tomllib
from glob import glob
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SWITCH = "TORNADO_SPEEDUPS_EXTENSION"
SOURCES = "src/tornado_speedups/_speedups"
HINT = f"""\
hint: install a C compiler and the headers of this Python, and try again:
        Debian, Ubuntu    apt install gcc python3-dev
        Fedora            dnf install gcc python3-devel
        Alpine            apk add gcc python3-dev
        macOS             xcode-select --install
        Windows           Build Tools for Visual Studio, with "Desktop development with C++"
      or take a wheel, which needs no compiler: pip install --only-binary tornado-speedups tornado-speedups
      or install without C, which is slower: {SWITCH}=0 pip install ..."""

switch = os.environ.get(SWITCH, "")
if switch not in ("", "0", "1"):
    sys.exit(f"{SWITCH} must be 1 (C is needed), 0 (Python only) or unset (C for CPython), not {switch!r}")


class BuildExtension(build_ext):
    """The command that compiles the extension. It says what to do where it fails."""

    def build_extension(self, ext: Extension) -> None:
        """Compile the extension. Raises SystemExit if that fails."""
        try:
            super().build_extension(ext)
        except Exception as error:  # of the compiler, of the linker, or of the search for one
            sys.exit(f"error: the C extension of tornado-speedups can't be built: {error}\n{HINT}")


def find_oldest_abi() -> tuple[int, int] | None:
    """Return the oldest version with the stable ABI of this Python; None if it has none (PEP 384, PEP 803)."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (3, 11)
    return (3, 15) if sys.version_info >= (3, 15) else None


def define_macros(oldest: tuple[int, int] | None) -> list[tuple[str, str | None]]:
    """Return the macros that select this stable ABI in Python.h; since 3.15, one serves both builds of Python."""
    if oldest is None:
        return []
    name = "Py_TARGET_ABI3T" if oldest >= (3, 15) else "Py_LIMITED_API"
    return [(name, f"0x{oldest[0]:02x}{oldest[1]:02x}0000")]


def describe_package(readme: str, address: str | None) -> str:
    """Return the part of README that the package index shows: the one before the first rule.

    The index knows no file of the repository. Links and pictures get the repository's ``address``; without one, the
    text of a link stays and a picture is left out.
    """
    text = readme.partition("\n---\n")[0]
    if address:
        return re.sub(r"(!?)\[([^]]*)\]\((?!https?:)", lambda found: f"{found[0]}{_prefix(found[1], address)}", text)
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


def _prefix(mark: str, address: str) -> str:
    return f"{address.rstrip('/')}/{'raw' if mark else 'blob'}/main/"


def configure() -> dict[str, Any]:
    """Return the arguments of setup()."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = Path("README.md").read_text(encoding="utf-8")
    found: dict[str, Any] = {
        "long_description": describe_package(readme, project.get("urls", {}).get("Source")),
        "long_description_content_type": "text/markdown",
    }
    if switch == "0" or (not switch and sys.implementation.name != "cpython"):
        return found
    oldest = find_oldest_abi()
    extension = Extension(
        "tornado_speedups._speedups",
        sources=[f"{SOURCES}/module.c"],
        depends=sorted(glob(f"{SOURCES}/*.[ch]")),
        define_macros=define_macros(oldest),
        py_limited_api=oldest is not None,
    )
    options = {"bdist_wheel": {"py_limited_api": f"cp{oldest[0]}{oldest[1]}"}} if oldest else {}
    return {**found, "ext_modules": [extension], "options": options, "cmdclass": {"build_ext": BuildExtension}}


setup(**configure())
