"""Test reading the existing manifest before a build, and choosing the CPython for wheels without an emulated CPU."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import pytest
from wheelworks.cli import _building, _page, _running
from wheelworks.core import debian
from wheelworks.core.errors import UsageError
from wheelworks.core.wheel import parse_wheel_name


@pytest.mark.parametrize(
    ("tags", "under"),
    [
        ("cp311-abi3-manylinux_2_17_s390x.musllinux_1_2_s390x", [("s390x", "3.11")]),
        ("cp311-abi3-manylinux_2_31_riscv64", [("riscv64", "3.13")]),
        ("cp315-abi3.abi3t-manylinux_2_19_ppc64le", [("ppc64le", "3.15")]),
        ("cp314-cp314t-manylinux_2_19_ppc64le", []),
        ("cp311-abi3-win32", []),
    ],
)
def test_oldest_takes_the_oldest_available_cpython(
    tags: str, under: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    found = _running.Options(oldest=True).find_runtimes(parse_wheel_name(f"x-1-{tags}.whl"))
    assert [(one.cpu.name, one.python) for one in found] == under


def test_what_debian_has_for_a_cpu() -> None:
    assert debian.list_debian_versions("arm64") == list(debian.DEBIAN_SUITES)
    assert debian.list_debian_versions("riscv64")[0] == "3.13"
    assert debian.list_debian_versions("loong64") == ["3.14", "3.15"]


@pytest.mark.parametrize(
    ("name", "tests", "no_run", "refused"),
    [
        ("tornado_speedups-1.0", "package", False, False),
        ("other-1.0", "package", False, True),
        ("other-1.0", "package", True, False),
        ("other-1.0", "smoke", False, False),
    ],
)
def test_the_tests_of_this_package_are_refused_for_others(name: str, tests: str, no_run: bool, refused: bool) -> None:
    options = argparse.Namespace(tests=tests, no_run=no_run)
    with pytest.raises(UsageError, match="runs the tests of tornado_speedups") if refused else nullcontext():
        _building.check_tests(options, name)


@pytest.mark.parametrize(("text", "says"), [("{", "manifest.json: no manifest of this version"), (None, "")])
def test_a_damaged_manifest_is_replaced(
    text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    assert _page.load_previous(tmp_path) is None
    told = capsys.readouterr().err
    assert says in told and told.strip().endswith("replaced" if says else "")
