"""Test libraries that the user brings for a target: what is refused, what a build sees, and what a wheel holds."""

from __future__ import annotations

import os
import shlex
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from wheelworks.build import command_lines, context, crossenv, driver, plan, prefixes
from wheelworks.build.arguments import Invocation, parse_arguments
from wheelworks.build.builder import compute_fingerprint
from wheelworks.build.plan import Wish
from wheelworks.build.prefixes import Prefix, parse_prefixes
from wheelworks.build.shim import prefixes as shim_prefixes
from wheelworks.cli import _building, cross_arm64, reproduce
from wheelworks.core import targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.reproduce.rebuild import filter_prefixes

from tests.fixtures.settings import settings

ELF_X86_64 = b"\x7fELF\2\1" + bytes(10) + struct.pack("<HH", 1, 62)
ELF_ARM64 = b"\x7fELF\2\1" + bytes(10) + struct.pack("<HH", 1, 183)
ELF_S390X = b"\x7fELF\2\2" + bytes(10) + struct.pack(">HH", 1, 22)
COFF_ARM64 = b"\x64\xaa" + bytes(18)
COFF_X86_64 = b"\x64\x86" + bytes(18)
MACHO_ARM64 = b"\xcf\xfa\xed\xfe" + struct.pack("<I", 0x0100000C)
OF_TARGET = {"win_arm64": COFF_ARM64, "macosx_11_0_arm64": MACHO_ARM64, "manylinux_2_17_s390x": ELF_S390X}
MANYLINUX, MUSLLINUX = (targets.find_target(f"{name}_aarch64") for name in ("manylinux_2_17", "musllinux_1_2"))


def archive(*members: bytes) -> bytes:
    """Return a static library (ar(5)) of object files."""
    head = "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n"
    made = b"!<arch>\n"
    for data in members:
        made += head.format("a.o/", 0, 0, 0, 644, len(data)).encode() + data + b"\n" * (len(data) % 2)
    return made


def make_prefix(folder: Path, library: bytes | None = None) -> Path:
    for name in ("include", "lib/pkgconfig"):
        (folder / name).mkdir(parents=True)
    (folder / "include/third.h").write_text("int third(void);\n")
    (folder / "lib/libthird.a").write_bytes(archive(COFF_ARM64) if library is None else library)
    text = f"prefix={folder}\nName: third\nDescription: x\nVersion: 1\nLibs: -L${{prefix}}/lib -lthird\n"
    (folder / "lib/pkgconfig/third.pc").write_text(text + "Cflags: -I${prefix}/include\n")
    return folder


@pytest.mark.parametrize("target", OF_TARGET)
def test_a_prefix_of_the_target_is_accepted(target: str, tmp_path: Path) -> None:
    folder = make_prefix(tmp_path / "p", archive(OF_TARGET[target], OF_TARGET[target] + b"\0"))
    [(name, [found])] = parse_prefixes([f"{target}={folder}"]).items()
    assert (name, found.folder) == (target, folder)
    assert [found.include, found.libraries] == [[str(folder / "include")], [str(folder / "lib")]]


def test_a_target_is_named_by_any_of_its_tags_and_may_have_several(tmp_path: Path) -> None:
    first, second = (make_prefix(tmp_path / name, archive()) for name in "ab")
    found = parse_prefixes([f"manylinux2014_aarch64={first}", f"manylinux_2_17_aarch64={second}"])
    assert [one.folder for one in found["manylinux_2_17_aarch64"]] == [first, second]


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("DIR", "not of the form TARGET=DIR", "win_arm64=DIR"),
        ("=DIR", "not of the form TARGET=DIR", "win_arm64=DIR"),
        ("win_arm64=", "not of the form TARGET=DIR", "win_arm64=DIR"),
        ("win_arm=DIR", "unknown target 'win_arm': did you mean win_arm64?", "the targets are"),
        ("win_arm64=/nowhere/at/all", "there is no such folder", "make install"),
        ("win_arm64={empty}", "the folder has neither include/ nor lib/", "make install"),
    ],
)
def test_a_wrong_word_is_explained(word: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        parse_prefixes([word.format(empty=tmp_path)])
    assert message in caught.value.message and caught.value.message.startswith(f"--prefix {word[:8]}")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("target", "library", "message"),
    [
        ("win_arm64", archive(ELF_X86_64), "has code for Linux on x86_64 (ELF), not for Windows on aarch64 (COFF)"),
        (
            "win_arm64",
            archive(COFF_ARM64, COFF_X86_64),
            "has code for Windows on x86_64 (COFF), not for Windows on aarch64 (COFF)",
        ),
        (
            "macosx_10_9_x86_64",
            archive(MACHO_ARM64),
            "has code for macOS on aarch64 (Mach-O), not for macOS on x86_64 (Mach-O)",
        ),
        (
            "manylinux_2_17_x86_64",
            archive(ELF_S390X),
            "has code for Linux on s390x (ELF), not for Linux on x86_64 (ELF)",
        ),
        ("win_arm64", archive(b"BC\xc0\xde"), "LLVM's intermediate code"),
        ("win_arm64", archive(b"\0\0\xff\xff\0\0\x64\xaa"), "import library of a DLL"),
        ("win_arm64", b"!<thin>\n", "a thin library"),
        ("macosx_11_0_arm64", b"\xca\xfe\xba\xbe\0\0\0\2", "a universal file"),
        ("win_arm64", b"text", "not an object file of ELF, COFF or Mach-O"),
        ("win_arm64", archive(COFF_ARM64)[:-2], "the library is damaged"),
    ],
)
def test_a_library_of_another_cpu_or_format_is_refused(
    target: str, library: bytes, message: str, tmp_path: Path
) -> None:
    folder = make_prefix(tmp_path / "p", library)
    with pytest.raises(UsageError) as caught:
        parse_prefixes([f"{target}={folder}"])
    assert f"--prefix {target}={folder}: lib/libthird.a" in caught.value.message and message in caught.value.message
    assert caught.value.hint


def test_a_prefix_for_a_target_that_isnt_built_is_refused(tmp_path: Path) -> None:
    words = ["--prefix", f"win_arm64={make_prefix(tmp_path / 'p')}"]
    for more, refused in (([], False), (["--target", "win_arm64"], False), (["--target", "win_amd64"], True)):
        options = cross_arm64.parser().parse_args([*words, *more])
        if refused:
            with pytest.raises(UsageError, match="nothing is built for win_arm64 by this command"):
                _building.make_wish(options, targets.load_targets(), one_abi=True)
        else:
            wish = _building.make_wish(options, targets.load_targets(), one_abi=True)
            assert [one.folder for one in wish.prefixes["win_arm64"]] == [tmp_path / "p"]


def test_targets_with_other_prefixes_share_no_binary(tmp_path: Path) -> None:
    brought = (Prefix(tmp_path, "1"),)
    wish = Wish([MANYLINUX, MUSLLINUX], [targets.find_abi("cp312")], prefixes={MUSLLINUX.id: brought})
    first, second = plan.plan_tasks(tmp_path, wish)
    assert (first.family, first.prefixes, second.family, second.prefixes) == ((MANYLINUX,), (), (MUSLLINUX,), brought)
    both = replace(wish, prefixes={MANYLINUX.id: brought, MUSLLINUX.id: brought})
    assert [task.family for task in plan.plan_tasks(tmp_path, both)] == [(MANYLINUX, MUSLLINUX)]


def test_the_files_of_a_prefix_are_inputs_and_its_place_is_not(tmp_path: Path) -> None:
    source = SimpleNamespace(tree_sha256="t", name="n", epoch=1)
    toolchain = SimpleNamespace(versions=dict)
    headers = {targets.find_abi("cp312").id: SimpleNamespace(release="3.12.0", sha256="h")}
    made = SimpleNamespace(
        source=source, variables={}, allowed_missing=(), toolchain=lambda: toolchain, headers=headers
    )

    def compute(*words: str) -> str:
        wish = Wish([MANYLINUX], [targets.find_abi("cp312")], prefixes=parse_prefixes(words))
        (task,) = plan.plan_tasks(tmp_path, wish)
        return compute_fingerprint(made, task).recipe_sha256  # type: ignore[arg-type]

    folder = make_prefix(tmp_path / "p", archive())
    word = f"{MANYLINUX.id}={folder}"
    without, before = compute(), compute(word)
    assert compute(f"{MANYLINUX.id}={shutil.copytree(folder, tmp_path / 'copy')}") == before != without
    (folder / "lib/python.txt").write_text("not used")
    assert compute(word) == before
    other = {"lib/libthird.a": archive(ELF_ARM64)}
    for name in ("include/third.h", "lib/libthird.a", "lib/pkgconfig/third.pc"):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(other.get(name, b"other"))
        assert compute(word) != before, name
        (folder / name).write_bytes(text)
    assert compute(word) == before


def test_the_compiler_looks_into_a_prefix_after_the_projects_own(tmp_path: Path) -> None:
    made = replace(
        settings(), prefixes=["/pre"], prefix_include=["/pre/include"], allowed=[*settings().allowed, "/pre"]
    )
    parsed = parse_arguments(["-c", "-Iown", "-I/pre/include", "-I/usr/include", "a.c"], made)
    assert parsed.dropped == ["-I/usr/include"]
    command = command_lines.compile_command(parsed, made)
    assert command.index("-Iown") < len(command) - 1 - command[::-1].index("-I/pre/include") < command.index("a.c")
    assert "-ffile-prefix-map=/pre=prefix" in command


def test_a_static_library_of_a_prefix_is_linked_by_its_file(tmp_path: Path) -> None:
    folder = make_prefix(tmp_path / "p")
    made = replace(settings("win_arm64"), prefix_libraries=[str(folder / "lib")])
    own = tmp_path / "own"
    own.mkdir()
    parsed = Invocation(libraries=["-lthird", "-lother", "-lWs2_32"], flags=[f"-L{own}"], for_windows=True)
    (own / "libother.a").touch()
    (folder / "lib/libother.a").touch()
    driver._use_static_libraries(parsed, made)
    assert parsed.objects == [str(folder / "lib/libthird.a"), str(own / "libother.a")]
    assert parsed.libraries == ["-lws2_32"]


@pytest.mark.parametrize("file", ["libshared.so", "libshared.dylib", "libshared.dll.a"])
def test_a_shared_library_of_a_prefix_is_refused(file: str, tmp_path: Path) -> None:
    (make_prefix(tmp_path / "p") / "lib" / file).touch()
    made = replace(settings(), prefix_libraries=[str(tmp_path / "p/lib")])
    with pytest.raises(WheelworksError, match=f"{file} is a shared library") as caught:
        driver._use_static_libraries(Invocation(libraries=["-lshared"]), made)
    assert "--disable-shared" in caught.value.hint


@pytest.mark.needs("pkg-config")
@pytest.mark.usefixtures("may_spawn")
def test_pkg_config_answers_from_the_prefix_alone(tmp_path: Path) -> None:
    folder = make_prefix(tmp_path / "p")
    (found,) = parse_prefixes([f"win_arm64={folder}"])["win_arm64"]
    host = tmp_path / "host"
    host.mkdir()
    (host / "hosts.pc").write_text("Name: hosts\nDescription: x\nVersion: 1\nLibs: -lhosts\n")
    outer = {"PATH": os.environ["PATH"], "PKG_CONFIG_PATH": str(host)}

    def ask(brought: list[Prefix], name: str) -> str:
        env = context.make_environment(outer, tmp_path / "work", 0, prefixes.make_variables(brought))
        ended = subprocess.run(
            ["pkg-config", "--cflags", "--libs", name], env=env, capture_output=True, text=True, check=False
        )
        return ended.stdout.strip() if ended.returncode == 0 else "not found"

    assert ask([found], "third") == f"-I{folder}/include -L{folder}/lib -lthird"
    assert [ask([found], "hosts"), ask([], "hosts"), ask([], "third"), ask([], "zlib")] == ["not found"] * 4


def test_what_setup_scripts_search_names_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_prefix(tmp_path / "p")
    (found,) = parse_prefixes([f"win_arm64={folder}"])["win_arm64"]
    variables = prefixes.make_variables([found])
    assert (variables["CPATH"], variables["LIBRARY_PATH"]) == (f"{folder}/include", f"{folder}/lib")
    tools = {name: name for name in ("CC", "CXX", "AR", "RANLIB")}
    target, abi = targets.find_target("win_arm64"), targets.get_build_abi()
    values = crossenv.make_build_time_vars(target, abi, "/headers", tools, [found])
    assert (values["INCLUDEDIR"], values["LIBDIR"]) == (f"{folder}/include", f"{folder}/lib")

    class BuildExt:
        def finalize_options(self) -> None:
            self.include_dirs, self.library_dirs = ["own"], list[str]()

    monkeypatch.setitem(sys.modules, "setuptools.command.build_ext", SimpleNamespace(build_ext=BuildExt))
    for _ in range(2):
        shim_prefixes.show_to_setuptools(found.include, found.libraries)
    command = BuildExt()
    command.finalize_options()
    assert (command.include_dirs, command.library_dirs) == (["own", *found.include], found.libraries)


def test_a_rebuild_gets_the_prefixes_of_its_targets() -> None:
    words = ["win_arm64=/a", "manylinux2014_aarch64=/b"]
    assert filter_prefixes(words, []) == words
    assert filter_prefixes(words, ["manylinux_2_17_aarch64", "musllinux_1_2_aarch64"]) == words[1:]


def test_reproduce_passes_prefixes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_prefix(tmp_path / "p").parent)
    commands: list[list[str]] = []

    def run(now: object, command: list[str]) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(status=1, output="error: enough")

    monkeypatch.setattr("wheelworks.reproduce.environment.run_command", run)
    (tmp_path / "sample-1.0.tar.gz").write_bytes(b"an sdist")
    with pytest.raises(WheelworksError, match="enough"):
        reproduce.main(["sample-1.0.tar.gz", "--target", "win_arm64", "--prefix", "win_arm64=p", "--vary", "umask"])
    words = commands[0]
    assert words[words.index("--prefix") + 1] == f"win_arm64={tmp_path / 'p'}"


@pytest.mark.parametrize("target", targets.load_targets(), ids=lambda target: target.id)
def test_the_compiler_is_shown_for_a_shell(target: targets.Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert cross_arm64.main(["--show-compiler", target.id]) == 0
    words = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    shown = dict(word.split("=", 1) for _, word in words)
    assert [first for first, _ in words] == ["export"] * len(words)
    command = command_lines.compile_command(Invocation(), settings(target.id))
    assert shlex.split(shown["CC"])[1:] == command[1:5] and shlex.split(shown["CXX"])[1] == "c++"
    assert set(shown["CFLAGS"].split()) <= set(command)
