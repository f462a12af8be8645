"""Test comparing the files of wheels: differences that affect users are found, and a builder's marks are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.compare.contents import compare_sets
from wheelworks.compare.pairs import WheelDifference
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures.wheels import METADATA, wheel


def codes(a: Path | list[Path], b: Path | list[Path], *, subset: bool = False) -> list[str]:
    first, second = ([one] if isinstance(one, Path) else one for one in (a, b))
    return [difference.code for difference in compare_sets(first, second, subset=subset)[1]]


def the_one(a: Path, b: Path) -> WheelDifference:
    (found,) = compare_sets([a], [b])[1]
    return found


def test_the_same_wheel_twice_has_no_difference(tmp_path: Path) -> None:
    assert codes(wheel(tmp_path / "a"), wheel(tmp_path / "b")) == []


def test_a_builders_own_marks_are_no_difference(tmp_path: Path) -> None:
    one = wheel(tmp_path / "a", "cp311-abi3-manylinux2014_x86_64.musllinux_1_2_x86_64", generator="one (1.0)")
    crlf = {"sample/__init__.py": b"x = 1\r\n", "sample-1.0.dist-info/sboms/builder.cdx.json": b"{}"}
    other = [
        wheel(tmp_path / "b", "cp311-abi3-manylinux1_x86_64.manylinux_2_28_x86_64", crlf, generator="another (2.0)"),
        wheel(tmp_path / "b", "cp311-abi3-musllinux_1_1_x86_64", {"sample-1.0.dist-info/DELVEWHEEL": b"1"}),
    ]
    assert codes(one, other) == []


def test_a_wheel_that_one_set_lacks(tmp_path: Path) -> None:
    both, alone = wheel(tmp_path), wheel(tmp_path, "cp311-abi3-win32")
    assert codes([both, alone], both) == ["missing-wheel"]
    assert codes([both, alone], both, subset=True) == []
    assert codes(both, [both, alone]) == ["extra-wheel"]
    assert codes(both, [both, alone], subset=True) == ["extra-wheel"]


def test_a_pure_wheel_may_stand_in_the_first_set_alone(tmp_path: Path) -> None:
    both, pure = wheel(tmp_path), wheel(tmp_path, "py3-none-any")
    assert codes([both, pure], both) == []
    assert codes(both, [both, pure]) == ["extra-wheel"]


def test_a_libc_that_one_set_lacks(tmp_path: Path) -> None:
    one = wheel(tmp_path, "cp311-abi3-manylinux2014_x86_64.musllinux_1_2_x86_64")
    assert codes(one, wheel(tmp_path, "cp311-abi3-manylinux2014_x86_64")) == ["missing-wheel"]


def test_two_wheels_for_one_place(tmp_path: Path) -> None:
    twice = [wheel(tmp_path, "cp311-abi3-manylinux2014_x86_64"), wheel(tmp_path, "cp311-abi3-manylinux_2_5_x86_64")]
    assert codes(twice[0], twice) == ["two-wheels"]


def test_another_release(tmp_path: Path) -> None:
    found = compare_sets([wheel(tmp_path)], [wheel(tmp_path, version="1.1")])[1]
    assert "version" in [difference.code for difference in found]


def test_another_project_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the first set is of sample, the second of sampler"):
        compare_sets([wheel(tmp_path)], [wheel(tmp_path, name="sampler")])


@pytest.mark.parametrize(
    ("tags", "floor"),
    [
        ("cp311-abi3-manylinux_2_28_x86_64", "glibc 2.28"),
        ("cp311-abi3-musllinux_1_3_x86_64", "musl 1.3"),
        ("cp311-abi3-macosx_12_0_x86_64", "macos 12.0"),
    ],
)
def test_a_later_system_than_promised(tags: str, floor: str, tmp_path: Path) -> None:
    low = tags.replace("_2_28_", "_2_17_").replace("_1_3_", "_1_2_").replace("_12_0_", "_10_9_")
    found = the_one(wheel(tmp_path, low), wheel(tmp_path, tags))
    assert found.code == "platform-floor" and f"installs from {floor} on" in found.text
    assert codes(wheel(tmp_path, tags), wheel(tmp_path, low)) == ["platform-floor"]


def test_files(tmp_path: Path) -> None:
    plain = wheel(tmp_path / "a")
    more = wheel(tmp_path / "b", files={"sample/more.py": b"", "sample.libs/libgcc.so.1": b"\x7fELF"})
    found = the_one(more, plain)
    assert found.code == "missing-file" and "sample.libs/libgcc.so.1, sample/more.py" in found.text
    assert codes(plain, more) == ["extra-file"]


def test_contents(tmp_path: Path) -> None:
    found = the_one(wheel(tmp_path / "a"), wheel(tmp_path / "b", files={"sample/__init__.py": b"x = 2\n"}))
    assert found.code == "contents" and "sample/__init__.py" in found.text


@pytest.mark.parametrize("changed", ["Requires-Dist: tornado>=6\n", "", "Requires-Dist: tornado>=6.5\nLicense: x\n"])
def test_metadata(changed: str, tmp_path: Path) -> None:
    text = METADATA.replace("Requires-Dist: tornado>=6.5\n", changed)
    assert set(codes(wheel(tmp_path / "a"), wheel(tmp_path / "b", metadata=text))) == {"metadata"}


def test_a_description_is_metadata_and_the_order_of_fields_is_not(tmp_path: Path) -> None:
    one = wheel(tmp_path / "a")
    assert set(codes(one, wheel(tmp_path / "b", metadata=METADATA + "More.\n"))) == {"metadata"}
    head, dist = METADATA.split("Requires-Dist: tornado>=6.5\n")
    assert codes(one, wheel(tmp_path / "c", metadata=f"Requires-Dist: tornado>=6.5\n{head}{dist}")) == []


def test_a_module_may_be_called_by_any_name_that_its_python_loads(tmp_path: Path) -> None:
    tags = "cp314-cp314t-manylinux_2_17_x86_64"
    tag = wheel(tmp_path / "a", tags, {"sample/_c.cpython-314t-x86_64-linux-gnu.so": b"no binary"})
    plain = wheel(tmp_path / "b", tags, {"sample/_c.so": b"no binary"})
    with pytest.raises(WheelworksError, match=r"_c\.cpython-314t-x86_64-linux-gnu\.so: no PE, ELF or Mach-O"):
        codes(tag, plain)  # the error shows that both files were taken for one module
    musl = wheel(tmp_path / "c", tags, {"sample/_c.cpython-314t-x86_64-linux-musl.so": b"no binary"})
    assert codes(plain, musl) == ["missing-file", "extra-file"]


def test_sets_that_have_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no platform and Python in common"):
        codes(wheel(tmp_path), wheel(tmp_path, "cp312-cp312-win32"))
