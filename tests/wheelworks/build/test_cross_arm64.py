"""Test `cross-arm64` on this project: it builds exactly three wheels, and each matches its tags."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import abi3info
import lief
import pytest
from abi3info.models import PyVersion, Symbol
from packaging.utils import parse_wheel_filename
from wheelworks.core.files import get_cache_folder

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, wheelworks
from tests.fixtures.package import STEM
from tests.fixtures.wheels import read_files

pytestmark = pytest.mark.integration

WINDOWS, MACOS = f"{STEM}-cp311-abi3-win_arm64.whl", f"{STEM}-cp311-abi3-macosx_11_0_arm64.whl"
LINUX = f"{STEM}-cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_2_aarch64.whl"
EXTENSION = {WINDOWS: "_speedups.pyd", MACOS: "_speedups.abi3.so", LINUX: "_speedups.abi3.so"}
WHEELS = list(EXTENSION)
PACKAGE = ROOT / "src" / "tornado_speedups"
PYTHON_FILES = {
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyi", ".typed")
}
TESTS = ("--how", "emulated", "--tests", "package")
METADATA = {"METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE", "sboms/wheelworks.cdx.json"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    """Return the output folder of `cross-arm64`."""
    out = tmp_path_factory.mktemp("main") / "dist"
    ended = wheelworks("cross-arm64", ".", "--out", out, *TESTS, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    assert "windows aarch64" in ended.out and "passed: 3 wheels, 3 built, 3 passed" in ended.out
    return out


def extension(wheel: Path) -> bytes:
    return read_files(wheel)[f"tornado_speedups/{EXTENSION[wheel.name]}"]


@pytest.mark.parametrize("name", WHEELS)
def test_the_machine_code_of_each_has_passed_the_packages_tests(name: str, manifest: dict[str, Any]) -> None:
    [wheel] = [wheel for wheel in manifest["wheels"] if wheel["file"] == name]
    [emulated] = [run for run in wheel["runs"] if run["how"].startswith("emulated CPU")]
    assert emulated["outcome"] == "passed", emulated
    assert emulated["how"].endswith("the package's tests")
    assert emulated["checks"] >= 40
    assert all(run["outcome"] != "failed" for run in wheel["runs"])


def test_three_wheels_and_a_manifest(dist: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {*WHEELS, "manifest.json", "report.html"}


def test_readme_shows_about_these_sizes(manifest: dict[str, Any]) -> None:
    """README shows the summary. The sizes may differ from the wheels' by 10 %."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^(?:linux|macos|windows) aarch64 +ok (\d+) kB$", text, re.MULTILINE)
    sizes = {wheel["file"]: wheel["size"] / 1000 for wheel in manifest["wheels"]}
    assert [float(size) for size in shown] == [pytest.approx(sizes[name], rel=0.1) for name in (LINUX, MACOS, WINDOWS)]


@pytest.mark.parametrize("name", WHEELS)
def test_the_files_are_those_and_no_other(name: str, dist: Path) -> None:
    package = {f"tornado_speedups/{file}" for file in PYTHON_FILES | {EXTENSION[name]}}
    info = {f"{STEM}.dist-info/{file}" for file in METADATA}
    found = read_files(dist / name)
    assert set(found) == package | info
    for file in PYTHON_FILES:
        assert found[f"tornado_speedups/{file}"] == (ROOT / "src/tornado_speedups" / file).read_bytes()


@pytest.mark.parametrize("name", WHEELS)
def test_metadata_is_valid(name: str, dist: Path) -> None:
    found = read_files(dist / name)
    lines = found[f"{STEM}.dist-info/WHEEL"].decode().splitlines()
    assert {"Wheel-Version: 1.0", "Root-Is-Purelib: false"} <= set(lines)
    tags = sorted(str(tag) for tag in parse_wheel_filename(name)[3])
    assert [line.removeprefix("Tag: ") for line in lines if line.startswith("Tag:")] == tags
    rows = list(csv.reader(io.StringIO(found[f"{STEM}.dist-info/RECORD"].decode())))
    assert [row[0] for row in rows] == list(found)
    for file, digest, size in rows[:-1]:
        sha = base64.urlsafe_b64encode(hashlib.sha256(found[file]).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={sha}", len(found[file]))


def test_windows_imports_python3_only(dist: Path, manifest: dict[str, Any]) -> None:
    binary = lief.PE.parse(extension(dist / WINDOWS))
    assert binary is not None
    assert binary.header.machine == lief.PE.Header.MACHINE_TYPES.ARM64
    assert [str(one.name) for one in binary.imports] == ["python3.dll"]
    export = binary.get_export()
    assert export is not None and [str(one.name) for one in export.entries] == ["PyInit__speedups"]
    assert binary.header.time_date_stamps == manifest["source"]["epoch"]
    assert binary.optional_header.has(lief.PE.OptionalHeader.DLL_CHARACTERISTICS.DYNAMIC_BASE)


def test_linux_needs_no_library_and_the_stable_abi_only(dist: Path) -> None:
    binary = lief.ELF.parse(extension(dist / LINUX))
    assert binary is not None
    assert binary.header.machine_type == lief.ELF.ARCH.AARCH64
    assert list(binary.libraries) == []
    wanted = {str(one.name) for one in binary.dynamic_symbols if one.shndx == 0 and one.name}
    assert wanted, "an extension asks CPython for something"
    for name in wanted:
        known = abi3info.FUNCTIONS.get(Symbol(name)) or abi3info.DATAS.get(Symbol(name))
        assert known and known.added <= PyVersion(3, 11), name
    assert not binary.has(lief.ELF.DynamicEntry.TAG.RUNPATH) and not binary.has(lief.ELF.DynamicEntry.TAG.RPATH)


def test_macos_is_signed_for_11_and_names_libsystem(dist: Path) -> None:
    fat = lief.MachO.parse(extension(dist / MACOS))
    assert fat is not None
    (binary,) = fat
    assert binary.header.cpu_type == lief.MachO.Header.CPU_TYPE.ARM64
    assert binary.has_code_signature
    assert binary.build_version is not None and list(binary.build_version.minos)[:2] == [11, 0]
    needed = [one.name for one in binary.libraries if one.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB]
    assert needed == ["/usr/lib/libSystem.B.dylib"]
    own = [one.name for one in binary.libraries if one.command == lief.MachO.LoadCommand.TYPE.ID_DYLIB]
    assert own in ([], ["@rpath/_speedups.abi3.so"])


@pytest.mark.parametrize("name", WHEELS)
def test_the_signature_of_a_page_is_its_hash(name: str, dist: Path) -> None:
    """Recompute the hashes of the code directory: Apple's ARM64 kernel kills processes that load a wrong one."""
    if name != MACOS:
        assert b"\xfa\xde\x0c\x02" not in extension(dist / name)
        return
    data = extension(dist / MACOS)
    start = data.index(b"\xfa\xde\x0c\x02")
    hashes, _, _, slots, limit, size, kind, _, page = struct.unpack_from(">IIIIIBBBB", data, start + 16)
    assert (size, kind) == (32, 2), "SHA-256"
    for slot in range(slots):
        end = min((slot + 1) << page, limit)
        stored = data[start + hashes + 32 * slot : start + hashes + 32 * slot + 32]
        assert hashlib.sha256(data[slot << page : end]).digest() == stored


@pytest.mark.parametrize("name", WHEELS)
def test_the_manifest_is_right(name: str, dist: Path, manifest: dict[str, Any]) -> None:
    (record,) = [wheel for wheel in manifest["wheels"] if wheel["file"] == name]
    data = (dist / name).read_bytes()
    assert (record["sha256"], record["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert record["tags"] == sorted(str(tag) for tag in parse_wheel_filename(name)[3])
    targets = {WINDOWS: ["win_arm64"], MACOS: ["macosx_11_0_arm64"]}
    assert record["targets"] == targets.get(name, ["manylinux_2_17_aarch64", "musllinux_1_2_aarch64"])
    assert (record["abi"], record["link"], record["libc_calls"]) == ("cp311-abi3", "freestanding", [])
    (one,) = record["extensions"]
    assert one["file"] == f"tornado_speedups/{EXTENSION[name]}"
    assert one["machine"] == "aarch64" and one["exports"] == ["PyInit__speedups"]


def test_the_manifest_names_its_source_and_no_path(
    dist: Path, manifest: dict[str, Any], wheelworks_cache: Path
) -> None:
    assert manifest["source"]["commit"] == projects.git(ROOT, "rev-parse", "HEAD")
    text = (dist / "manifest.json").read_text()
    for folder in (dist, ROOT, Path.home(), wheelworks_cache, Path(os.sep, "tmp")):  # the last holds the build folder
        assert f"{folder}{os.sep}" not in text.replace("/usr/lib/", "")


def test_a_second_run_gives_the_same_bytes(dist: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    assert wheelworks("cross-arm64", "--no-run", ".", "--out", tmp_path, cache=wheelworks_cache).status == 0
    for path in dist.glob("*.whl"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    ran = json.loads((dist / "manifest.json").read_text())
    for wheel in ran["wheels"]:
        del wheel["runs"]
    assert json.loads((tmp_path / "manifest.json").read_text()) == ran


def test_one_target_joins_the_others_in_the_manifest(tmp_path: Path, wheelworks_cache: Path) -> None:
    for target in ("win_arm64", "macosx_11_0_arm64"):
        ended = wheelworks(
            "cross-arm64", "--no-run", ".", "--target", target, "--out", tmp_path, cache=wheelworks_cache
        )
        assert ended.status == 0, ended.err
    assert [wheel["file"] for wheel in json.loads((tmp_path / "manifest.json").read_text())["wheels"]] == [
        MACOS,
        WINDOWS,
    ]


@pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces")
def test_a_real_cpython_runs_what_the_emulated_cpu_cannot(tmp_path: Path) -> None:
    """The user's cache has the CPython's root."""
    before = "static int execute(PyObject *module) { return PyEval_GetBuiltins() ? 0 : -1; }"
    source = projects.module(before=before).replace("slots[] = {", "slots[] = {{Py_mod_exec, execute}, ")
    project, out = projects.sample(tmp_path / "project", source), tmp_path / "out"
    words = ("cross-arm64", project, "--target", "win_arm64", "--out", out)
    ended = wheelworks(*words, cache=get_cache_folder(), seconds=600)
    assert ended.status == 0, ended.err
    [wheel] = json.loads((out / "manifest.json").read_text())["wheels"]
    emulated, real = wheel["runs"]
    assert (emulated["how"][:12], emulated["outcome"]) == ("emulated CPU", "unsupported")
    assert "PyEval_GetBuiltins" in emulated["why"]
    assert "for arm64, code of Windows rewrapped under qemu" in real["how"]
    assert (real["outcome"], real["checks"]) == ("passed", 1), real
    assert "a real CPython, rewrapped, 1 check" in (out / "report.html").read_text(encoding="utf-8")
