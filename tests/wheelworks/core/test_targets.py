"""Test the target table and its reader: invalid tables are rejected, and the table gives the exact list of wheels."""

from __future__ import annotations

import re

import pytest
from packaging.utils import parse_wheel_filename
from wheelworks.core import targets
from wheelworks.core.errors import UsageError, WheelworksError

ROW = """\
[[target]]
id = "one"
os = "linux"
cpu = "aarch64"
tags = ["one"]
compiler = "aarch64-linux-musl"
model = "baseline"
minimum = "1.2"
platform = "linux-aarch64"
machine = "aarch64"
run = []
runner = "x"
"""


def test_a_row_is_read() -> None:
    (target,) = targets.parse_targets(ROW)
    assert (target.id, target.tags, target.family) == ("one", ("one",), ("linux", "aarch64"))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "not a target table"),
        ("[[target", "not a target table"),
        (ROW.replace('cpu = "aarch64"\n', ""), "one: missing or unknown: cpu"),
        (ROW + 'colour = "red"\n', "one: missing or unknown: colour"),
        (ROW.replace('id = "one"\n', ""), r"\(a row without id\): missing or unknown: id"),
        (ROW.replace('tags = ["one"]', 'tags = "one"'), "one: tags must be a tuple"),
        (ROW.replace('minimum = "1.2"', "minimum = 1.2"), "one: minimum must be a str"),
        (ROW + ROW, "an id is used twice: one, one"),
        ('target = "one"', "not a target table"),
        ("target = [1]", "not a target table"),
        (ROW.replace('tags = ["one"]', "tags = [1]"), "one: tags must be"),
        (ROW.replace('tags = ["one"]', "tags = []"), "one: tags must name one"),
    ],
)
def test_a_wrong_table_is_refused(text: str, finding: str) -> None:
    with pytest.raises(WheelworksError, match=finding):
        targets.parse_targets(text)


ABI = """\
[[abi]]
id = "cp311-abi3"
specific = "cp311-cp311"
python = "3.11"
free_threaded = false
macos = "10.9"
"""


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (ROW, "not a target table"),
        (ABI.replace("false", '"no"'), "cp311-abi3: free_threaded must be a bool"),
        (ABI.replace('"3.11"', "3.11"), "cp311-abi3: python must be a str"),
        (ABI.replace('python = "3.11"\n', ""), "cp311-abi3: missing or unknown: python"),
        (ABI + ABI, "an id is used twice: cp311-abi3, cp311-abi3"),
    ],
)
def test_a_wrong_abi_is_refused(text: str, finding: str) -> None:
    with pytest.raises(WheelworksError, match=finding):
        targets.parse_abis(text)


@pytest.mark.parametrize("abi", targets.load_abis(), ids=lambda abi: abi.id)
def test_an_abi_agrees_with_itself(abi: targets.Abi) -> None:
    version = abi.python.replace(".", "")
    assert abi.specific == f"cp{version}-cp{abi.nodot}"
    assert abi.nodot == version + "t" * abi.free_threaded
    assert abi.id.startswith(f"cp{version}-")
    parse_wheel_filename(f"x-1-{abi.id}-any.whl")
    assert abi.accepts(abi.id) and abi.accepts(abi.specific)


@pytest.mark.parametrize(
    ("abi", "made", "right"),
    [
        ("cp311-abi3", "cp38-abi3", True),
        ("cp311-abi3", "cp312-abi3", False),
        ("cp311-abi3", "cp311-abi3.abi3t", False),
        ("cp311-abi3", "py3-none", False),
        ("cp314-cp314t", "cp314-cp314", False),
        ("cp314-cp314t", "cp311-abi3", False),
        ("cp314-cp314t", "cp313-cp314t", False),
        ("cp315-abi3.abi3t", "cp315-abi3", False),
        ("cp315-abi3.abi3t", "cp315-cp315", False),
        ("cp315-abi3.abi3t", "cp3x-abi3.abi3t", False),
        ("cp315-abi3.abi3t", "cp316-abi3.abi3t", False),
        ("cp312-cp312", "cp312-cp312", True),
        ("cp312-cp312", "cp312-abi3", True),
        ("cp312-cp312", "cp313-abi3", False),
        ("cp312-cp312", "cp311-cp311", False),
        ("cp315-cp315", "cp315-abi3.abi3t", True),
        ("cp314-cp314", "cp314-cp314t", False),
    ],
)
def test_what_a_project_may_build_for_an_abi(abi: str, made: str, right: bool) -> None:
    assert targets.find_abi(abi).accepts(made) is right


def test_builds_run_on_one_python() -> None:
    assert targets.get_build_abi().id == "cp311-abi3"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((f"cp{python}", f"cp{python}-cp{python}") for python in range(310, 316)),
        ("cp314t", "cp314-cp314t"),
        ("cp315t", "cp315-cp315t"),
        ("cp314-cp314t", "cp314-cp314t"),
        ("cp315-cp315t", "cp315-cp315t"),
        ("cp311-abi3", "cp311-cp311"),
        ("cp313-abi3", "cp313-cp313"),
        ("cp315-abi3.abi3t", "cp315-cp315t"),
        ("abi3t", "cp315-cp315t"),
        ("abi3", "cp311-cp311"),
    ],
)
def test_an_abi_is_found_by_what_its_wheels_are_called(typed: str, meant: str) -> None:
    assert targets.find_abi(typed).specific == meant


@pytest.mark.parametrize(
    ("target", "minimum", "tag", "compiler"),
    [
        ("macosx_10_9_x86_64", "10.13", "macosx_10_13_x86_64", "x86_64-macos.10.13"),
        ("macosx_10_9_x86_64", "12.3", "macosx_12_0_x86_64", "x86_64-macos.12.0"),
        ("macosx_10_9_x86_64", "10.4", "macosx_10_9_x86_64", "x86_64-macos.10.9"),
        ("macosx_11_0_arm64", "10.15", "macosx_11_0_arm64", "aarch64-macos.11.0"),
        ("win32", "10.15", "win32", "x86-windows-gnu"),
    ],
)
def test_a_later_macos_may_be_needed(target: str, minimum: str, tag: str, compiler: str) -> None:
    row = targets.find_target(target)
    found = targets.raise_macos_minimum(row, minimum)
    assert (found.id, found.tags, found.compiler) == (row.id, (tag,), compiler)
    assert found.platform.replace("-", "_").replace(".", "_") in (tag, row.platform.replace("-", "_"))


def test_an_unknown_abi_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown ABI 'cp311-abi4': did you mean cp311-abi3\?") as caught:
        targets.find_abi("cp311-abi4")
    assert all(abi.id in caught.value.hint for abi in targets.load_abis())


@pytest.mark.parametrize("target", targets.load_targets(), ids=lambda target: target.id)
def test_a_row_agrees_with_itself(target: targets.Target) -> None:
    assert target.tags[0] == target.id
    assert target.compiler.startswith(f"{target.cpu}-{target.os}")
    assert re.search(r"\d", target.minimum)
    for tag in target.tags:
        parse_wheel_filename(f"x-1-py3-none-{tag}.whl")
        assert tag.endswith(target.platform.rsplit("-", 1)[-1])
        if target.os != "windows" and not tag.startswith("manylinux2014"):
            assert "_".join(target.minimum.split(".")) in tag, "the tag's version is the minimum"


def test_the_arm64_rows_are_the_three_platforms() -> None:
    assert {target.os for target in targets.filter_targets_by_cpu("aarch64")} == {"windows", "macos", "linux"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("win_arm46", "win_arm64"), ("macos_arm64", "macosx_11_0_arm64"), ("musllinux_aarch64", "musllinux_1_2_aarch64")],
)
def test_an_unknown_target_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"unknown target '{typed}': did you mean {meant}?") as caught:
        targets.find_target(typed)
    assert all(target.id in caught.value.hint for target in targets.load_targets())
    assert caught.value.exit_code == 2


def test_nothing_near_suggests_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        targets.find_target("zzz")
    assert "did you mean" not in caught.value.message


def test_a_target_is_found_by_any_of_its_tags() -> None:
    assert targets.find_target("manylinux2014_aarch64").id == "manylinux_2_17_aarch64"


def test_selection_is_in_the_tables_order_and_once() -> None:
    ids = [target.id for target in targets.load_targets()]
    assert [target.id for target in targets.select_targets([*reversed(ids), *ids])] == ids


def test_a_family_shares_system_and_cpu() -> None:
    family = targets.find_family(targets.find_target("musllinux_1_2_aarch64"))
    assert [target.id for target in family] == ["manylinux_2_17_aarch64", "musllinux_1_2_aarch64"]


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", "manylinux_2_17_x86_64"),
        ("linux", "riscv64", "manylinux_2_31_riscv64"),
        ("darwin", "arm64", "macosx_11_0_arm64"),
        ("win32", "ARM64", "win_arm64"),
        ("win32", "AMD64", "win_amd64"),
        ("freebsd14", "amd64", None),
        ("linux", "loongarch64", None),
    ],
)
def test_a_machine_is_its_row(system: str, machine: str, expected: str | None) -> None:
    found = targets.find_host_target(system, machine)
    assert (found.id if found else None) == expected


PLATFORMS = (
    "win_arm64",
    "macosx_11_0_arm64",
    "manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_2_aarch64",
    "manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_2_x86_64",
    "manylinux2014_i686.manylinux_2_17_i686.musllinux_1_2_i686",
    "manylinux2014_armv7l.manylinux_2_17_armv7l.musllinux_1_2_armv7l",
    "manylinux_2_19_ppc64le.musllinux_1_2_ppc64le",
    "manylinux2014_s390x.manylinux_2_17_s390x.musllinux_1_2_s390x",
    "manylinux_2_31_riscv64.musllinux_1_2_riscv64",
    "win_amd64",
    "win32",
    "macosx_10_9_x86_64",
)
ABIS = ("cp311-abi3", "cp314-cp314t", "cp315-abi3.abi3t")


def planned(*, pure: bool = True) -> tuple[targets.PlannedWheel, ...]:
    abis = [targets.find_abi(abi) for abi in ABIS]
    return targets.plan_wheels("x-1", targets.load_targets(), abis, pure=pure)


def test_a_release_is_these_wheels() -> None:
    expected = [f"x-1-{abi}-{platform}.whl" for abi in ABIS for platform in PLATFORMS]
    assert [one.name for one in planned()] == [*expected, "x-1-py3-none-any.whl"]
    assert [one.name for one in planned(pure=False)] == expected


@pytest.mark.parametrize("one", planned(), ids=lambda one: one.name)
def test_a_planned_wheel_agrees_with_its_name(one: targets.PlannedWheel) -> None:
    record = one.record()
    assert one.tags == parse_wheel_filename(one.name)[3]
    assert record["tags"] == sorted(map(str, one.tags))
    assert {platform for target in one.targets for platform in target.tags} == {
        tag.platform for tag in one.tags if tag.platform != "any"
    }
    assert len({target.family for target in one.targets}) == bool(one.abi)


def test_one_target_brings_its_family() -> None:
    musl = targets.find_target("musllinux_1_2_s390x")
    (one,) = targets.plan_wheels("x-1", [musl], [targets.get_build_abi()], pure=False)
    assert one.record()["targets"] == ["manylinux_2_17_s390x", "musllinux_1_2_s390x"]


def test_what_a_matrix_gets() -> None:
    (one,) = targets.plan_wheels("x-1", [targets.find_target("win32")], [targets.find_abi("cp314t")], pure=False)
    assert one.record() == {
        "name": "x-1-cp314-cp314t-win32.whl",
        "targets": ["win32"],
        "os": "windows",
        "cpu": "x86",
        "abi": "cp314-cp314t",
        "python": "3.14",
        "free_threaded": True,
        "tags": ["cp314-cp314t-win32"],
        "run": ["emulated"],
        "runner": "windows-2025",
    }


@pytest.mark.parametrize(
    ("name", "version", "stem"),
    [("Tornado.Speedups", "0.1", "tornado_speedups-0.1"), ("x--y", "01.0-RC1", "x_y-1.0rc1")],
)
def test_names_are_normalised(name: str, version: str, stem: str) -> None:
    assert targets.format_name_version(name, version) == stem
