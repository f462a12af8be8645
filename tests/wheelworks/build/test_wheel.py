"""Test ABI checks, the compiler's runtime library, and the SBOM."""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from wheelworks.build import sbom, verify
from wheelworks.core import targets
from wheelworks.core.archive import Member
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, wheelworks

TARGET = targets.find_target("win_arm64")
DIVIDES = """
    unsigned long long number = PyLong_AsUnsignedLongLong(arg);
    return PyLong_FromUnsignedLongLong(number / (unsigned long long)Py_SIZE(self));
"""


@pytest.mark.parametrize(
    ("made", "abi"),
    [
        ("cp312-abi3-win_arm64", "cp311-abi3"),
        ("cp311-cp311-win_arm64", "cp314-cp314t"),
        ("cp315-abi3-win_arm64", "cp315-abi3.abi3t"),
    ],
)
def test_a_wheel_of_another_abi_is_refused(made: str, abi: str) -> None:
    name = parse_wheel_name(f"x-1-{made}.whl")
    with pytest.raises(WheelworksError, match=rf"win_arm64: the build backend made a wheel for {name.abi}, not {abi}"):
        verify.check_abi(name, TARGET, targets.find_abi(abi))


def test_a_later_stable_abi_is_what_to_build_for() -> None:
    with pytest.raises(WheelworksError) as caught:
        verify.check_abi(parse_wheel_name("x-1-cp313-abi3-win_arm64.whl"), TARGET, targets.find_abi("cp312"))
    assert "--abi cp313-abi3" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "text", "blamed"),
    [
        ("setup.cfg", "[bdist_wheel]\nplat_name = manylinux1_x86_64\n", "the project's setup.cfg sets plat_name"),
        (
            "pyproject.toml",
            "[tool.distutils.bdist_wheel]\nplat-name = 'x'\n",
            "the project's pyproject.toml sets plat_name",
        ),
        ("setup.py", 'setup(options={"bdist_wheel": {"plat_name": "x"}})\n', "the project's setup.py sets plat_name"),
        ("setup.py", "if command.plat_name == 'win32': pass\n", "the build backend made a wheel for manylinux1_x86_64"),
    ],
)
def test_a_fixed_platform_is_blamed_on_its_setting(file: str, text: str, blamed: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(WheelworksError) as caught:
        verify.check_platform(parse_wheel_name("x-1-cp311-abi3-manylinux1_x86_64.whl"), TARGET, tmp_path)
    assert caught.value.message.startswith(f"win_arm64: {blamed}")
    assert ("remove plat_name" in caught.value.hint) is ("plat_name" in blamed)


def is_taken(made: str, abi: targets.Abi) -> bool:
    try:
        verify.check_abi(parse_wheel_name(f"x-1-{made}-win_arm64.whl"), TARGET, abi)
    except WheelworksError:
        return False
    return True


def test_a_wheel_is_taken_for_its_own_abi_only() -> None:
    assert {abi.specific for abi in targets.load_abis() if is_taken("cp315-cp315t", abi)} == {"cp315-cp315t"}


@pytest.mark.integration
def test_division_on_32_bits_needs_no_libc(tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.sample(tmp_path / "sample", projects.module(DIVIDES))
    chosen = [word for cpu in ("armv7l", "i686") for word in ("--target", f"manylinux_2_17_{cpu}")]
    words = ["--abi", "cp311-abi3", *chosen, "--out", str(tmp_path / "out")]
    ended = wheelworks("build-wheels", source, *words, cache=wheelworks_cache, seconds=600)
    assert ended.status == 0, ended.err
    wheels = json.loads((tmp_path / "out/manifest.json").read_text())["wheels"]
    assert [(len(wheel["targets"]), wheel["link"]) for wheel in wheels] == [(2, "freestanding")] * 2
    for record in wheels:
        assert [run["outcome"] for run in record["runs"]] == ["passed"]
        (extension,) = record["extensions"]
        assert all(name.startswith(("Py", "_Py")) for names in extension["imports"].values() for name in names)


LOCK = """\
zig-lang==1.0 ; sys_platform == "linux" \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
other==2.0 \\
    --hash=sha256:{b}
""".format(a="a" * 64, b="b" * 64)
NAME = "sample-1.0.dist-info/sboms/wheelworks.cdx.json"


@pytest.mark.parametrize("text", ["/opt/build/x.c", "\\opt\\build\\x.c", "/\0o\0p\0t\0/\0b\0u\0i\0l\0d\0/\0"])
def test_a_path_of_this_machine_is_found_in_every_spelling(text: str) -> None:
    members = {"a.pyd": Member(b"MZ" + text.encode()), "b.pyd": Member(b"MZ/opt/buil")}
    with pytest.raises(WheelworksError, match=r"win_arm64: a\.pyd names a folder of this machine at byte 2"):
        verify.check_host_paths(members, ["/opt/build"], TARGET)
    verify.check_host_paths({"b.pyd": members["b.pyd"]}, ["/opt/build"], TARGET)


def test_every_hash_of_a_lock_file_is_read() -> None:
    assert sbom.parse_hashes(LOCK) == {("zig-lang", "1.0"): ["a" * 64, "b" * 64], ("other", "2.0"): ["b" * 64]}


def test_the_locks_of_this_project_have_the_compilers_hashes() -> None:
    found = sbom.parse_hashes((ROOT / "requirements/wheelworks.txt").read_text())
    assert len(found["ziglang", importlib.metadata.version("ziglang")]) > 5


def test_a_document_names_tools_and_their_hashes() -> None:
    made = sbom.make_document(
        "My_Sample",
        "1.0",
        1_700_000_000,
        {"zig-lang": "1.0", "unknown": "3"},
        sbom.parse_hashes(LOCK),
        {"libz.a": "c" * 64},
    )
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert made["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert made["metadata"]["component"]["purl"] == "pkg:pypi/my-sample@1.0"
    unknown, zig = made["metadata"]["tools"]["components"]
    assert "hashes" not in unknown and zig["purl"] == "pkg:pypi/zig-lang@1.0"
    [library] = made["components"]
    assert library["name"] == "libz.a" and library["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert zig["hashes"] == [{"alg": "SHA-256", "content": digest * 64} for digest in "ab"]


def test_a_document_keeps_to_the_schema_of_cyclonedx() -> None:
    versions = {"ziglang": importlib.metadata.version("ziglang"), "unlocked": "3"}
    hashes = sbom.parse_hashes((ROOT / "requirements/wheelworks.txt").read_text())
    made = sbom.make_document("My_Sample", "1.0", 1_700_000_000, versions, hashes, {"libz.a": "c" * 64})
    assert flaw(json.dumps(made)) is None
    made["metadata"]["tools"]["components"][1]["hashes"][0]["alg"] = "SHA-9"
    assert "SHA-9" in str(flaw(json.dumps(made)))
    del made["specVersion"]
    assert flaw(json.dumps(made)) is not None


def flaw(text: str) -> object:
    """Return the first error in an SBOM by CycloneDX's strict schema, or None."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


@pytest.mark.integration
@pytest.mark.parametrize(("wish", "status"), [("true", 0), ("false", 0), ("1", 1)])
def test_only_a_project_that_asks_gets_one(wish: str, status: int, tmp_path: Path, wheelworks_cache: Path) -> None:
    table = f"{projects.PYPROJECT}[tool.wheelworks]\nsbom = {wish}\n"
    projects.sample(tmp_path / "p", **{"pyproject.toml": table})
    words = ("build-wheels", "--no-run", tmp_path / "p", "--target", "win_arm64", "--abi", "cp311-abi3")
    ended = wheelworks(*words, "--out", tmp_path / "out", cache=wheelworks_cache)
    assert ended.status == status, ended.err
    if status:
        assert "sbom must be true or false" in ended.err
        return
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert (NAME in archive.namelist()) == (wish == "true")
        if wish == "true":
            assert flaw(archive.read(NAME).decode()) is None
            tools = json.loads(archive.read(NAME))["metadata"]["tools"]["components"]
            assert {"ziglang", "deflate", "setuptools"} <= {one["name"] for one in tools}
            assert all(one["hashes"] for one in tools)
