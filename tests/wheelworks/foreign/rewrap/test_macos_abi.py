"""The differences between the binary interfaces of macOS and Linux: a compiled module, rewrapped, in a real CPython.

Each case has a seeded fault, to show that a wrong module gives another result.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from wheelworks.core.zig import find_zig
from wheelworks.foreign.rewrap import shims
from wheelworks.foreign.rewrap.symbols import read_same_names

from tests.wheelworks.foreign.rewrap import macos_modules, sites

slow = pytest.mark.integration
HERE = Path(__file__).parent

EXPECTED = {
    "parse": [1, 2.5, -3, "four", 5.5, 6, 7.5, 8],
    "parse_overflow": "OverflowError",
    "build": [1, 2.5, "three", -4, 5.25, -6, "seven", 8.125, 9, 10.5, 11.75, None],
    "format": ["ValueError", "-1 -2 three 4 -5 6"],
    "snprintf": "1 2.500 -3 four 5.25 6    7 8.5",
    "scanf": [3, 7, 2.5, -3.25],
    "calls": "(['a', 'b-c'], ['a', 'b', 'c'], (1.5-2.5j), ['a', '-', 'b', '-', 'c'], "
    "('a-b-c', '-', 'a-b-c', '-', 'a-b-c', '-', 'a-b-c', '-', 'a-b-c', '-'))",
    "errno": [35, 34, 1, "File name too long"],
    "raise": ["BlockingIOError", "11", "Resource temporarily unavailable"],
    "files": [5, 0o640, 1, True],
    "memory": 42,
    "members": [None, None, 2**63 - 1, 77, 2**64 - 1, ["OverflowError", "Python int too large to convert to C long"]],
    "buffer": [-1, -2, 3, 4],
    "wide": [[97, 0x1F600, 122], "a\N{GRINNING FACE}z"],
    "thread_local": [41, 41, 42],
    "constructor": 42,
    "capsule": 3721.0,
    "datetime": "2026-11-29 01:02:03.000004",
    "threads": [164, 28, 1],
    "recursive": [0, 0],
    "semaphore": [1, 0],
    "jump": [3, 2, 2.5],
    "dlsym": [6.0, 1, 0],
    "collected": 2,
}
# On x86-64, macOS passes variadic arguments as other ones, so that this fault isn't one.
NO_FAULT = {"parse_overflow"}
SAME_ON_X86_64 = {"build"}


@pytest.fixture(scope="module", params=macos_modules.CPUS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of the right and the wrong functions, and the CPU."""
    cpu = request.param
    python = sites.find_python("macos", cpu)
    folder, site = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("site")
    module = macos_modules.compile_module("macos_abi.c", cpu, folder)
    made = macos_modules.install_module(module, "abi", python, site)
    assert made.unresolved == ()
    shutil.copy(HERE / "abi_probe.py", site)
    ended = sites.run(python, site, (HERE / "macos_abi_probe.py").read_text(encoding="utf-8"))
    assert ended.returncode == 0, ended.stderr
    return {**json.loads(ended.stdout), "cpu": cpu}


@slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_module_of_macos_gets_what_it_would_there(name: str, results: dict[str, Any]) -> None:
    assert results["right"][name] == EXPECTED[name]


@slow
@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - NO_FAULT))
def test_a_seeded_fault_shows(name: str, results: dict[str, Any]) -> None:
    if results["cpu"] == "x86_64" and name in SAME_ON_X86_64:
        pytest.skip("not a fault there")
    assert results["wrong"][name] != EXPECTED[name]


@slow
def test_ctype_has_the_tables_of_ascii(results: dict[str, Any]) -> None:
    def classify(c: str) -> str:
        tests = (str.isdigit, "d"), (str.isupper, "u"), (str.islower, "l"), (str.isspace, "s"), (str.isprintable, "p")
        return next((kind for test, kind in tests if test(c) and c not in "\x1c\x1d\x1e\x1f"), "-")

    # On Apple, Python.h makes tolower(c) of bytes towlower(btowc(c)): a byte above 127 alone is no character of UTF-8.
    assert results["right"]["ctype"] == ["".join(classify(chr(code)) for code in range(128)), ord("Q"), -1]


# -- Apple's own headers say what macos_abi.h says

LISTS = re.findall(r"#define (APPLE_\w+)\(X\)", (shims.SOURCES / "macos_abi.h").read_text(encoding="utf-8"))
HEADERS = """
#include <complex.h>
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <pthread/pthread_impl.h>
#include <runetype.h>
#include <signal.h>
#include <sys/filio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <xlocale.h>
#include "macos_abi.h"
#define SAME(name, number, ...) _Static_assert((unsigned)(name) == (unsigned)(number), #name);
#define LAYOUT(ours, theirs, field, other) _Static_assert(offsetof(ours, field) == offsetof(theirs, other), #field);
#define SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #ours);
"""
STAT = "st_dev st_mode st_nlink st_ino st_uid st_gid st_rdev st_atimespec st_mtimespec st_ctimespec st_birthtimespec"
STATVFS = "f_bsize f_frsize f_blocks f_bfree f_bavail f_files f_ffree f_favail f_fsid f_flag f_namemax"
LCONV = "int_frac_digits n_sep_by_space n_sign_posn int_p_cs_precedes int_n_cs_precedes int_p_sep_by_space"
RUNES = "types:__runetype lower:__maplower upper:__mapupper more_types:__runetype_ext invalid_rune:__invalid_rune"
OPAQUE = "signature:__sig state:__opaque"
LAYOUTS = {
    "AppleStat": ("struct stat", STAT + " st_size st_blocks st_blksize st_flags st_gen"),
    "AppleDirent": ("struct dirent", "d_ino d_seekoff d_reclen d_namlen d_type d_name"),
    "AppleFlock": ("struct flock", "l_start l_len l_pid l_type l_whence"),
    "AppleStatvfs": ("struct statvfs", STATVFS),
    "AppleLconv": ("struct lconv", LCONV + " int_n_sep_by_space int_p_sign_posn int_n_sign_posn"),
    "AppleRuneLocale": ("_RuneLocale", RUNES + " variable:__variable classes:__charclasses"),
    "AppleMutex": ("pthread_mutex_t", OPAQUE),
    "AppleCondition": ("pthread_cond_t", OPAQUE),
    "AppleRwlock": ("pthread_rwlock_t", OPAQUE),
    "AppleOnce": ("pthread_once_t", OPAQUE),
    "AppleAttribute": ("pthread_mutexattr_t", OPAQUE),
    "AppleThreadAttribute": ("pthread_attr_t", OPAQUE),
}


def list_layout_checks() -> list[str]:
    found = []
    for ours, (theirs, fields) in LAYOUTS.items():
        found.append(f"SIZE({ours}, {theirs})")
        for field in fields.split():
            mine, _, other = field.partition(":")
            found.append(f"LAYOUT({ours}, {theirs}, {mine}, {other or mine})")
    return found


def compile_checks(text: str, cpu: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "checks.c"
    source.write_text(text, encoding="utf-8")
    words = ["-target", f"{cpu}-macos.11.0", "-c", f"-I{shims.SOURCES}", str(source)]
    words += ["-o", str(folder / "checks.o")]
    return subprocess.run([find_zig(), "cc", *words], capture_output=True, text=True, check=False)


@slow
@pytest.mark.parametrize("cpu", macos_modules.CPUS)
def test_numbers_and_layouts_are_those_of_apples_headers(cpu: str, tmp_path: Path) -> None:
    checks = HEADERS + "".join(f"{name}(SAME)\n" for name in LISTS) + "\n".join(list_layout_checks()) + "\n"
    done = compile_checks(checks, cpu, tmp_path)
    assert done.returncode == 0, done.stderr
    wrong = compile_checks(checks + "SAME(EAGAIN, 11)\nSIZE(AppleFlock, struct stat)\n", cpu, tmp_path)
    assert wrong.returncode != 0
    assert "EAGAIN" in wrong.stderr
    assert "AppleFlock" in wrong.stderr


# -- the list of functions that are the same


def test_no_function_is_both_in_the_shim_and_the_list() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in shims.list_sources("macos"))
    exported = set(re.findall(r"^(?:EXPORT|EXPORT_WITH_INODE64|VARIADIC)\((\w+)", text, re.MULTILINE))
    assert {"pthread_mutex_lock", "open", "snprintf"} <= exported
    listed = (shims.SOURCES / "same_in_glibc_macos.txt").read_text(encoding="utf-8").partition("[x86_64]")[0]
    names = {word for line in listed.splitlines() if not line.startswith("#") for word in line.split()}
    assert names & exported == set()


@pytest.mark.parametrize("cpu", macos_modules.CPUS)
def test_only_x86_64_calls_variadic_functions_of_glibc(cpu: str) -> None:
    assert ("snprintf" in read_same_names("macos", cpu)) == (cpu == "x86_64")
