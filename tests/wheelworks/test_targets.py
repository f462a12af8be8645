"""The target table and its reader: each way in which a table can be wrong is found."""

from __future__ import annotations

import re

import pytest
from packaging.utils import parse_wheel_filename
from wheelworks import targets
from wheelworks.errors import UsageError, WheelworksError

ROW = """\
[[target]]
id = "one"
os = "linux"
cpu = "aarch64"
tags = ["one"]
compiler = "aarch64-linux-musl"
minimum = "1.2"
platform = "linux-aarch64"
machine = "aarch64"
run = []
runner = "x"
"""


def test_a_row_is_read() -> None:
    (target,) = targets.parse(ROW)
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
        targets.parse(text)


@pytest.mark.parametrize("target", targets.all_targets(), ids=lambda target: target.id)
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
    assert {target.os for target in targets.with_cpu("aarch64")} == {"windows", "macos", "linux"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("win_arm46", "win_arm64"), ("macos_arm64", "macosx_11_0_arm64"), ("musllinux_aarch64", "musllinux_1_2_aarch64")],
)
def test_an_unknown_target_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"unknown target '{typed}': did you mean {meant}?") as caught:
        targets.find(typed)
    assert all(target.id in caught.value.hint for target in targets.all_targets())
    assert caught.value.exit_code == 2


def test_nothing_near_suggests_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        targets.find("zzz")
    assert "did you mean" not in caught.value.message


def test_a_target_is_found_by_any_of_its_tags() -> None:
    assert targets.find("manylinux2014_aarch64").id == "manylinux_2_17_aarch64"


def test_selection_is_in_the_tables_order_and_once() -> None:
    ids = [target.id for target in targets.all_targets()]
    assert [target.id for target in targets.select([*reversed(ids), *ids])] == ids


def test_a_family_shares_system_and_cpu() -> None:
    family = targets.family_of(targets.find("musllinux_1_2_aarch64"))
    assert [target.id for target in family] == ["manylinux_2_17_aarch64", "musllinux_1_2_aarch64"]
