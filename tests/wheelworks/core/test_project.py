"""Test which CPythons and platforms a project's files say it supports."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core import project
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.targets import find_abi, find_target

CLASSIFIER = "Programming Language :: Python :: "


def supported(folder: Path) -> list[str]:
    return [f"cp{abi.nodot}" for abi in project.read_project(folder).list_abis()]


def write(folder: Path, text: str, file: str = "pyproject.toml") -> Path:
    (folder / file).write_text(text, encoding="utf-8")
    return folder


def metadata(python: str = "", *classifiers: str) -> str:
    listed = ", ".join(f'"{CLASSIFIER}{one}"' for one in classifiers)
    return f'[project]\nrequires-python = "{python}"\nclassifiers = [{listed}]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["cp310", "cp311", "cp312", "cp313", "cp314", "cp315"]),
        (metadata(">=3.12"), ["cp312", "cp313", "cp314", "cp315"]),
        (metadata(">=3.9,<3.13"), ["cp310", "cp311", "cp312"]),
        (metadata("", "3", "3.11", "3.12", "3 :: Only"), ["cp311", "cp312"]),
        (metadata(">=3.12", "3.11", "3.12", "3.13"), ["cp312", "cp313"]),
        (metadata(">=3.13", "Free Threading :: 3 - Stable"), ["cp313", "cp314", "cp314t", "cp315", "cp315t"]),
        (metadata(">=3.13", "3.14", "Free Threading"), ["cp314", "cp314t"]),
        ("[tool.cibuildwheel]\n", ["cp310", "cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t"]),
        ("[tool.cibuildwheel]\nbuild = 'cp31[1-4]-*'\n", ["cp311", "cp312", "cp313", "cp314"]),
        (metadata(">=3.13", "3.13") + "[tool.cibuildwheel]\nskip = ['*t-*', 'cp315-*']\n", ["cp313", "cp314"]),
        ("[tool.wheelworks]\nabis = ['cp314t', 'cp312-abi3']\n[tool.cibuildwheel]\n", ["cp312", "cp314t"]),
    ],
)
def test_the_supported_pythons(text: str, expected: list[str], tmp_path: Path) -> None:
    assert supported(write(tmp_path, text)) == expected


def test_an_sdist_has_its_metadata_in_one_file(tmp_path: Path) -> None:
    text = f"Metadata-Version: 2.4\nName: x\nVersion: 1\nRequires-Python: >=3.12\nClassifier: {CLASSIFIER}3.13\n"
    write(tmp_path, "[project]\ndynamic = ['requires-python', 'classifiers']\n")
    assert supported(write(tmp_path, text, "PKG-INFO")) == ["cp313"]


def test_the_metadata_may_be_in_setup_cfg(tmp_path: Path) -> None:
    text = (
        f"[metadata]\nclassifiers =\n    {CLASSIFIER}3.11\n    {CLASSIFIER}3.13\n[options]\npython_requires = >=3.12\n"
    )
    assert supported(write(tmp_path, text, "setup.cfg")) == ["cp313"]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", "cp311"),
        (metadata(">=3.12"), "cp312"),
        (metadata("", "3.10"), "cp310"),
        ("[tool.cibuildwheel]\nbuild = 'cp314t-*'\n", "cp314t"),
    ],
)
def test_one_python_is_the_oldest_on_which_builds_run(text: str, chosen: str, tmp_path: Path) -> None:
    assert f"cp{project.read_project(write(tmp_path, text)).choose_abi().nodot}" == chosen


def test_settings_select_by_platform(tmp_path: Path) -> None:
    found = project.read_project(write(tmp_path, "[tool.cibuildwheel]\nskip = 'cp314t-win32 *-musllinux_*'\n"))
    free, plain = find_abi("cp314t"), find_abi("cp314")
    assert not found.has_wheel(find_target("win32"), free) and found.has_wheel(find_target("win32"), plain)
    assert not found.has_wheel(find_target("musllinux_1_2_s390x"), plain)


@pytest.mark.parametrize(
    ("text", "file", "finding"),
    [
        (metadata("three"), "pyproject.toml", "Requires-Python can't be read"),
        (metadata(">=3.99"), "pyproject.toml", "supports none of CPython 3.10 to 3.15"),
        ("[project\n", "pyproject.toml", "can't be read"),
        ("project = 1\n", "pyproject.toml", r"\[project\] must be a table"),
        ("[tool.wheelworks]\nabis = 'cp311'\n", "pyproject.toml", "abis must be a list of tags"),
        ("nonsense\n", "setup.cfg", "setup.cfg .* can't be read"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, file: str, finding: str, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match=finding):
        supported(write(tmp_path, text, file))


def test_an_unknown_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown ABI 'cp299'"):
        supported(write(tmp_path, "[tool.wheelworks]\nabis = ['cp299']\n"))
