"""Test the interpreters of this machine: which are found, which wheel each accepts, and which one runs builds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import python_discovery
from wheelworks.core import interpreters
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.interpreters import Python, choose_wheel, drop_shims, list_pyenv_pythons


@pytest.mark.parametrize(
    ("separator", "shims", "others"),
    [
        (":", "/home/me/.pyenv/shims", ["/usr/bin", "/home/shims/bin"]),
        (";", r"C:\Users\me\.pyenv\pyenv-win\shims", [r"C:\Windows", r"C:\Python313"]),
        (";", "C:\\Users\\me\\.pyenv\\pyenv-win\\shims\\", [r"C:\Windows"]),
    ],
)
def test_shims_are_left_out_of_the_path(separator: str, shims: str, others: list[str]) -> None:
    found = drop_shims({"PATH": separator.join([others[0], shims, *others[1:]]), "HOME": "x"}, separator)
    assert found == {"PATH": separator.join(others), "HOME": "x"}


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("variable", ["PYENV_ROOT", "PYENV", ""])
def test_pyenvs_versions_are_found(windows: bool, variable: str, tmp_path: Path) -> None:
    place = tmp_path / ".pyenv" / ("pyenv-win" if windows else "")
    environ = {variable: str(tmp_path / "elsewhere")} if variable else {}
    place = tmp_path / "elsewhere" if variable else place
    programs = [
        place / "versions" / version / ("python.exe" if windows else "bin/python") for version in ("2.7.18", "3.13.0")
    ]
    for program in programs:
        program.parent.mkdir(parents=True)
        program.touch()
    assert list_pyenv_pythons(environ, tmp_path, windows) == programs[1:]
    assert list_pyenv_pythons(environ, tmp_path, windows, "2.7.*") == programs[:1]


def python(*tags: str, free_threaded: bool = False) -> Python:
    return Python(Path("python"), "3.14.0", free_threaded, tags)


def test_an_interpreter_takes_the_wheel_that_its_best_tag_names() -> None:
    stable = Path("tornado_speedups-0.1.0-cp311-abi3-win_amd64.whl")
    threaded = Path("tornado_speedups-0.1.0-cp314-cp314t-win_amd64.whl")
    pure = Path("tornado_speedups-0.1.0-py3-none-any.whl")
    both = [pure, stable, threaded]
    with_gil = python("cp314-cp314-win_amd64", "cp311-abi3-win_amd64", "py3-none-any")
    without = python("cp314-cp314t-win_amd64", "py3-none-any", free_threaded=True)
    assert choose_wheel(both, with_gil) == stable
    assert choose_wheel(both, without) == threaded
    assert choose_wheel([stable], without) is None
    assert (with_gil.label, without.label) == ("3.14.0", "3.14.0t")


def test_this_interpreter_is_found_by_version_and_by_path() -> None:
    version = f"3.{sys.version_info.minor}"
    for asked in (version, sys.executable):
        [found], missing = interpreters.find_pythons([asked])
        assert found.version.startswith(f"{version}.") and not missing
        assert f"cp3{sys.version_info.minor}-none-any" in found.tags


def test_every_interpreter_is_found_once_and_the_missing_are_named() -> None:
    found, missing = interpreters.find_pythons()
    minors = [int(one.version.split(".")[1]) for one in found if not one.free_threaded]
    assert sys.version_info.minor in minors and len(set(minors)) == len(minors)
    assert sorted(minors) + [int(one[2:]) for one in missing] == sorted(
        interpreters.SUPPORTED_MINORS, key=lambda m: (m not in minors, m)
    )


def test_a_version_that_is_not_here_is_reported() -> None:
    with pytest.raises(WheelworksError, match=r"no CPython 3\.99 on this machine") as caught:
        interpreters.find_pythons(["3.99"])
    assert caught.value.exit_code == 1 and "uv python install 3.99" in caught.value.hint


def test_neither_a_version_nor_a_program() -> None:
    with pytest.raises(UsageError, match="neither a version nor a program"):
        interpreters.find_pythons(["python-three"])


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    with pytest.raises(WheelworksError, match="doesn't list the wheel tags that it accepts: hello"):
        interpreters.find_pythons([str(program)])


def interpreter(folder: Path, **more: Any) -> SimpleNamespace:
    """Return an interpreter as python-discovery describes it."""
    known = {"free_threaded": False, "debug_build": False, "version_info": (3, 11, 9)}
    return SimpleNamespace(system_executable=str(folder / "python"), system_include=str(folder), **{**known, **more})


def only(*found: SimpleNamespace) -> Callable[..., SimpleNamespace | None]:
    """Return a replacement for ``get_interpreter`` on a machine that has only these interpreters."""

    def search(key: str, try_first_with: Any = None, predicate: Callable[[Any], bool] = bool) -> Any:
        return next(filter(predicate, found), None)

    return search


def test_no_python_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_discovery, "get_interpreter", only())
    with pytest.raises(WheelworksError, match=r"no CPython 3\.11 on this machine") as caught:
        interpreters.find_build_python()
    for way in ("uv python install 3.11", "pyenv install 3.11", "python3.11-dev", "brew install", "winget", "--python"):
        assert way in caught.value.hint


def test_a_python_without_headers_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(python_discovery, "get_interpreter", only(interpreter(tmp_path)))
    with pytest.raises(WheelworksError, match="python has no C headers") as caught:
        interpreters.find_build_python()
    assert str(tmp_path / "python") in caught.value.message


@pytest.mark.parametrize("unfit", ["free_threaded", "debug_build"])
def test_builds_of_another_abi_are_passed_over(unfit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    fit = interpreter(tmp_path, version_info=(3, 11, 2))
    monkeypatch.setattr(python_discovery, "get_interpreter", only(interpreter(tmp_path, **{unfit: True}), fit))
    assert interpreters.find_build_python().version == "3.11.2"
