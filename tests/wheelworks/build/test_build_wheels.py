"""Test the whole release of this project: the list of files, the contents of each, and that none is built twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from wheelworks.core import targets
from wheelworks.core.binary import SUFFIXES, describe
from wheelworks.core.manifest import generate_schema

from tests.fixtures import installers
from tests.fixtures.commands import wheelworks
from tests.fixtures.package import RELEASE_ABIS, STEM
from tests.fixtures.schemas import jsonschema
from tests.fixtures.wheels import read_files
from tests.wheelworks.core.test_targets import ABIS, PLATFORMS

pytestmark = pytest.mark.integration

PURE = f"{STEM}-py3-none-any.whl"
WHEELS = {f"{STEM}-{abi}-{platform}.whl" for abi in ABIS for platform in PLATFORMS} | {PURE}
PLANNED = {one.name: one for one in targets.plan_wheels(STEM, targets.load_targets(), RELEASE_ABIS, pure=True)}
EXTENSIONS = {
    "cp311-abi3": {"windows": "_speedups.pyd", "macos": "_speedups.abi3.so", "linux": "_speedups.abi3.so"},
    "cp314-cp314t": {
        "windows": "_speedups.cp314t-{}.pyd",
        "macos": "_speedups.cpython-314t-darwin.so",
        "linux": "_speedups.so",  # CPython for glibc and CPython for musl load different suffixes
    },
    "cp315-abi3.abi3t": {"windows": "_speedups.pyd", "macos": "_speedups.abi3t.so", "linux": "_speedups.abi3t.so"},
}
DLLS = {"cp311-abi3": "python3.dll", "cp314-cp314t": "python314t.dll", "cp315-abi3.abi3t": "python3t.dll"}


@pytest.fixture(scope="module")
def dist(release: Path) -> Path:
    return release


def again(dist: Path, cache: Path, *words: str) -> str:
    ended = wheelworks("build-wheels", ".", "--no-run", "--out", dist, *words, cache=cache, seconds=900)
    assert ended.status == 0, ended.err
    return ended.out


def stamps(dist: Path) -> dict[str, tuple[int, str]]:
    """Return the modification time and the hash of each wheel."""
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in dist.glob("*.whl")
    }


def test_a_release_is_these_files_and_no_other(dist: Path, manifest: dict[str, Any]) -> None:
    assert {path.name for path in dist.iterdir()} == {*WHEELS, f"{STEM}.tar.gz", "manifest.json", "report.html"}
    assert {wheel["file"] for wheel in manifest["wheels"]} == WHEELS == PLANNED.keys()
    assert manifest["source"]["archive_sha256"] == hashlib.sha256((dist / f"{STEM}.tar.gz").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", sorted(WHEELS - {PURE}))
def test_each_wheel_has_its_extension(name: str, dist: Path, manifest: dict[str, Any]) -> None:
    planned = PLANNED[name]
    assert planned.abi
    first, found = planned.targets[0], read_files(dist / name)
    (file,) = [file for file in found if file.endswith(SUFFIXES)]
    expected = EXTENSIONS[planned.abi.id][first.os].format(first.platform.replace("-", "_"))
    assert file == f"tornado_speedups/{expected}"
    (binary,) = describe(found[file], file)
    assert binary.machine == first.cpu
    entry = "PyModExport" if "abi3t" in planned.abi.tags else "PyInit"
    assert binary.exports == (f"{entry}__speedups",)
    libraries = {"windows": (DLLS[planned.abi.id],), "macos": ("/usr/lib/libSystem.B.dylib",), "linux": ()}
    assert binary.libraries == libraries[first.os]
    (record,) = [wheel for wheel in manifest["wheels"] if wheel["file"] == name]
    assert record["targets"] == [row.id for row in planned.targets]
    assert record["fingerprint"]["headers"].startswith(f"{planned.abi.python}.")


def test_the_pure_wheel_has_none(dist: Path) -> None:
    found, other = read_files(dist / PURE), read_files(dist / f"{STEM}-cp311-abi3-win32.whl")
    assert not [file for file in found if file.endswith(SUFFIXES)]
    package = {file for file in other if file.startswith("tornado_speedups/") and not file.endswith(SUFFIXES)}
    assert {file for file in found if file.startswith("tornado_speedups/")} == package
    assert b"Root-Is-Purelib: true" in found[f"{STEM}.dist-info/WHEEL"]


def test_32_bit_arm_asks_for_no_table_of_exceptions(dist: Path) -> None:
    (name,) = [name for name in WHEELS if "armv7l" in name and "abi3-" in name]
    found = read_files(dist / name)
    (binary,) = describe(found["tornado_speedups/_speedups.abi3.so"], name)
    assert all(symbol.startswith(("Py", "_Py")) for symbol in binary.symbols)


def test_nothing_is_built_twice(dist: Path, wheelworks_cache: Path) -> None:
    before = stamps(dist)
    assert "37 up to date" in again(dist, wheelworks_cache)
    assert stamps(dist) == before


def test_one_target_is_built_alone(dist: Path, wheelworks_cache: Path) -> None:
    before = stamps(dist)
    name = f"{STEM}-cp314-cp314t-win32.whl"
    (dist / name).write_bytes(b"spoilt")
    again(dist, wheelworks_cache, "--target", "win32")
    after = stamps(dist)
    assert {file for file in after if after[file][0] != before[file][0]} == {name}
    assert {file: digest for file, (_, digest) in after.items()} == {f: d for f, (_, d) in before.items()}


def test_force_builds_the_same_again(dist: Path, wheelworks_cache: Path) -> None:
    before, manifest = stamps(dist), (dist / "manifest.json").read_bytes()
    again(dist, wheelworks_cache, "--force", "--target", "manylinux_2_17_s390x")
    after = stamps(dist)
    assert {file for file in after if after[file][0] != before[file][0]} == {file for file in WHEELS if "s390x" in file}
    assert {file: digest for file, (_, digest) in after.items()} == {f: d for f, (_, d) in before.items()}
    assert (dist / "manifest.json").read_bytes() == manifest


def test_the_sdist_gives_the_same_wheels(dist: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    words = ("--no-run", "--target", "win_arm64", "--abi", "cp311-abi3", "--abi", targets.PURE)
    ended = wheelworks("build-wheels", dist / f"{STEM}.tar.gz", *words, "--out", tmp_path, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    made = {path.name: path.read_bytes() for path in tmp_path.glob(f"{STEM}*")}
    assert made.keys() == {PURE, f"{STEM}-cp311-abi3-win_arm64.whl", f"{STEM}.tar.gz"}
    assert made == {name: (dist / name).read_bytes() for name in made}


PYTHONS = {
    "3.11": "cp311-abi3",
    "3.12": "cp311-abi3",
    "3.13": "cp311-abi3",
    "3.14": "cp311-abi3",
    "3.14t": "cp314-cp314t",
    "3.15": "cp315-abi3.abi3t",
    "3.15t": "cp315-abi3.abi3t",
}


# Installers that get the wheel without machine code: other systems and CPUs, CPython 3.13t, and PyPy.
ELSEWHERE = [
    installers.Asked("3.13", ("freebsd_14_2_release_amd64",)),
    installers.Asked("3.13", ("manylinux_2_36_loongarch64",)),
    installers.Asked("3.13t", ("manylinux_2_17_x86_64",)),
    installers.Asked("3.11", ("manylinux_2_17_x86_64",), "pypy311_pp73"),
    installers.Asked("3.11", ("win_amd64",), "pypy311_pp73"),
]


@pytest.mark.parametrize("installer", [installers.pip, installers.uv], ids=["pip", "uv"])
def test_the_wheel_that_is_meant_is_chosen(installer: installers.Installer, dist: Path, tmp_path: Path) -> None:
    asked, meant = [], []
    for python, abi in PYTHONS.items():
        for row in targets.load_targets():
            asked.append(installers.Asked(python, row.tags))
            (name,) = [one.name for one in PLANNED.values() if one.abi and one.abi.id == abi and row in one.targets]
            meant.append(name)
    assert installer(dist, asked + ELSEWHERE, tmp_path) == meant + [PURE] * len(ELSEWHERE)


def test_the_manifest_is_what_its_schema_says(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, generate_schema())
    surprising = {**manifest, "wheels": [{**manifest["wheels"][0], "surprise": 1}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(surprising, generate_schema())
