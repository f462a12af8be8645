"""Import official wheels of other projects, rewrapped, in a real CPython."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from wheelworks.foreign.rewrap.shims import System

from tests.wheelworks.foreign.rewrap import sites

pytestmark = pytest.mark.integration

WINDOWS, MACOS, INTEL = ("windows", "aarch64"), ("macos", "aarch64"), ("macos", "x86_64")
PLATFORMS = {
    WINDOWS: ("win_arm64",),
    MACOS: ("macosx_11_0_arm64", "macosx_10_13_universal2"),
    INTEL: ("macosx_10_13_x86_64", "macosx_10_9_x86_64", "macosx_10_15_x86_64", "macosx_10_12_x86_64"),
}
ESCAPE = """
import markupsafe
from markupsafe import _speedups
assert markupsafe._escape_inner is _speedups._escape_inner
assert str(markupsafe.escape("<a href='x'>&\\U0001f600" * 99)) == "&lt;a href=&#39;x&#39;&gt;&amp;\\U0001f600" * 99
print(_speedups.__file__)
"""


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, System, str, str], Path]:
    """Return a function that downloads the official wheel of a requirement for a system, a CPU and a Python."""

    @cache
    def download(requirement: str, system: System, cpu: str, python: str) -> Path:
        folder = tmp_path_factory.mktemp("official")
        what = ["--only-binary=:all:", "--no-deps", f"--dest={folder}", f"--python-version={python}"]
        what += ["--implementation=cp", f"--abi=cp{python.replace('.', '')}", "--abi=abi3", requirement]
        what += [f"--platform={tag}" for tag in PLATFORMS[system, cpu]]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *what], check=True, timeout=120)
        return next(folder.glob("*.whl"))

    return download


@pytest.mark.parametrize(("system", "cpu"), PLATFORMS)
def test_markupsafe_escapes(
    system: System, cpu: str, official: Callable[[str, System, str, str], Path], tmp_path: Path
) -> None:
    python = sites.find_python(system, cpu)
    wheel = official("markupsafe==3.0.3", system, cpu, python.version)
    assert list(sites.lay_out(wheel, tmp_path, python)) == ["markupsafe._speedups"]
    ended = sites.run(python, tmp_path, ESCAPE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == str(tmp_path / "markupsafe" / f"_speedups{python.suffix}")
