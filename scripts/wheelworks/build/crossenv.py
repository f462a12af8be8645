"""A target's ``sysconfig``, as a build backend that runs on the host is to see it: pure functions.

The door is CPython's own: ``_PYTHON_SYSCONFIGDATA_NAME`` names a module with ``build_time_vars``, and
``_PYTHON_HOST_PLATFORM`` is what ``sysconfig.get_platform()`` answers (Lib/sysconfig.py).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.build import context
from wheelworks.build.arguments import DriverSettings
from wheelworks.build.context import BuildContext
from wheelworks.core import cache
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target

SYSCONFIGDATA_MODULE = "_sysconfigdata_wheelworks"

_POINTER_SIZE = {"aarch64": 8, "x86_64": 8, "x86": 4, "arm": 4, "powerpc64le": 8, "s390x": 8, "riscv64": 8}
# Projects compare these with the lowest they know; the target's own lowest is what a wheel is for.
_SYSTEM_RELEASE = {"linux": "3.10.0", "macos": "20.0.0", "windows": "10"}
_SYSTEM = {
    "linux": ("Linux", "linux", "posix"),
    "macos": ("Darwin", "darwin", "posix"),
    "windows": ("Windows", "win32", "nt"),
}


def format_soabi(target: Target, abi: Abi) -> str:
    """The middle of an extension's file name there: ``cpython-311-darwin``, ``cp314t-win_arm64``."""
    if target.os == "windows":
        return f"cp{abi.nodot}-{target.platform.replace('-', '_')}"
    if target.os == "macos":
        return f"cpython-{abi.nodot}-darwin"
    # Debian's names of machines (Misc/platform_triplet.c), which are the compiler's but for one
    return f"cpython-{abi.nodot}-{re.sub('^x86-', 'i386-', target.compiler.partition('.')[0])}"


def list_suffixes(target: Target, abi: Abi) -> list[str]:
    """The endings that CPython looks for there, best first (Python/dynload_*.c)."""
    if target.os == "windows":
        return [f".{format_soabi(target, abi)}.pyd", ".pyd"]
    stable = [] if abi.free_threaded else [".abi3.so"]
    return [f".{format_soabi(target, abi)}.so", *stable, *([".abi3t.so"] if "abi3t" in abi.tags else []), ".so"]


def make_build_time_vars(target: Target, abi: Abi, include: str, tools: ToolCommands) -> dict[str, str | int]:
    """The variables that build backends ask for; whatever describes the host isn't among them."""
    ending = list_suffixes(target, abi)[0]
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
        "SOABI": format_soabi(target, abi),
        "VERSION": abi.python.replace(".", "") if target.os == "windows" else abi.python,
        "WITH_PYMALLOC": 1,
        "py_version_nodot": abi.python.replace(".", ""),
        "py_version_short": abi.python,
        **({"MACOSX_DEPLOYMENT_TARGET": target.minimum} if target.os == "macos" else {}),
    }


def describe_platform(target: Target, abi: Abi) -> dict[str, str]:
    """What ``platform``, ``sys`` and ``os`` say on the target, for the project's own code."""
    system, platform, name = _SYSTEM[target.os]
    return {
        "system": system,
        "machine": target.machine,
        "platform": platform,
        "name": name,
        "release": _SYSTEM_RELEASE[target.os],
        "python": f"{abi.python}.0",
    }


@dataclass(frozen=True)
class ToolCommands:
    """The compiler's command lines, as one string each: the way build backends keep them."""

    cc: str
    cxx: str
    ar: str
    ranlib: str


def quote_words(words: Sequence[str]) -> str:
    """A command line that distutils' ``split_quoted`` takes apart again into ``words``.

    There a backslash escapes, so that Windows' paths go with slashes, which Windows takes as well.
    """
    return " ".join(re.sub(r"""([\s'"])""", r"\\\1", word.replace("\\", "/")) for word in words)


_SHIM = Path(__file__).with_name("shim")
_DRIVER_SCRIPT = """\
import sys
sys.path.insert(0, {scripts!r})
from wheelworks.build.driver import main
sys.exit(main({settings!r}, {language!r}, sys.argv[1:]))
"""


def build_folder(target: Target, abi: Abi, work: Path) -> Path:
    """The folder of one build."""
    return work / f"{target.id}-{abi.nodot}"


def log_path(target: Target, abi: Abi, work: Path) -> Path:
    """Where the compilers of one build log."""
    return build_folder(target, abi, work) / "compiler.log"


def prepare_hooks(shop: BuildContext, target: Target, abi: Abi) -> dict[str, str]:
    """The environment in which the backend sees ``target``; writes the files that it points to."""
    place = build_folder(target, abi, shop.work)
    settings = _driver_settings(shop, target, abi)
    settings.write(place / "settings.json")
    tools = _write_drivers(place, settings.zig)
    values = make_build_time_vars(target, abi, settings.include, tools)
    doors = place / "doors"
    doors.mkdir()
    shutil.copyfile(_SHIM / "sitecustomize.py", doors / "sitecustomize.py")
    (doors / f"{SYSCONFIGDATA_MODULE}.py").write_text(f"build_time_vars = {values!r}\n", encoding="utf-8")
    shim = {
        "source": str(place / "source"),
        "suffixes": list_suffixes(target, abi),
        "variables": values,
        "platform": target.platform,
        "view": describe_platform(target, abi),
    }
    (doors / "shim.json").write_text(json.dumps(shim), encoding="utf-8")
    (doors / "distutils.cfg").write_text(
        "[build_ext]\ncompiler = unix\n[build_clib]\ncompiler = unix\n", encoding="utf-8"
    )
    return {
        **context.make_environment(os.environ, place, shop.source.epoch, shop.extra),
        "PYTHONPATH": str(doors),
        "_PYTHON_SYSCONFIGDATA_NAME": SYSCONFIGDATA_MODULE,
        "_PYTHON_HOST_PLATFORM": target.platform,
        "WHEELWORKS_SHIM": str(doors / "shim.json"),
        "DIST_EXTRA_CONFIG": str(doors / "distutils.cfg"),
        "ZIG_GLOBAL_CACHE_DIR": str(_zig_cache()),
        "ZIG_LOCAL_CACHE_DIR": str(place / "zig"),
        "CC": tools.cc,
        "CXX": tools.cxx,
        "AR": tools.ar,
    }


def _write_drivers(place: Path, zig: str) -> ToolCommands:
    lines = (_write_driver(place, "cc"), _write_driver(place, "c++"), [zig, "ar"], [zig, "ranlib"])
    return ToolCommands(*map(quote_words, lines))


def _write_driver(place: Path, language: str) -> list[str]:
    program = place / ("cxx.py" if language == "c++" else "cc.py")
    scripts = str(Path(__file__).parents[2])
    settings = str(place / "settings.json")
    program.write_text(_DRIVER_SCRIPT.format(scripts=scripts, settings=settings, language=language), encoding="utf-8")
    return [sys.executable, "-I", str(program)]


def _driver_settings(shop: BuildContext, target: Target, abi: Abi) -> DriverSettings:
    place = build_folder(target, abi, shop.work)
    tree, headers = place / "source", str(shop.headers[abi.id].folder)
    return DriverSettings(
        target=target.id,
        os=target.os,
        cpu=target.cpu,
        compiler=target.compiler,
        model=target.model,
        minimum=target.minimum,
        python=abi.nodot,
        zig=find_zig(),
        include=headers,
        source=str(tree),
        allowed=(str(tree), str(place / "tmp"), str(shop.environment.folder), headers),
        work=str(place),
        log=str(log_path(target, abi, shop.work)),
        libc_marker=str(_zig_cache() / f"linked-{target.compiler}"),
    )


def _zig_cache() -> Path:
    return cache.folder() / f"zig-{importlib.metadata.version('ziglang')}"


def find_zig() -> str:
    """The compiler's program, out of the ``ziglang`` package."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise WheelworksError("the compiler isn't installed", "run this through nox, or: pip install ziglang")
    return str(Path(spec.submodule_search_locations[0], "zig.exe" if os.name == "nt" else "zig"))
