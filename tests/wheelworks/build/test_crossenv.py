"""Test a target's sysconfig, and the quoting of command lines."""

from __future__ import annotations

import importlib.machinery
import sysconfig
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setuptools._distutils.util import split_quoted
from wheelworks.build import crossenv
from wheelworks.core import targets

from tests.fixtures.settings import HOSTS

WORDS = {"CC": ["py thon", "cc.py"], "CXX": ["python", "cxx.py"], "AR": ["zig", "ar"], "RANLIB": ["zig", "ranlib"]}
TOOLS = {name: crossenv.quote_words(words) for name, words in WORDS.items()}
EVERY = targets.load_targets()


@pytest.mark.parametrize(
    ("target", "soabi"),
    [
        ("win32", "cp311-win32"),
        ("manylinux_2_17_i686", "cpython-311-i386-linux-gnu"),
        ("manylinux_2_17_armv7l", "cpython-311-arm-linux-gnueabihf"),
        ("musllinux_1_2_armv7l", "cpython-311-arm-linux-musleabihf"),
        ("manylinux_2_19_ppc64le", "cpython-311-powerpc64le-linux-gnu"),
        ("win_arm64", "cp311-win_arm64"),
        ("macosx_11_0_arm64", "cpython-311-darwin"),
        ("manylinux_2_17_aarch64", "cpython-311-aarch64-linux-gnu"),
        ("musllinux_1_2_aarch64", "cpython-311-aarch64-linux-musl"),
        ("manylinux_2_17_x86_64", "cpython-311-x86_64-linux-gnu"),
    ],
)
def test_the_soabi_is_cpythons(target: str, soabi: str) -> None:
    assert crossenv.format_soabi(targets.find_target(target), targets.get_build_abi()) == soabi
    without_gil = crossenv.format_soabi(targets.find_target(target), targets.find_abi("cp314t"))
    assert without_gil == soabi.replace("311", "314t", 1)


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="compares to CPython on Linux x86-64")
def test_suffixes_are_those_of_cpython_itself() -> None:
    if sysconfig.get_config_var("py_version_nodot") != "311":
        pytest.skip("compares to CPython 3.11")
    target = targets.find_target("manylinux_2_17_x86_64")
    if sysconfig.get_config_var("SOABI").endswith("musl"):
        target = targets.find_target("musllinux_1_2_x86_64")
    assert crossenv.list_suffixes(target, targets.get_build_abi()) == importlib.machinery.EXTENSION_SUFFIXES


@pytest.mark.parametrize(
    ("abi", "target", "endings"),
    [
        ("cp314t", "manylinux_2_17_x86_64", [".cpython-314t-x86_64-linux-gnu.so", ".so"]),
        ("abi3t", "manylinux_2_17_x86_64", [".cpython-315t-x86_64-linux-gnu.so", ".abi3t.so", ".so"]),
        ("abi3t", "win_arm64", [".cp315t-win_arm64.pyd", ".pyd"]),
    ],
)
def test_suffixes_without_the_gil(abi: str, target: str, endings: list[str]) -> None:
    assert crossenv.list_suffixes(targets.find_target(target), targets.find_abi(abi)) == endings


@pytest.mark.parametrize("abi", targets.load_abis(), ids=lambda abi: abi.id)
@pytest.mark.parametrize("target", EVERY, ids=lambda target: target.id)
def test_variables_agree_with_each_other(target: targets.Target, abi: targets.Abi) -> None:
    values = crossenv.make_build_time_vars(target, abi, "/headers", TOOLS)
    assert values["EXT_SUFFIX"] == values["SO"] == f".{values['SOABI']}{values['SHLIB_SUFFIX']}"
    assert str(values["LDSHARED"]).startswith(str(values["CC"])) and values["CFLAGS"] == ""
    assert values["SIZEOF_VOID_P"] == (4 if target.cpu in ("x86", "arm") else 8)
    assert values["VERSION"] == (abi.python.replace(".", "") if target.os == "windows" else abi.python)
    assert values["Py_GIL_DISABLED"] == int(abi.free_threaded)
    assert ("MACOSX_DEPLOYMENT_TARGET" in values) is (target.os == "macos")


@pytest.mark.parametrize("target", EVERY, ids=lambda target: target.id)
def test_the_view_is_what_the_target_says_of_itself(target: targets.Target) -> None:
    view = crossenv.describe_platform(target, targets.get_build_abi())
    assert (view["machine"], view["python"]) == (target.machine, "3.11.0")
    assert target.platform.startswith({"win32": "win", "darwin": "macosx", "linux": "linux"}[view["platform"]])
    assert view["name"] == ("nt" if target.os == "windows" else "posix")


def unpadded(word: str) -> bool:
    """Return whether a word has no blank at its ends. Distutils strips those of a line, even if escaped."""
    return word == word.strip()


@pytest.mark.parametrize("host", HOSTS.values())
def test_paths_with_blanks_survive_the_round_trip(host: str) -> None:
    words = [f"{host}/python", "-I", rf"{host}\cc.py"]
    taken = split_quoted(crossenv.quote_words(words))
    assert [PureWindowsPath(word) for word in taken] == [PureWindowsPath(word) for word in words]


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs", "Cc"]), min_size=1).filter(unpadded)
    )
)
def test_quoting_is_what_distutils_undoes(words: list[str]) -> None:
    assert split_quoted(crossenv.quote_words(words)) == words


@given(st.lists(st.text("ab \\:'\"", min_size=1).filter(unpadded), min_size=1))
def test_backslashes_come_back_as_slashes(words: list[str]) -> None:
    assert split_quoted(crossenv.quote_words(words)) == [word.replace("\\", "/") for word in words]
