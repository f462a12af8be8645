"""Cross-environment hooks: how a build backend that runs on the host sees a target.

CPython has two hooks for cross-compiling (Lib/sysconfig): ``_PYTHON_SYSCONFIGDATA_NAME`` names a module with
``build_time_vars``, and ``_PYTHON_HOST_PLATFORM`` is what ``sysconfig.get_platform()`` returns. What they don't cover
is done by the package ``shim``, which runs first in the backend's Python. ``CC`` and ``CXX`` are the compiler
driver.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wheelworks.build.arguments import DriverSettings
from wheelworks.build.context import CONSTRAINT_VARIABLES, BuildContext, make_environment
from wheelworks.build.plan import MACOS_MINIMUM, WheelSettings
from wheelworks.build.prefixes import Prefix, list_include, list_libraries, make_variables
from wheelworks.build.windows_names import WindowsSources, read_sources, write_forwarding_headers
from wheelworks.core.targets import Abi, Target
from wheelworks.core.zig import find_object_cache, find_zig, find_zig_cache, make_cache_variables, read_zig_version

SYSCONFIGDATA_MODULE = "_sysconfigdata_wheelworks"

_POINTER_SIZE = {"aarch64": 8, "x86_64": 8, "x86": 4, "arm": 4, "powerpc64le": 8, "s390x": 8, "riscv64": 8}
# Projects compare the release with the lowest that they support; a wheel is for the target's lowest.
_PLATFORMS = {
    "linux": {"system": "Linux", "platform": "linux", "name": "posix", "release": "3.10.0"},
    "macos": {"system": "Darwin", "platform": "darwin", "name": "posix", "release": "20.0.0"},
    "windows": {"system": "Windows", "platform": "win32", "name": "nt", "release": "10"},
}
# How CPython's own builds name their compiler in ``sys.version``.
_COMPILERS = {"linux": "GCC 10.2.1 20210130", "macos": "Clang 16.0.0 (clang-1600.0.26.6)", "windows": "MSC v.1942"}
_MSC_SUFFIXES = {"aarch64": " 64 bit (ARM64)", "x86_64": " 64 bit (AMD64)", "x86": " 32 bit (Intel)"}
_LONG_DOUBLE = {"x86": 12, "arm": 8}  # on Linux, in bytes; others have 16
_NOT_PYTHON = shutil.ignore_patterns("__pycache__", "*.c")
_SITECUSTOMIZE = """\
import json, os, wheelworks_shim
with open(os.environ["WHEELWORKS_SHIM"], encoding="utf-8") as file:
    wheelworks_shim.install(json.load(file))
"""
# The target has the project's lowest macOS already, and the build environment is made once.
_OWN_VARIABLES = (MACOS_MINIMUM, *CONSTRAINT_VARIABLES)
_DRIVER_SCRIPT = """\
import sys
sys.path.insert(0, {scripts!r})
from wheelworks.build.driver import main
sys.exit(main({settings!r}, {language!r}, sys.argv[1:]))
"""


def format_soabi(target: Target, abi: Abi) -> str:
    """Return the middle of an extension's file name: ``cpython-311-darwin``, ``cp314t-win_arm64``."""
    if target.os == "windows":
        return f"cp{abi.nodot}-{target.platform.replace('-', '_')}"
    triplet = format_multiarch(target)
    if abi.minor < 11:
        triplet = triplet.replace("-musl", "-gnu")  # CPython didn't tell them apart (python/cpython GH-87278)
    return f"cpython-{abi.nodot}-{triplet}"


def format_multiarch(target: Target) -> str:
    """Return CPython's name of a platform (Misc/platform_triplet.c): the compiler's, except x86; "" for Windows."""
    triplet = re.sub("^x86-", "i386-", target.compiler.partition(".")[0])
    return {"macos": "darwin", "windows": ""}.get(target.os, triplet)


def list_suffixes(target: Target, abi: Abi) -> list[str]:
    """Return the suffixes of extension modules that the target's CPython accepts, best first (Python/dynload_*.c)."""
    if target.os == "windows":
        return [f".{format_soabi(target, abi)}.pyd", ".pyd"]
    stable = [] if abi.free_threaded else [".abi3.so"]
    return [f".{format_soabi(target, abi)}.so", *stable, *([".abi3t.so"] if "abi3t" in abi.tags else []), ".so"]


def make_build_time_vars(
    target: Target, abi: Abi, include: str, tools: Mapping[str, str], prefixes: Sequence[Prefix] = ()
) -> dict[str, str | int]:
    """Return the sysconfig variables that build backends read; none describes the host.

    ``tools`` are the command lines of the compiler's programs, CC, CXX, AR and RANLIB, quoted by `quote_words`. Setup
    scripts look for libraries in INCLUDEDIR and LIBDIR, which are those of the first of ``prefixes``.
    """
    suffix, nodot = list_suffixes(target, abi)[0], abi.python.replace(".", "")
    return {
        **tools,
        "ARFLAGS": "rcs",
        "CCSHARED": "-fPIC",
        "HOST_GNU_TYPE": f"{target.cpu}-{target.os}",
        "LDCXXSHARED": f"{tools['CXX']} -shared",
        **dict.fromkeys(("BLDSHARED", "LDSHARED"), f"{tools['CC']} -shared"),
        **dict.fromkeys(("CONFINCLUDEPY", "INCLUDEPY"), include),
        **dict.fromkeys(("EXT_SUFFIX", "SO"), suffix),
        **dict.fromkeys(("CFLAGS", "LDFLAGS", "OPT"), ""),
        "INCLUDEDIR": next(iter(list_include(prefixes)), ""),
        "LIBDIR": next(iter(list_libraries(prefixes)), ""),
        **dict.fromkeys(("Py_DEBUG", "Py_ENABLE_SHARED"), 0),
        "Py_GIL_DISABLED": int(abi.free_threaded),
        "SHLIB_SUFFIX": ".pyd" if target.os == "windows" else ".so",
        **_make_size_variables(target),
        "SOABI": format_soabi(target, abi),
        "VERSION": nodot if target.os == "windows" else abi.python,
        "WITH_PYMALLOC": 1,
        "abiflags": "t" if abi.free_threaded else "",
        "py_version": f"{abi.python}.0",
        "py_version_nodot": nodot,
        "py_version_short": abi.python,
        **({MACOS_MINIMUM: target.minimum} if target.os == "macos" else {}),
    }


def _make_size_variables(target: Target) -> dict[str, str | int]:
    """Return the variables about C types (of pyconfig.h), and the name of the machine's folder of headers."""
    layout = describe_layout(target)
    pointer, long, wchar = layout["pointer"], layout["long"], layout["wchar"]
    return {
        **dict.fromkeys(("SIZEOF_VOID_P", "SIZEOF_SIZE_T", "SIZEOF_UINTPTR_T", "ALIGNOF_SIZE_T"), pointer),
        **dict.fromkeys(("SIZEOF_LONG", "ALIGNOF_LONG"), long),
        **dict.fromkeys(("SIZEOF_LONG_LONG", "SIZEOF_DOUBLE"), 8),
        **dict.fromkeys(("SIZEOF_INT", "SIZEOF_FLOAT"), 4),
        "SIZEOF_SHORT": 2,
        "SIZEOF_WCHAR_T": wchar,
        "SIZEOF_LONG_DOUBLE": layout["long_double"],
        "WORDS_BIGENDIAN": int(layout["order"] == ">"),
        **({"MULTIARCH": format_multiarch(target)} if target.os == "linux" else {}),
    }


def describe_layout(target: Target) -> dict[str, int | str]:
    """Return the sizes in bytes, alignment and order of C types that differ among targets: `shim.layout.Layout`.

    The sources are the calling conventions: System V ABI (with its supplements), AAPCS64, and Microsoft's x64 ABI.
    """
    pointer, windows = _POINTER_SIZE[target.cpu], target.os == "windows"
    narrow = windows or (target.os, target.cpu) == ("macos", "aarch64")
    return {
        "pointer": pointer,
        "long": 4 if windows else pointer,
        "wchar": 2 if windows else 4,
        "long_double": 8 if narrow else _LONG_DOUBLE.get(target.cpu, 16),
        "widest": 4 if target.cpu == "x86" and not windows else 8,
        "order": ">" if target.cpu == "s390x" else "<",
    }


def describe_platform(target: Target, abi: Abi) -> dict[str, Any]:
    """Return what the modules that describe the platform say on the target, for the shim."""
    libc = ("glibc", target.minimum) if "gnu" in target.compiler and target.os == "linux" else ("", "")
    ending = {"aarch64": "-arm64", "x86": "-32"}.get(target.cpu, "")
    return {
        **_PLATFORMS[target.os],
        "os": target.os,
        "machine": target.machine,
        "python": f"{abi.python}.0",
        "version": _format_version(target, abi),
        "winver": f"{abi.python}{'t' * abi.free_threaded}{ending}",
        "free_threaded": abi.free_threaded,
        "multiarch": format_multiarch(target),
        "libc": libc,
        "minimum": target.minimum,
        "layout": describe_layout(target),
    }


def _format_version(target: Target, abi: Abi) -> str:
    """Return ``sys.version`` of the first release, with a date that stands for any."""
    compiler = _COMPILERS[target.os] + (_MSC_SUFFIXES[target.cpu] if target.os == "windows" else "")
    return f"{abi.python}.0 {'free-threading build ' * abi.free_threaded}(main, Jan  1 1980, 00:00:00) [{compiler}]"


def quote_words(words: Sequence[str]) -> str:
    """Return a command line that distutils' ``split_quoted`` splits into ``words``.

    Backslashes escape there, so that they are replaced by slashes, which Windows accepts as well.
    """
    return " ".join(re.sub(r"""([\s'"])""", r"\\\1", word.replace("\\", "/")) for word in words)


def build_folder(target: Target, abi: Abi, work: Path) -> Path:
    """Return the folder of one build."""
    return work / f"{target.id}-{abi.nodot}"


def log_path(target: Target, abi: Abi, work: Path) -> Path:
    """Return the path of the compiler driver's log for one build."""
    return build_folder(target, abi, work) / "compiler.log"


def prepare_build(
    context: BuildContext, target: Target, abi: Abi, project: WheelSettings, prefixes: Sequence[Prefix]
) -> dict[str, str]:
    """Copy the source and write the hooks into a new folder; return the variables that show the backend the target.

    The folder is `build_folder`'s. The variables include those of ``prefixes``, and the ``project``'s own, which the
    user's replace.
    """
    folder = build_folder(target, abi, context.work)
    shutil.copytree(context.source.tree, folder / "source")
    settings = _driver_settings(context, target, abi, prefixes)
    settings.write(folder / "settings.json")
    tools = _write_drivers(folder, settings.zig)
    variables = make_build_time_vars(target, abi, settings.include, tools, prefixes)
    hooks = folder / "hooks"
    write_shim(hooks, target, abi, variables, folder / "source", Path(settings.log), prefixes)
    contents = {
        f"{SYSCONFIGDATA_MODULE}.py": f"build_time_vars = {variables!r}\n",
        "distutils.cfg": "[build_ext]\ncompiler = unix\n[build_clib]\ncompiler = unix\n",
    }
    for name, text in contents.items():
        (hooks / name).write_text(text, encoding="utf-8")
    plain = make_environment(os.environ, folder, context.source.epoch, context.variables)
    own = {name: value for name, value in project.evaluate(plain).items() if name not in _OWN_VARIABLES}
    users = {name: value for name, value in context.variables.items() if name != MACOS_MINIMUM}
    return {
        **make_environment(os.environ, folder, context.source.epoch, {**make_variables(prefixes), **own, **users}),
        "PYTHONPATH": str(hooks),
        "_PYTHON_SYSCONFIGDATA_NAME": SYSCONFIGDATA_MODULE,
        "_PYTHON_HOST_PLATFORM": target.platform,
        **({"PROCESSOR_ARCHITECTURE": target.machine} if target.os == "windows" else {}),
        "WHEELWORKS_SHIM": str(hooks / "shim.json"),
        "DIST_EXTRA_CONFIG": str(hooks / "distutils.cfg"),
        **make_cache_variables(folder / "zig"),
        **tools,
    }


def write_shim(
    hooks: Path,
    target: Target,
    abi: Abi,
    variables: Mapping[str, str | int],
    source: Path,
    log: Path,
    prefixes: Sequence[Prefix] = (),
) -> None:
    """Write what the backend's Python runs first, and its settings, into the new folder ``hooks``.

    ``source`` is the tree whose code sees the target, ``log`` the file that events are appended to.
    """
    shutil.copytree(Path(__file__).with_name("shim"), hooks / "wheelworks_shim", ignore=_NOT_PYTHON)
    settings = {
        "target": target.id,
        "log": str(log),
        "source": str(source),
        "suffixes": list_suffixes(target, abi),
        "variables": dict(variables),
        "platform": target.platform,
        "tags": {
            "python": [3, abi.minor],
            "abi": f"cp{abi.nodot}",
            "platform": re.sub("[-.]", "_", target.platform),
        },
        "view": describe_platform(target, abi),
        "include_dirs": list_include(prefixes),
        "library_dirs": list_libraries(prefixes),
    }
    (hooks / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
    (hooks / "shim.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_drivers(folder: Path, zig: str) -> dict[str, str]:
    scripts, settings = str(Path(__file__).parents[2]), str(folder / "settings.json")
    commands = {"AR": [zig, "ar"], "RANLIB": [zig, "ranlib"]}
    for name, language, file in (("CC", "cc", "cc.py"), ("CXX", "c++", "cxx.py")):
        text = _DRIVER_SCRIPT.format(scripts=scripts, settings=settings, language=language)
        (folder / file).write_text(text, encoding="utf-8")
        commands[name] = [sys.executable, "-I", str(folder / file)]
    return {name: quote_words(words) for name, words in commands.items()}


def _driver_settings(context: BuildContext, target: Target, abi: Abi, prefixes: Sequence[Prefix]) -> DriverSettings:
    folder = build_folder(target, abi, context.work)
    tree, headers, zig = folder / "source", str(context.headers[abi.id].folder), find_zig()
    sources = read_sources(context.source.tree) if target.os == "windows" else WindowsSources()
    forwarders = write_forwarding_headers(sources.names, tree, zig, folder / "headers")
    brought = [str(prefix.folder) for prefix in prefixes]
    return DriverSettings(
        target=target.id,
        os=target.os,
        cpu=target.cpu,
        compiler=target.compiler,
        model=target.model,
        python=abi.nodot,
        zig=zig,
        include=headers,
        source=str(tree),
        allowed=(str(tree), str(folder / "tmp"), str(context.environment.folder), headers, *brought),
        work=str(folder),
        log=str(log_path(target, abi, context.work)),
        libc_marker=str(find_zig_cache() / f"linked-{target.compiler}"),
        forwarders=str(forwarders or ""),
        ms_extensions=sources.extensions,
        prefixes=brought,
        prefix_include=list_include(prefixes),
        prefix_libraries=list_libraries(prefixes),
        objects=str(find_object_cache() or ""),
        compiler_version=read_zig_version(),
    )
