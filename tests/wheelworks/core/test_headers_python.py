"""The floor's Python: found on this machine, or refused with the ways to get one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import python_discovery
from wheelworks.core import interpreters
from wheelworks.core.errors import WheelworksError


def interpreter(folder: Path, **more: Any) -> SimpleNamespace:
    """What python-discovery tells of an interpreter."""
    known = {"free_threaded": False, "debug_build": False, "version_info": (3, 11, 9)}
    return SimpleNamespace(system_executable=str(folder / "python"), system_include=str(folder), **{**known, **more})


def only(*found: SimpleNamespace) -> Callable[..., SimpleNamespace | None]:
    """A machine that has just these interpreters."""

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
