"""Test ``build-wheels --list``, which prints the planned wheels for users and for programs, and builds nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from wheelworks.build import cibuildwheel
from wheelworks.cli import build_wheels
from wheelworks.core import targets
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures.commands import ROOT

PYPROJECT = '[project]\nname = "A.B"\nversion = "1.0"\n'
ABIS = ["cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t"]
STATED = f'[tool.wheelworks]\nabis = {ABIS}\nminimum-macos = "10.9"\n'
PURE = 'pure = { SWITCH = "0" }\n'


def project(folder: Path, text: str = PYPROJECT + STATED + PURE) -> str:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return str(folder)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the names in the first column, which the table wraps over several lines."""
    assert build_wheels.main([*words, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    return re.findall(r"\S+?\.whl", "".join(line.split("│")[1].strip() for line in lines if "│" in line))


def test_everything_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = targets.plan_wheels("a_b-1.0", targets.load_targets(), [*map(targets.find_abi, ABIS)], pure=True)
    assert listed(capsys, project(tmp_path)) == [one.name for one in expected]


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (("--target", "win32"), ["a_b-1.0-", "win32", "an emulated CPU"]),
        (("--target", "manylinux_2_17_s390x"), ["a_b-1.0-", "manylinux_2_17_s390x", "an emulated CPU"]),
        (
            ("--target", "manylinux_2_17_s390x", "--how", "all"),
            ["cp311-abi3-", "musllinux_1_2_s390x", "a real CPython"],
        ),
        (("--target", "manylinux_2_19_ppc64le"), ["a_b-1.0-", "manylinux_2_19_ppc64le", "a real CPython"]),
        (("--target", "manylinux_2_19_ppc64le"), ["a_b-1.0-", "manylinux_2_19_ppc64le", "nothing here"]),
        (("--target", "win_arm64", "--how", "cpython"), ["a_b-1.0-", "win_arm64", "a real CPython"]),
        (("--target", "win32", "--how", "cpython"), ["a_b-1.0-", "win32", "nothing here"]),
        (("--abi", "py3-none-any"), ["a_b-1.0-", "any", "no code to run"]),
    ],
)
def test_a_row_says_on_what_a_wheel_is_run(
    words: tuple[str, ...], row: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build_wheels.main([project(tmp_path), "--list", *words]) == 0
    out = capsys.readouterr().out
    assert row in [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    assert "built from a_b-1.0.tar.gz" in out


def test_a_project_that_declares_no_pure_wheel_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = listed(capsys, project(tmp_path, PYPROJECT + STATED))
    assert len(names) > 30 and not any("none-any" in name for name in names)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--target", "win32"), ["cp311-abi3-win32", "cp314-cp314t-win32", "cp315-abi3.abi3t-win32"]),
        (("--target", "win32", "--abi", "abi3t"), ["cp315-abi3.abi3t-win32"]),
        (("--abi", "py3-none-any"), ["py3-none-any"]),
        (("--abi", "py3-none-any", "--abi", "cp311-abi3", "--target", "win32"), ["cp311-abi3-win32", "py3-none-any"]),
    ],
)
def test_a_choice_is_listed(
    words: tuple[str, ...], names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys, project(tmp_path), *words) == [f"a_b-1.0-{name}.whl" for name in names]


def test_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_wheels.main([project(tmp_path), "--list", "--json", "--target", "win_arm64"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sdist"] == "a_b-1.0.tar.gz"
    assert [wheel["abi"] for wheel in said["wheels"]] == ABIS
    assert {wheel["runner"] for wheel in said["wheels"]} == {"windows-11-arm"}


def test_a_name_that_only_a_build_knows_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match=r"doesn't state name and version") as caught:
        build_wheels.main([project(tmp_path, "[project]\nname = 'x'\ndynamic = ['version']\n"), "--list"])
    assert "make its sdist" in caught.value.hint


def test_a_pure_table_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="pure must be a table of strings"):
        build_wheels.main([project(tmp_path, PYPROJECT + STATED + "pure = 1\n"), "--list"])


@pytest.mark.parametrize("words", [("--target", "win33"), ("--abi", "cp399")])
def test_unknown_targets_and_abis_are_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown"):
        build_wheels.main([project(tmp_path), "--list", *words])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--env", "A=1"), "--env is an option of --builder cross"),
        (("--force",), "--force is an option of --builder cross"),
        (("--python", "/x"), "--python is an option of --builder cross"),
        (("--list", "--json"), "--list --json is an option of --builder cross"),
        (("--without", "before-all"), "--without is an option of --builder cross"),
        (("--abi", "py3-none-any"), "cibuildwheel makes no py3-none-any wheel"),
    ],
)
def test_what_cibuildwheel_cannot_express(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        build_wheels.main([project(tmp_path), "--builder", "cibuildwheel", "--out", str(tmp_path), *words])


def test_json_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plan.json"
    assert build_wheels.main([project(tmp_path), "--list", "--json", str(out), "--target", "win_arm64"]) == 0
    assert capsys.readouterr().out == "" and json.loads(out.read_text())["sdist"] == "a_b-1.0.tar.gz"


@pytest.mark.parametrize(("target", "says"), [("a.tar.gz", "must end in .json"), ("none/a.json", "no folder none")])
def test_json_overwrites_nothing_else(target: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        build_wheels.main([project(tmp_path), "--list", "--json", target])


def test_a_project_without_the_stable_abi_has_a_wheel_for_each_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PYPROJECT + 'requires-python = ">=3.12"\n[tool.cibuildwheel]\nskip = "cp314t-* *-musllinux_*"\n'
    names = listed(capsys, project(tmp_path, text), "--target", "macosx_10_9_x86_64")
    versions = {"cp312-cp312": "10_13", "cp313-cp313": "10_13", "cp314-cp314": "10_15"}
    versions |= {"cp315-cp315": "10_15", "cp315-cp315t": "10_15"}
    assert names == [f"a_b-1.0-{abi}-macosx_{version}_x86_64.whl" for abi, version in versions.items()]
    with pytest.raises(WheelworksError, match="skips them"):
        build_wheels.main([project(tmp_path, text), "--list", "--target", "musllinux_1_2_s390x"])


@pytest.mark.integration
def test_a_stable_abi_that_only_setup_py_knows_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "setup.py").write_text(
        "import sys, sysconfig\nfrom setuptools import Extension, setup\n"
        "stable = sys.version_info >= (3, 12) and not sysconfig.get_config_var('Py_GIL_DISABLED')\n"
        "setup(ext_modules=[Extension('a', ['a.c'], py_limited_api=stable)],\n"
        "      options={'bdist_wheel': {'py_limited_api': 'cp312'}} if stable else {})\n",
        encoding="utf-8",
    )
    text = PYPROJECT + 'requires-python = ">=3.11"\n[tool.cibuildwheel]\nskip = "cp315t-*"\n'
    names = listed(capsys, project(tmp_path, text), "--target", "win_amd64")
    assert names == [f"a_b-1.0-{abi}-win_amd64.whl" for abi in ("cp311-cp311", "cp312-abi3", "cp314-cp314t")]


@pytest.mark.integration
def test_the_other_builder_lists_what_it_would_build(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build_wheels.main([str(ROOT), "--list", "--builder", "cibuildwheel"]) == 0
    told = re.findall(r"│ (cp3\w+-\w+) +│ (\w+) +│ (\S+)", capsys.readouterr().out)
    here = [target for target in targets.load_targets() if target.os == cibuildwheel.host_system()]
    known = {
        name: (target.id, abi.id)
        for name, (target, abi) in cibuildwheel.map_identifiers(here, targets.load_abis()).items()
    }
    assert told and all(known[name] == (target, abi) for name, target, abi in told)


@pytest.mark.integration
def test_its_settings_may_exceed_our_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project(tmp_path, PYPROJECT + '[tool.cibuildwheel]\nbuild = "cp312-*"\n')
    assert build_wheels.main([folder, "--list", "--builder", "cibuildwheel"]) == 0
    assert "│ cp312-" in capsys.readouterr().out


def test_json_is_one_line_with_the_rows_of_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_wheels.main([project(tmp_path), "--list", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert {name: len(rows) for name, rows in json.loads(line)["matrices"].items()} == {
        "native": 35, "official": 9, "emulated": 10,
    }  # fmt: skip
