"""``build-wheels --list``: what would be built, for people and for programs, without building anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wheelworks import plan, targets
from wheelworks.commands import build_wheels
from wheelworks.errors import UsageError, WheelworksError

PYPROJECT = '[project]\nname = "A.B"\nversion = "1.0"\n'
PURE = '[tool.wheelworks]\npure = { SWITCH = "0" }\n'


def project(folder: Path, text: str = PYPROJECT + PURE) -> str:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return str(folder)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert build_wheels.main([*words, "--list"]) == 0
    return capsys.readouterr().out.split()


def test_everything_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = plan.wheels("a_b-1.0", targets.all_targets(), targets.all_abis(), pure=True)
    assert listed(capsys, project(tmp_path)) == ["a_b-1.0.tar.gz", *(one.name for one in expected)]


def test_a_project_that_declares_no_pure_wheel_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = listed(capsys, project(tmp_path, PYPROJECT))
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
    assert listed(capsys, project(tmp_path), *words)[1:] == [f"a_b-1.0-{name}.whl" for name in names]


def test_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_wheels.main([project(tmp_path), "--list", "--json", "--target", "win_arm64"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sdist"] == "a_b-1.0.tar.gz"
    assert [wheel["abi"] for wheel in said["wheels"]] == [abi.id for abi in targets.all_abis()]
    assert {wheel["runner"] for wheel in said["wheels"]} == {"windows-11-arm"}


def test_a_name_that_only_a_build_tells_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match=r"doesn't tell name and version") as caught:
        build_wheels.main([project(tmp_path, "[project]\nname = 'x'\ndynamic = ['version']\n"), "--list"])
    assert "make its sdist" in caught.value.hint


def test_a_pure_table_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="pure must be a table of strings"):
        build_wheels.main([project(tmp_path, PYPROJECT + "[tool.wheelworks]\npure = 1\n"), "--list"])


@pytest.mark.parametrize("words", [("--target", "win33"), ("--abi", "cp399")])
def test_what_there_is_not_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown"):
        build_wheels.main([project(tmp_path), "--list", *words])
