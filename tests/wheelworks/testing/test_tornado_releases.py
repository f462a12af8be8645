"""What is asked of pip, and what surrounds a guest, on every host."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.testing.environments import variables
from wheelworks.testing.tornado_releases import requirement


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("6.5", "tornado~=6.5.0"),
        ("6.6", "tornado~=6.6.0"),
        ("6.5.2", "tornado==6.5.2"),
        ("6.7b1", "tornado==6.7b1"),
        ("6.6.0", "tornado==6.6.0"),
    ],
)
def test_a_series_means_its_newest(asked: str, wanted: str) -> None:
    assert requirement(asked) == wanted


@pytest.mark.parametrize("asked", ["", "newest", "6.x", "--pre", "6.5; os_name == 'x'"])
def test_what_is_no_version_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="no version"):
        requirement(asked)


def test_a_guests_variables_have_nothing_that_steers_it() -> None:
    environ = {
        "PATH": "p",
        "SystemRoot": "s",
        "PYTHONPATH": "x",
        "PythonHome": "x",
        "TORNADO_EXTENSION": "0",
        "TORNADO_SPEEDUPS_EXTENSION": "0",
        "VIRTUAL_ENV": "x",
        "PYTEST_ADDOPTS": "x",
    }
    ours = {"PYTHONPATH": str(Path("guests")), "PYTHONUTF8": "1"}
    kept = {"PATH": "p", "SystemRoot": "s", **ours}
    assert variables(environ, Path("guests"), with_c=True) == {**kept, "TORNADO_SPEEDUPS_EXTENSION": "1"}
    assert variables(environ, Path("guests"), with_c=False) == {**kept, "TORNADO_SPEEDUPS_EXTENSION": "0"}
