"""Test which CPythons are chosen for a wheel: by its tags, by version, and from a user's roots."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.foreign import pythons
from wheelworks.foreign.cpus import elf_header, find_cpu
from wheelworks.foreign.pythons import (
    Runtime,
    check_versions,
    explain_lack,
    explain_mismatch,
    find_runtimes,
    list_runtimes,
    read_root,
)

ARM = find_cpu("aarch64")


def versions(tags: str, *roots: Path, pythons: tuple[str, ...] = ()) -> list[str]:
    return [one.python for one in find_runtimes(parse_wheel_name(f"demo-1.0-{tags}.whl"), pythons, roots)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system of ARM64 with CPython 3.12, and 3.14 without the GIL behind an absolute link."""
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/opt").mkdir()
    for path in ("usr/bin/python3.12", "opt/python3.14t"):
        (tmp_path / "root" / path).write_bytes(elf_header(ARM)[0])
    (tmp_path / "root/usr/bin/python3.14t").symlink_to("/opt/python3.14t")
    (tmp_path / "root/usr/bin/python3.12-config").write_text("#!/bin/sh\n")
    return tmp_path / "root"


def test_a_root_without_the_version_is_described(root: Path) -> None:
    said = explain_lack(parse_wheel_name("demo-1.0-cp310-cp310-win_arm64.whl"), (), [root])
    assert said.startswith("Debian has no CPython 3.10 for arm64, and --root has CPython 3.")


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        ("cp311-abi3-manylinux_2_17_aarch64", ["3.11", "3.15"]),
        ("cp39-abi3-manylinux_2_17_aarch64", ["3.11", "3.15"]),
        ("cp312-abi3-manylinux_2_17_aarch64", ["3.13", "3.15"]),
        ("cp315-abi3-manylinux_2_17_aarch64", ["3.15"]),
        ("cp313-cp313-manylinux_2_17_aarch64", ["3.13"]),
        ("cp314-cp314-manylinux_2_17_aarch64", ["3.14"]),
        ("py3-none-manylinux_2_17_aarch64", ["3.11", "3.15"]),
        ("py2.py3-none-manylinux_2_17_riscv64", ["3.13", "3.15"]),
        ("cp312-cp312-manylinux_2_17_aarch64", []),
        ("cp310-cp310-manylinux_2_17_aarch64", []),
        ("cp313-cp313t-manylinux_2_17_aarch64", []),
        ("cp313-cp313-musllinux_1_2_aarch64", ["3.13"]),
        ("cp312-cp312-musllinux_1_2_aarch64", []),
        ("cp311-cp311-manylinux_2_31_riscv64", []),
    ],
)
def test_the_pythons_of_a_wheel(tags: str, chosen: list[str]) -> None:
    assert versions(tags) == chosen


def test_a_version_limits_the_choice() -> None:
    assert versions("cp311-abi3-manylinux_2_17_aarch64", pythons=("3.13", "3.14")) == ["3.13", "3.14"]
    assert versions("cp314-cp314-manylinux_2_17_aarch64", pythons=("3.13",)) == []


def test_a_root_adds_its_pythons(root: Path) -> None:
    assert versions("cp312-cp312-manylinux_2_17_aarch64", root) == ["3.12"]
    assert versions("cp314-cp314t-manylinux_2_17_aarch64", root) == ["3.14t"]
    assert versions("cp312-abi3-manylinux_2_17_aarch64", root) == ["3.12", "3.15"]
    assert versions("cp312-cp312-manylinux_2_17_s390x", root) == []
    check_versions(["3.12", "3.14t"], [root])


def test_a_root_replaces_debians(root: Path) -> None:
    (root / "usr/bin/python3.13").write_bytes(elf_header(ARM)[0])
    [own] = [one for one in list_runtimes("linux", ARM, [root]) if one.python == "3.13"]
    assert own == Runtime("linux", ARM, "3.13", root, "/usr/bin/python3.13")
    assert [one.python for one in list_runtimes("linux", ARM, [root])] == [
        "3.11",
        "3.12",
        "3.13",
        "3.14",
        "3.14t",
        "3.15",
    ]


def test_a_root_shows_its_cpu(root: Path) -> None:
    assert read_root(root) == [
        (ARM, "3.12", "/usr/bin/python3.12"),
        (ARM, "3.14t", "/usr/bin/python3.14t"),
    ]


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", bytes(64)])
def test_a_root_without_a_python_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3.12").write_bytes(content)
    (tmp_path / "usr/bin/python3.13").symlink_to("python3.13")
    with pytest.raises(UsageError, match="has no CPython for a known CPU"):
        read_root(tmp_path)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3.12", "Debian has no CPython 3.12"),
        ("3.14t", "Debian has no CPython without the GIL"),
        ("3", "no version of CPython"),
        ("4.1", "no version of CPython"),
        ("3.13.1", "no version of CPython"),
    ],
)
def test_unknown_versions_are_refused(version: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "list_installed_pythons", dict)
    with pytest.raises(UsageError, match=says):
        check_versions([version])


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("cp312-cp312-manylinux_2_17_aarch64", "Debian has no CPython 3.12 for arm64; --root DIR names a folder that"),
        ("cp310-cp310-linux_s390x", "Debian has no CPython 3.10 for s390x"),
        ("cp311-cp311-manylinux_2_31_riscv64", "Debian has no CPython 3.11 for riscv64"),
        ("cp314-cp314t-manylinux_2_17_aarch64", "Debian has no CPython without the GIL for arm64"),
    ],
)
def test_what_is_lacking_is_named(tags: str, why: str) -> None:
    said = explain_lack(parse_wheel_name(f"demo-1.0-{tags}.whl"))
    assert said.startswith(why) and "--root" in said


@pytest.mark.parametrize(
    ("tag", "python", "why"),
    [
        ("cp311-abi3-manylinux_2_17_aarch64", "3.11", ""),
        ("cp311-abi3-manylinux_2_17_aarch64", "3.15", ""),
        ("cp311-abi3-manylinux_2_17_aarch64.musllinux_1_2_aarch64", "3.11", ""),
        ("cp311-cp311-linux_aarch64", "3.11", ""),
        ("py3-none-manylinux2014_aarch64", "3.11", ""),
        ("cp313-abi3-manylinux_2_17_aarch64", "3.11", "it is for cp313-abi3, not for CPython 3.11"),
        ("cp311-cp311-linux_aarch64", "3.12", "it is for cp311-cp311"),
        ("cp314-cp314t-manylinux_2_17_aarch64", "3.14", "it is for cp314-cp314t, not for CPython 3.14 with the GIL"),
        ("cp311-abi3-musllinux_1_2_aarch64", "3.11", "it is for musllinux_1_2_aarch64, not for glibc Linux on aarch64"),
        ("cp311-abi3-manylinux_2_17_x86_64", "3.11", "it is for manylinux_2_17_x86_64"),
        ("cp311-abi3-win_arm64", "3.11", "it is for win_arm64"),
        ("py3-none-any", "3.11", "it is for any"),
    ],
)
def test_mismatch(tag: str, python: str, why: str) -> None:
    said = explain_mismatch(parse_wheel_name(f"demo-1.0-{tag}.whl"), Runtime("linux", ARM, python))
    assert said.startswith(why) and bool(said) == bool(why)


@pytest.mark.parametrize(
    ("tags", "asked", "why"),
    [
        ("cp313-cp313-linux_aarch64", ("3.11",), "it is for cp313-cp313, not for CPython 3.11"),
        ("cp312-cp312-linux_aarch64", ("3.12",), "Debian has no CPython 3.12 for arm64"),
        ("cp313-cp313-win_amd64", (), "Windows x86-64 and x86 have the emulated CPU alone (--how emulated)"),
        ("cp312-cp312-musllinux_1_2_aarch64", (), "Debian has no CPython 3.12 for arm64"),
        ("cp313-cp313-android_24_arm64_v8a", (), "no CPython that runs here loads wheels for android_24_arm64_v8a"),
    ],
)
def test_why_no_cpython_runs_a_wheel(tags: str, asked: tuple[str, ...], why: str) -> None:
    assert explain_lack(parse_wheel_name(f"demo-1.0-{tags}.whl"), asked).startswith(why)


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        ("cp313-cp313-win_arm64", ["CPython 3.13, aarch64 Windows"]),
        ("cp39-abi3-win_arm64", ["CPython 3.11, aarch64 Windows", "CPython 3.15, aarch64 Windows"]),
        ("cp313-cp313-macosx_11_0_arm64", ["CPython 3.13, aarch64 macOS"]),
        ("cp313-cp313-macosx_10_13_universal2", ["CPython 3.13, aarch64 macOS", "CPython 3.13, x86_64 macOS"]),
        ("cp313-cp313-win_amd64.win32", []),
        ("cp312-cp312-win_arm64", []),
    ],
)
def test_the_pythons_of_other_systems(tags: str, chosen: list[str]) -> None:
    assert [str(one) for one in find_runtimes(parse_wheel_name(f"demo-1.0-{tags}.whl"))] == chosen


def test_code_of_macos_for_this_cpu_runs_in_this_machines_cpython(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of that version here, Debian's is taken."""
    monkeypatch.setattr(pythons, "is_host", lambda cpu: cpu.name == "x86_64")
    monkeypatch.setattr(pythons, "list_installed_pythons", lambda: {"3.12": Path("/opt/python3.12")})
    name = parse_wheel_name("demo-1.0-cp312-abi3-macosx_10_13_x86_64.whl")
    first, last = find_runtimes(name)
    assert (first.python, first.root, first.program) == ("3.12", pythons.HOST_ROOT, "/opt/python3.12")
    assert (last.python, last.root) == ("3.15", None)


def test_macos_needs_more_of_the_cpu() -> None:
    [(_, cpu)] = pythons.find_platforms(parse_wheel_name("demo-1.0-cp313-cp313-macosx_11_0_arm64.whl"))
    assert cpu.model == "max,pauth=off" and cpu.name == "aarch64"
