"""Build the C++ library of macOS, libc++ with libc++abi, as a Mach-O file, which is then rewrapped like a wheel's own.

Linux's libc++ can't stand in for it, because a module of macOS has parts of it compiled in: ``std::mutex`` is one of
Apple's, constructors return ``this`` on ARM64, ``std::string`` has another layout there, and names of types are
compared in another way. The compiler ships the library's sources, which are those that Apple builds.

The result has all of libc++.1.dylib and libc++abi.dylib that the sources have, under one install name. It is built once
for each CPU, version of the compiler and set of options, which takes one to two minutes of CPU time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder
from wheelworks.core.process import run_checked
from wheelworks.core.zig import find_zig, make_cache_variables, read_zig_version
from wheelworks.foreign.rewrap.symbols import CPUS

NAME = "libc++.1.dylib"
INSTALL_NAMES = ("/usr/lib/libc++.1.dylib", "/usr/lib/libc++abi.dylib")  # the libraries whose imports it provides
SONAME = "libwheelworks-libc++.so"  # of the rewrapped library

# Not part of the library: code for builds without exceptions, and parallel algorithms on other systems' libraries.
_LEFT_OUT = ("cxa_noexception.cpp", "int128_builtins.cpp")
_FOLDERS = ("libcxx/src", "libcxx/src/filesystem", "libcxx/src/ryu", "libcxxabi/src")
_HEADERS = ("libcxx/include", "libcxxabi/include", "libcxx/libc")
# What <__config_site> holds for macOS; `zig c++` has such a file's content in its own command line only.
_CONFIGURATION = (
    "_LIBCPP_ABI_VERSION=1",
    "_LIBCPP_ABI_NAMESPACE=__1",
    "_LIBCPP_HAS_THREADS=1",
    "_LIBCPP_HAS_MONOTONIC_CLOCK=1",
    "_LIBCPP_HAS_TERMINAL=1",
    "_LIBCPP_HAS_MUSL_LIBC=0",
    "_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=0",
    "_LIBCPP_HAS_FILESYSTEM=1",
    "_LIBCPP_HAS_RANDOM_DEVICE=1",
    "_LIBCPP_HAS_LOCALIZATION=1",
    "_LIBCPP_HAS_UNICODE=1",
    "_LIBCPP_HAS_WIDE_CHARACTERS=1",
    "_LIBCPP_HAS_NO_STD_MODULES",
    "_LIBCPP_PSTL_BACKEND_SERIAL",
    "_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_NONE",
    "_LIBCPP_ASSERTION_SEMANTIC_DEFAULT=_LIBCPP_ASSERTION_SEMANTIC_IGNORE",
)
_BUILDING = (
    "_LIBCPP_BUILDING_LIBRARY",
    "_LIBCXXABI_BUILDING_LIBRARY",
    "LIBCXX_BUILDING_LIBCXXABI",
    "LIBCXXABI_NON_DEMANGLING_TERMINATE",
)
_OPTIONS = (
    *("-shared", "-nostdlib++", "-O1", "-g0", "-std=c++23", "-fno-sanitize=all", "-w"),
    *("-fvisibility-inlines-hidden", f"-Wl,-install_name,{INSTALL_NAMES[0]}"),
)


def build_libcxx(cpu: str) -> Path:
    """Return the Mach-O library for a CPU ("aarch64", "x86_64"), built unless the cache has it.

    Raises WheelworksError for another CPU, and where the compiler is missing or fails.
    """
    if cpu not in CPUS["macos"]:
        raise WheelworksError(f"no modules of macOS for the CPU {cpu} can be rewrapped")
    folder = get_cached_folder(f"libcxx/{cpu}-{_compute_digest()}", lambda fresh: _build(cpu, fresh))
    return folder / NAME


def list_compile_options() -> list[str]:
    """Return options by which C++ code for macOS is compiled against the library's headers."""
    library = Path(find_zig()).parent / "lib"
    headers = [f"-I{library / name}" for name in _HEADERS]
    return ["-nostdinc++", *headers, *(f"-D{define}" for define in _CONFIGURATION)]


def _compute_digest() -> str:
    words = [read_zig_version(), *_CONFIGURATION, *_BUILDING, *_OPTIONS, *_HEADERS, *_FOLDERS, *_LEFT_OUT]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _build(cpu: str, folder: Path) -> None:
    zig = find_zig()
    library = Path(zig).parent / "lib"
    sources = [path for name in _FOLDERS for path in sorted((library / name).glob("*.cpp"))]
    if not sources:
        raise WheelworksError(f"the compiler has no sources of libc++ in {library}", "install ziglang again")
    words = ["c++", "-target", f"{cpu}-macos.11.0", *_OPTIONS, *list_compile_options()]
    words += [f"-D{define}" for define in _BUILDING] + [f"-I{library / name}" for name in _FOLDERS[:1]]
    words += [str(path) for path in sources if path.name not in _LEFT_OUT]
    environment = {**os.environ, **make_cache_variables(folder / ".zig")}
    run_checked([zig, *words, "-o", str(folder / NAME)], "libc++ can't be built", lines=40, env=environment)
