"""Test the screen of a release: platforms down, checks across, failures first, details behind --verbose."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from wheelworks.audit import screen
from wheelworks.audit.findings import FileAudit, Finding

from tests.fixtures.commands import wheelworks
from tests.wheelworks.audit import made

MAC, LINUX = "a-1-cp311-abi3-macosx_10_9_universal2.whl", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"
GROUPS = ("archive", "extension")


def shown(*files: FileAudit) -> list[str]:
    console = Console(width=150, force_terminal=False)
    with console.capture() as captured:
        console.print(screen.render_release(files, [one for file in files for one in file.findings]))
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("file", "platforms"),
    [
        (MAC, ["macos aarch64", "macos x86_64"]),
        ("a-1-py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64.whl", ["linux glibc x86_64", "linux musl x86_64"]),
        ("a-1-py3-none-any.whl", ["any"]),
        ("a-1-py3-none-plan9_4_amd64.whl", ["plan9_4_amd64"]),
        ("a-1.tar.gz", ["sdist"]),
        ("a.whl", ["unknown"]),
    ],
)
def test_the_platforms_of_a_file(file: str, platforms: list[str]) -> None:
    assert screen.list_platforms(file) == platforms


def test_the_worst_platform_is_first_and_errors_come_before_warnings() -> None:
    warning = Finding("W014", "x.orig", wheel=MAC)
    errors = tuple(Finding("W013", "x.pyc", wheel=f"{number}{LINUX}") for number in range(2))
    lines = shown(
        FileAudit(MAC, (warning,), groups=GROUPS),
        *(FileAudit(one.wheel, (one,), groups=GROUPS) for one in errors),
        FileAudit(LINUX, (), groups=GROUPS),
    )
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert rows == [
        ["linux glibc x86_64", "3", "2 of 3 fail", "passed"],
        ["macos aarch64", "1", "1 of 1 warn", "passed"],
        ["macos x86_64", "1", "1 of 1 warn", "passed"],
    ]
    assert lines[-3:] == [
        f"error W013 bytecode 2 files, first 0{LINUX}: x.pyc",
        f"warning W014 stray-file {MAC}: x.orig",
        "--verbose shows every file and what to do; --explain CODE explains a code",
    ]


def test_details_are_behind_verbose(tmp_path: Path) -> None:
    for version in range(3):
        path = made.wheel(tmp_path, **{"sample/x.pyc": b""})
        path.rename(tmp_path / f"sample{version}-1.0-py3-none-any.whl")
    brief = wheelworks("audit", tmp_path, "--offline", cache=tmp_path / "cache", env={"COLUMNS": "200"})
    full = wheelworks("audit", tmp_path, "--offline", "--verbose", cache=tmp_path / "cache", env={"COLUMNS": "200"})
    assert brief.status == full.status == 1
    assert "3 of 3 fail" in brief.out and "try:" not in brief.out and "3 files, first sample0" in brief.out
    assert "sample2-1.0" not in brief.out and "sample2-1.0" in full.out and "Leave `__pycache__` out" in full.out
