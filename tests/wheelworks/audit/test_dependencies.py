"""Test the audit of a wheel's dependencies."""

from __future__ import annotations

import pytest
from packaging.tags import Tag
from wheelworks.audit import dependencies
from wheelworks.audit.dependencies import Claim, Pin
from wheelworks.audit.findings import FileAudit
from wheelworks.core.tags import parse_platform


def claim(tag: str, python: tuple[int, int] = (3, 13), abi: str = "abi3") -> Claim:
    platform = parse_platform(tag)
    assert platform is not None
    return Claim(platform, python, abi)


@pytest.mark.parametrize(
    ("place", "wheel", "fits"),
    [
        (claim("win_arm64"), "py3-none-any", True),
        (claim("win_arm64"), "cp311-abi3-win_arm64", True),
        (claim("win_arm64"), "cp311-abi3-win_amd64", False),
        (claim("win_arm64"), "cp314-cp314-win_arm64", False),
        (claim("manylinux_2_17_aarch64"), "cp313-cp313-manylinux2014_aarch64", True),
        (claim("manylinux_2_17_aarch64"), "cp313-cp313-manylinux_2_28_aarch64", False),
        (claim("musllinux_1_2_x86_64"), "cp313-cp313-musllinux_1_1_x86_64", True),
        (claim("musllinux_1_2_x86_64"), "cp313-cp313-manylinux_2_17_x86_64", False),
        (claim("macosx_11_0_arm64"), "cp313-cp313-macosx_10_9_universal2", True),
        (claim("macosx_11_0_arm64"), "cp313-cp313-macosx_12_0_arm64", False),
        (claim("macosx_10_9_x86_64", (3, 9), "cp39"), "cp39-cp39-macosx_10_13_x86_64", False),
        (claim("macosx_10_9_x86_64", (3, 12), "cp312"), "cp312-cp312-macosx_10_13_x86_64", True),
        (claim("macosx_10_9_x86_64", (3, 16), "cp316"), "cp316-cp316-macosx_10_15_x86_64", True),
        (claim("win_amd64", (3, 14), "cp314t"), "cp311-abi3-win_amd64", False),
        (claim("win_amd64", (3, 14), "cp314t"), "cp314-cp314t-win_amd64", True),
    ],
)
def test_which_wheels_can_be_installed_where(place: Claim, wheel: str, *, fits: bool) -> None:
    assert (Tag(*wheel.split("-")) in place.tags()) is fits


def test_a_hole_is_a_place_without_a_wheel_where_the_marker_holds() -> None:
    places = [claim("win_arm64"), claim("win_amd64"), claim("macosx_11_0_arm64")]
    files = ["a-1.0-cp311-abi3-win_amd64.whl", "a-1.0.tar.gz"]
    assert dependencies._find_holes(Pin("a", "1.0"), files, places) == [places[0], places[2]]
    assert dependencies._find_holes(Pin("a", "1.0", 'sys_platform == "win32"'), files, places) == [places[0]]
    assert dependencies._find_holes(Pin("a", "1.0", 'platform_machine == "AMD64"'), files, places) == []


def test_wheels_without_dependencies_ask_nothing() -> None:
    report = FileAudit("a-1-py3-none-any.whl", (), ("b ; extra == 'test'",))
    assert list(dependencies.check_dependencies([report], offline=True)) == []


def test_an_ignored_option_is_reported() -> None:
    report = FileAudit("a-1-py3-none-any.whl", (), ("b>=1",))
    assert [one.code for one in dependencies.check_dependencies([report], offline=True)] == ["W503", "W504"]


@pytest.mark.integration
def test_tornado_has_a_wheel_wherever_we_claim_one() -> None:
    pythons = ((3, 11), (3, 14))
    report = FileAudit("x-1-cp311-abi3-win_arm64.whl", (), ("tornado==6.6.1",), (), pythons)
    found = [one.code for one in dependencies.check_dependencies([report], offline=False)]
    assert "W505" in found and not {"W501", "W503"} & set(found)


@pytest.mark.integration
def test_a_dependency_without_a_wheel_for_a_platform_is_a_hole() -> None:
    """greenlet 3.1.0 has no wheel for Windows on ARM64."""
    report = FileAudit("x-1-cp313-cp313-win_arm64.whl", (), ("greenlet==3.1.0",))
    found = {one.code: one for one in dependencies.check_dependencies([report], offline=False)}
    assert found["W501"].evidence == "no wheel for win_arm64 with Python 3.13"


@pytest.mark.integration
def test_an_index_that_has_no_such_thing_is_reported() -> None:
    report = FileAudit("x-1-cp313-cp313-win_arm64.whl", (), ("tornado==99",))
    assert [one.code for one in dependencies.check_dependencies([report], offline=False)] == ["W503"]


def test_what_pip_audit_says_becomes_findings() -> None:
    flaw = {"id": "PYSEC-1", "fix_versions": ["1.1"]}
    said = {"dependencies": [{"name": "a", "version": "1", "vulns": [flaw]}, {"name": "b", "skip_reason": "unknown"}]}
    found = [(one.code, one.member, one.evidence) for one in dependencies.parse_pip_audit(said)]
    assert found == [("W502", "a==1", "PYSEC-1, fixed in 1.1"), ("W504", "", "b: unknown")]


@pytest.mark.parametrize(
    ("text", "optional"),
    [
        ("setup(ext_modules=[Extension('a', ['a.c'], optional=os.environ.get('A') != '1')])", True),
        ("setup(ext_modules=[setuptools.Extension('a', ['a.c'], optional=True)])", True),
        ("setup(ext_modules=[Extension('a', ['a.c'], optional=False)])", False),
        ("setup(ext_modules=[Extension('a', ['a.c'], optional=True), Extension('b', ['b.c'])])", False),
        ("setup()", False),
        ("setup(", False),
        ("", False),
    ],
)
def test_whether_a_projects_c_is_optional(text: str, *, optional: bool) -> None:
    assert dependencies.has_optional_extensions(text) is optional


@pytest.mark.integration
def test_a_hole_that_an_sdist_with_optional_c_fills_is_no_warning() -> None:
    """Tornado 6.6.1 has no wheel for 32-bit ARM."""
    report = FileAudit("x-1-cp311-abi3-manylinux_2_17_armv7l.whl", (), ("tornado==6.6.1",))
    found = {one.code: one.evidence for one in dependencies.check_dependencies([report], offline=False)}
    assert found["W506"] == "no wheel for manylinux_2_17_armv7l with Python 3.11" and "W501" not in found
