"""Test that the command finds the one seeded difference between two builds of a real extension module."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.core.source_tree import copy_directory

from tests.fixtures import builds
from tests.fixtures.commands import ROOT, Ended, wheelworks
from tests.fixtures.wheels import wheel

pytestmark = pytest.mark.integration

TAGS = {
    "win_arm64": "win_arm64",
    "macosx_11_0_arm64": "macosx_11_0_arm64",
    "linux_x86_64": "manylinux_2_17_x86_64",
    "linux_s390x": "manylinux_2_17_s390x",
}


def made(folder: Path, platform: str, *defines: str, tag: str = "") -> Path:
    binary = builds.build("twice.c", platform, *defines)
    return wheel(folder, f"cp311-abi3-{tag or TAGS[platform]}", {f"sample/{binary.name}": binary.read_bytes()})


def compare(a: Path, b: Path, cache: Path) -> Ended:
    return wheelworks("compare", a, b, cache=cache)


@pytest.mark.parametrize("platform", TAGS)
def test_the_same_source_optimised_otherwise_is_no_difference(platform: str, tmp_path: Path) -> None:
    one = made(tmp_path / "a", platform)
    binary = builds.build("twice.c", platform, optimise="-O0")
    other = wheel(tmp_path / "b", f"cp311-abi3-{TAGS[platform]}", {f"sample/{binary.name}": binary.read_bytes()})
    assert one.read_bytes() != other.read_bytes()
    ended = compare(one, other, tmp_path)
    assert ended.status == 0, ended.err
    assert "passed: 1 pair, 622 calls, 0 differences, 0 not compared" in ended.out


@pytest.mark.parametrize(
    ("define", "code", "says"),
    [
        ("-DRESULT=2", "calls", "twice(1): 2 against 4"),
        ("-DMESSAGE=other", "calls", "against ValueError: other"),
        ("-DNAME=thrice", "definition", "method twice: flags 0x8, doc 'Twice.' against nothing"),
        ("-DCONSTANT=8", "attributes", "CONSTANT: 7 against 8"),
        ("-DDOC=Double.", "definition", "'Twice.' against flags 0x8, doc 'Double.'"),
        ("-DEXPORTED", "exports", "of the second wheel alone exports extra"),
        ("-DCRASHES", "calls", "fault: "),
        ("-DDIES", "definition", "import: works against fault: null-pointer"),
    ],
)
@pytest.mark.parametrize("platform", ["win_arm64", "linux_x86_64"])
def test_a_seeded_difference(define: str, code: str, says: str, platform: str, tmp_path: Path) -> None:
    ended = compare(made(tmp_path / "a", platform), made(tmp_path / "b", platform, define), tmp_path)
    assert ended.status == 1
    assert f"error: {code}: " in ended.err and says in ended.err


def test_a_binary_of_another_machine(tmp_path: Path) -> None:
    ended = compare(made(tmp_path / "a", "win_arm64"), made(tmp_path / "b", "win_amd64", tag="win_arm64"), tmp_path)
    assert ended.status == 1
    assert "sample/fixture is PE for aarch64 in the first, PE for x86_64 in the second" in ended.err


def test_the_packages_own_tests_find_what_the_calls_do_not(tmp_path: Path, wheelworks_cache: Path) -> None:
    """Masking is broken for a length that none of the generated calls has."""
    source = copy_directory(ROOT, tmp_path / "source")
    words = ("build-wheels", source, "--target", "win_arm64", "--abi", "cp311-abi3", "--no-run", "--out")
    assert wheelworks(*words, tmp_path / "a", cache=wheelworks_cache).status == 0
    mask = source / "src/tornado_speedups/_speedups/frames.h"
    text = mask.read_text(encoding="utf-8")
    assert text.count("    return masked;") == 2
    broken = "    if (data->length == 200) PyBytes_AsString(masked)[7] ^= 1;\n    return masked;"
    mask.write_text(text.replace("    return masked;", broken, 1), encoding="utf-8")
    assert wheelworks(*words, tmp_path / "b", cache=wheelworks_cache).status == 0
    ended = wheelworks("compare", tmp_path / "a", tmp_path / "b", cache=wheelworks_cache)
    assert ended.status == 1
    assert "error: tests: cp311-abi3 on windows aarch64: " in ended.err and "test_every_length" in ended.err
    assert "error: calls" not in ended.err
