"""Test that linker options which zig refuses, and which modules work without, are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.build import arguments, linker_options

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks
from tests.fixtures.settings import settings


@pytest.mark.parametrize(
    ("argument", "kept", "left_out"),
    [
        ("-Wl,--exclude-libs,ALL", "", "-Wl,--exclude-libs,ALL"),
        ("-Wl,--exclude-libs=ALL,-z,now", "-Wl,-z,now", "-Wl,--exclude-libs=ALL"),
        ("-Wl,-Bsymbolic-functions,-Bsymbolic", "-Wl,-Bsymbolic", "-Wl,-Bsymbolic-functions"),
        ("-Wl,-exported_symbol,_PyInit_x,-dead_strip", "-Wl,-dead_strip", "-Wl,-exported_symbol,_PyInit_x"),
        ("-Wl,-Map,x.map", "", "-Wl,-Map,x.map"),
        ("-Wl,--exclude-libs", "", "-Wl,--exclude-libs"),
        ("-Wl,-flat_namespace", "-Wl,-flat_namespace", ""),
        ("-Wl,-rpath,$ORIGIN", "-Wl,-rpath,$ORIGIN", ""),
        ("-Wl,--version-script=x.map", "-Wl,--version-script=x.map", ""),
    ],
)
def test_an_argument_is_split(argument: str, kept: str, left_out: str) -> None:
    assert linker_options.split(argument) == (kept, left_out)


def test_a_link_goes_without_them_and_a_program_doesnt() -> None:
    """A program tests what the linker has: a true answer lets the project do without."""
    words = ["a.o", "-static", "-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,-z,now", "-o", "x.so"]
    found = arguments.parse_arguments(["-shared", *words], settings("win_arm64"))
    assert (found.step, found.flags, found.dropped) == ("link", ["-Wl,-z,now"], ["-Wl,--exclude-libs,ALL"])
    assert "zig's linker doesn't have it" in arguments.explain_dropped(found.dropped[0])
    found = arguments.parse_arguments(words, settings())
    assert (found.step, found.flags) == ("program", words[1:5])


@pytest.mark.integration
def test_a_project_with_such_options_builds(tmp_path: Path, wheelworks_cache: Path) -> None:
    """With -static, as in protobuf, zig made an archive in place of a DLL."""
    options = f'extra_link_args=["-static", "-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic-functions"], {projects.LIMITED}'
    project = projects.sample(tmp_path / "p", setup_py=projects.setup(options))
    words = ("--target", "win_arm64", "--target", "manylinux_2_17_aarch64", "--out", tmp_path / "out")
    ended = wheelworks("cross-arm64", "--no-run", project, *words, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
