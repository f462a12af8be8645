"""Test the environment variables of builds, and those that users pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.build import context
from wheelworks.core.errors import UsageError

NAMES = """\
CC CXX CFLAGS CPPFLAGS LDFLAGS ARCHFLAGS AR LDSHARED SDKROOT MAKEFLAGS PYTHONPATH PYTHONHOME PYTHONSTARTUP
MACOSX_DEPLOYMENT_TARGET LC_TIME CPATH C_INCLUDE_PATH LIBRARY_PATH VIRTUAL_ENV PIP_INDEX_URL PKG_CONFIG_PATH
USER LOGNAME HOSTNAME DISTUTILS_USE_SDK VSCMD_ARG_TGT_ARCH"""
NOISE = dict.fromkeys(NAMES.split(), "noise")


def test_nothing_that_a_user_has_set_is_passed_on(tmp_path: Path) -> None:
    quiet = context.make_environment({"PATH": "/bin"}, tmp_path, 5, {})
    noisy = context.make_environment({**NOISE, "PATH": "/bin", "TZ": "Asia/Tokyo", "LC_ALL": "de_DE"}, tmp_path, 5, {})
    assert noisy == quiet
    assert quiet["PATH"] == "/bin" and quiet["SOURCE_DATE_EPOCH"] == "5"
    assert (quiet["TZ"], quiet["LC_ALL"], quiet["PYTHONHASHSEED"]) == ("UTC", "C.UTF-8", "0")


def test_home_and_temporary_folders_are_private_and_exist(tmp_path: Path) -> None:
    made = context.make_environment({"HOME": "/home/me", "TMPDIR": "/var/tmp"}, tmp_path / "deep" / "work", 0, {})
    for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
        assert Path(made[name]).is_dir() and Path(made[name]).is_relative_to(tmp_path)


@pytest.mark.parametrize("name", ["SystemRoot", "SYSTEMROOT", "Path", "ComSpec"])
def test_windows_spells_variables_in_any_case(name: str, tmp_path: Path) -> None:
    assert context.make_environment({name: "value"}, tmp_path, 0, {})[name] == "value"


def test_what_is_passed_on_purpose_comes_last(tmp_path: Path) -> None:
    assert context.make_environment({}, tmp_path, 0, {"CFLAGS": "-O3", "TZ": "CET"})["TZ"] == "CET"


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text())
def test_a_setting_is_a_name_and_a_value(name: str, value: str) -> None:
    assert context.parse_variables([f"{name}={value}"]) == {name: value}


@pytest.mark.parametrize("word", ["", "NAME", "=value", "A B=c", "1A=b", "-DX=1"])
def test_any_other_word_is_wrong_use(word: str) -> None:
    with pytest.raises(UsageError, match="not of the form NAME=VALUE"):
        context.parse_variables([word])
