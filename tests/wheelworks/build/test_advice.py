"""Test what an error advises when a header, a symbol or a definition of the platform is the cause."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.build import advice
from wheelworks.core.targets import find_target

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

# What clang and lld wrote about psutil, setproctitle and backports.zstd.
REDEFINED = """\
psutil/arch/all/../../arch/windows/ntextapi.h:60:14: error: redefinition of '_KWAIT_REASON'
   60 | typedef enum _KWAIT_REASON {
      |              ^
/opt/ziglang/lib/libc/include/any-windows-any/winternl.h:693:16: note: previous definition is here
"""
OWN = REDEFINED.replace("/opt/ziglang/lib/libc/include/any-windows-any/winternl.h", "psutil/arch/windows/own.h")
UNDEFINED = "lld-link: error: undefined symbol: fast_loop\n>>> referenced by build/temp/huf.o\n"
NO_LIBRARY = 'error: unable to find dynamic system library "z" using strategy paths_first. searched paths: none\n'
# Of cffi's own libffi.
OF_MSVC = (
    "lld-link: error: undefined symbol: __security_pop_cookie\n>>> referenced by ffi.lib(ffi.obj):($LN43)\n"
    ">>> referenced by ffi.lib(ffi.obj):($LN3)\n"
)
NO_FRAMEWORK = 'error: unable to find system framework "CoreServices". searched paths: none\n'
ASSEMBLER = ".globl fast_loop\nfast_loop:\n    ret\n"


def missing(name: str) -> str:
    return f"src/a.c:12:10: fatal error: '{name}' file not found\n   12 | #include <{name}>\n"


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        ("macosx_11_0_arm64", missing("CoreFoundation/CoreFoundation.h"), "CoreFoundation.h belongs to the macOS SDK"),
        ("macosx_11_0_arm64", missing("netinet/tcp_fsm.h"), "netinet/tcp_fsm.h belongs to the macOS SDK"),
        ("macosx_11_0_arm64", missing("sys/xattr.h"), "sys/xattr.h belongs to the macOS SDK"),
        ("macosx_11_0_arm64", missing("sys/epoll.h"), ""),
        ("manylinux_2_17_aarch64", missing("CoreFoundation/CoreFoundation.h"), ""),
        ("win_arm64", REDEFINED, "don't define _KWAIT_REASON, but zig's are MinGW's, and their winternl.h does"),
        ("win_arm64", OWN, ""),
        ("win_amd64", UNDEFINED, "fast_loop is in src/huf_amd64.S, which the project doesn't compile"),
        ("win_amd64", UNDEFINED.replace("fast_loop", "fast"), ""),
        ("musllinux_1_2_aarch64", NO_LIBRARY, "libz is neither the system's nor the project's: bring it as a static"),
        ("macosx_11_0_arm64", NO_FRAMEWORK, "CoreServices is a framework of the macOS SDK"),
        ("win_arm64", OF_MSVC, "ffi.lib was compiled by Microsoft's compiler, whose runtime has __security_pop_cookie"),
        ("win_amd64", "src/a.c:1:1: error: expected expression\n", ""),
    ],
)
def test_the_cause_outside_the_project_is_named(target: str, text: str, expected: str, tmp_path: Path) -> None:
    projects.write(tmp_path, {"src/huf_amd64.S": ASSEMBLER, "src/fast.c": "int fast;"})
    found = advice.explain_cause(text, find_target(target), tmp_path)
    assert expected in found and bool(found) is bool(expected)


@pytest.mark.parametrize(
    ("name", "own"), [("tree_sitter_python_scanner_scan", True), ("tree_sitter_pythonic", False), ("yaml_parse", False)]
)
def test_a_symbol_named_after_the_project_is_of_no_library(name: str, own: bool, tmp_path: Path) -> None:
    tree = tmp_path / "tree_sitter-python-0.25.0"
    tree.mkdir()
    hint = advice.advise({"error": f"undefined symbol: {name}\n"}, find_target("manylinux_2_17_aarch64"), tree)
    assert (
        hint == f"{name} is the project's by its name: the source with it isn't in the sdist, or not in the extension's"
    ) is own
    assert ("--prefix" in hint) is not own


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (missing("yaml.h"), "yaml.h"),
        (missing("openssl/ssl.h"), "openssl/ssl.h"),
        (missing("zlib.h"), "zlib.h"),
        (
            "error: lld-link: undefined symbol: PyNo\nerror: lld-link: undefined symbol: yaml_parser_parse",
            "yaml_parser_parse",
        ),
        ("error: undefined symbol: _Z3foov\n", ""),
        ("error: undefined symbol: PyNowhere\n", ""),
        ("error: undefined symbol: foo::bar()\n", ""),
        (missing("deep/own.h"), ""),
        (missing("windows.h"), ""),
        (missing("sys/epoll.h"), ""),
        ("a.c:1:1: error: expected expression", ""),
    ],
)
def test_what_belongs_to_a_library_is_suggested_as_a_prefix(error: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/deep/own.h").touch()
    hint = advice.suggest_prefix(error, find_target("win_arm64"), tmp_path)
    assert bool(hint) is bool(what)
    if what:
        assert f"if {what} belongs to a third-party C library" in hint and "--prefix win_arm64=DIR" in hint


@pytest.mark.parametrize(
    ("target", "header", "expected"),
    [
        ("win_arm64", "sys/xattr.h", "sys/xattr.h is a header of glibc and musl, which Windows doesn't have"),
        ("macosx_11_0_arm64", "sys/epoll.h", "sys/epoll.h is a header of glibc and musl, which macOS doesn't have"),
        ("musllinux_1_2_aarch64", "fts.h", "fts.h is a header of glibc and macOS, which musl doesn't have"),
        ("manylinux_2_17_aarch64", "winsock2.h", "winsock2.h is a header of Windows, which glibc doesn't have"),
        ("win_arm64", "own.h", ""),
        ("win_arm64", "yaml.h", ""),
        ("win_arm64", "zlib.h", ""),
    ],
)
def test_a_header_of_other_systems_is_named(target: str, header: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "own.h").touch()
    found = advice.name_system(missing(header), find_target(target), tmp_path)
    assert expected in found and bool(found) is bool(expected)
    if found:
        whole = advice.advise({"error": missing(header)}, find_target(target), tmp_path)
        assert whole == found and f"without {target}" in whole


def test_a_header_that_the_project_has_elsewhere_is_located(tmp_path: Path) -> None:
    """As cffi's, which uses its own libffi with Microsoft's compiler only."""
    projects.write(tmp_path, {"src/libffi/include/ffi.h": "", "src/a.c": ""})
    found = advice.advise({"error": missing("ffi.h")}, find_target("win_arm64"), tmp_path)
    assert "ffi.h is in the project's folder src/libffi/include, which its build doesn't search" in found
    assert "--env CFLAGS=-Isrc/libffi/include" in found and "--prefix win_arm64=DIR" in found
    assert advice.suggest_own_folder(missing("other.h"), find_target("win_arm64"), tmp_path) == ""


def test_a_configure_that_expects_this_machine_is_explained() -> None:
    ended = "subprocess.CalledProcessError: Command '['/p/src/libsodium/configure', '--with-pic']' returned non-zero "
    hint = advice.advise_on_backend(f"{ended}exit status 77.", find_target("win_arm64"))
    assert "can't run programs of win_arm64" in hint and "--prefix win_arm64=DIR" in hint
    assert advice.advise_on_backend(f"{ended}exit status 1.", find_target("win_arm64")) == ""


def test_a_symbol_of_macos_is_named_as_in_c(tmp_path: Path) -> None:
    hint = advice.suggest_prefix("error: undefined symbol: _nowhere\n", find_target("macosx_11_0_arm64"), tmp_path)
    assert "if nowhere belongs" in hint


ZSTD = """\
#if defined(__GNUC__) && !defined(ZSTD_DISABLE_ASM)
long fast_loop(void);
#else
static long fast_loop(void) { return 1; }
#endif
"""


@pytest.mark.integration
def test_zstds_assembler_is_off_where_it_is_left_out(tmp_path: Path, wheelworks_cache: Path) -> None:
    """Setup scripts leave .S out for Windows, because they expect MSVC there."""
    source = projects.module("return PyLong_FromLong(fast_loop());", ZSTD)
    more = {"huf.S": ASSEMBLER, "MANIFEST.in": "include *.py *.h *.S\n"}
    project = projects.sample(tmp_path / "p", source, **more)
    words = ("cross-arm64", "--no-run", "--target", "win_arm64", "--out", tmp_path / "out")
    ended = wheelworks(*words, project, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
