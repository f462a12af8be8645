import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheelworks.core.archive import Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign.site_packages import LIMITS, split_binaries, unpack_wheel

from tests.wheelworks.foreign.made import WheelMaker, record_row

CALLS = b"\x7fELF\0PyModuleDef_Init\0"
GOOD = {"demo/__init__.py": b"", "demo/_c.abi3.so": b"\x7fELF", "demo-1.0.dist-info/METADATA": b"Name: demo"}


def test_unpacking_gives_the_files(make_wheel: WheelMaker, tmp_path: Path) -> None:
    files = unpack(make_wheel({**GOOD, "demo-1.0.data/platlib/demo/_d.so": b"d"}), tmp_path / "site")
    assert files == sorted([*GOOD, "demo-1.0.dist-info/RECORD", "demo/_d.so"])
    assert (tmp_path / "site/demo/_c.abi3.so").read_bytes() == b"\x7fELF"


def test_native_files_can_stay_out(make_wheel: WheelMaker, tmp_path: Path) -> None:
    files = unpack(make_wheel(GOOD), tmp_path / "site", native=False)
    assert "demo/_c.abi3.so" not in files and "demo/__init__.py" in files


def test_scripts_and_data_are_not_installed(make_wheel: WheelMaker, tmp_path: Path) -> None:
    files = unpack(
        make_wheel({**GOOD, "demo-1.0.data/scripts/run": b"#!", "demo-1.0.data/data/x": b""}), tmp_path / "s"
    )
    assert not [name for name in files if "run" in name or name.endswith("x")]


def unpack(wheel: Path, folder: Path, *, native: bool = True, limits: Limits = LIMITS) -> list[str]:
    return unpack_wheel(open_wheel(wheel, limits), folder, native=native)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "a\\..\\outside"])
def test_a_path_out_of_the_folder_is_refused(name: str, make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="would be written outside its folder"):
        unpack(make_wheel({**GOOD, name: b"x"}), tmp_path / "site/deep")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("record", "finding"),
    [
        (record_row("demo/__init__.py", b"other"), "demo/__init__.py is not in RECORD with its SHA-256 hash"),
        ("demo/__init__.py,,", "demo/__init__.py is not in RECORD with its SHA-256 hash"),
        ("", "is not in RECORD"),
    ],
    ids=["wrong", "without hash", "empty"],
)
def test_what_record_does_not_confirm_is_refused(
    record: str, finding: str, make_wheel: WheelMaker, tmp_path: Path
) -> None:
    with pytest.raises(WheelworksError, match=finding):
        unpack(make_wheel({"demo/__init__.py": b""}, record=record), tmp_path / "site")


def test_no_record(make_wheel: WheelMaker, tmp_path: Path) -> None:
    wheel = make_wheel({})
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo/__init__.py", b"")
    with pytest.raises(WheelworksError, match=r"one \.dist-info folder, this one has 0"):
        unpack(wheel, tmp_path / "site")


def test_a_bomb_is_refused_before_it_is_unpacked(make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="holds more than 1 MiB"):
        unpack(make_wheel({"big": bytes(2 << 20)}), tmp_path / "site", limits=Limits(size=1 << 20))
    with pytest.raises(WheelworksError, match="or 2 files"):
        unpack(make_wheel(GOOD), tmp_path / "site", limits=Limits(members=2))


@pytest.mark.parametrize(
    ("path", "data", "modules", "libraries"),
    [
        ("demo/_c.abi3.so", CALLS + b"PyInit__c\0", ["demo._c"], []),
        ("demo/_c.cpython-313-aarch64-linux-gnu.so", CALLS + b"PyModExport__c\0", ["demo._c"], []),
        ("demo/süß.abi3.so", CALLS + b"PyInitU_s_qfa0g\0", ["demo.süß"], []),
        ("demo/süß.abi3.so", b"\x7fELF\0PyModExportU_s_qfa0g\0", [], ["demo/süß.abi3.so"]),
        ("demo/süß.abi3.so", CALLS + "PyInit_süß\0".encode(), [], ["demo/süß.abi3.so"]),
        ("demo/raw.abi3.so", CALLS + b"PyInit_other\0", [], ["demo/raw.abi3.so"]),
        ("demo/idle.abi3.so", b"\x7fELF\0PyInit_idle\0", [], ["demo/idle.abi3.so"]),
        ("demo/libx.so", b"\x7fELF", [], ["demo/libx.so"]),
        ("81d243__mypyc.so", CALLS + b"PyInit_81d243__mypyc\0", [], []),
        ("demo/data.txt", b"PyInit_data\0", [], []),
    ],
)
def test_modules_have_the_entry_point_of_their_name(
    path: str, data: bytes, modules: list[str], libraries: list[str]
) -> None:
    assert split_binaries({path: data}) == (modules, libraries)


def test_a_file_twice(make_wheel: WheelMaker, tmp_path: Path) -> None:
    wheel = make_wheel(GOOD)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("demo/__init__.py", b"")
    with pytest.raises(WheelworksError, match="two files with the same name"):
        unpack(wheel, tmp_path / "site")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_ends_in_words(data: st.DataObject, make_wheel: WheelMaker, tmp_path: Path) -> None:
    """A truncated or changed wheel is unpacked or rejected with its name, and leaves no temporary files."""
    wheel = make_wheel(GOOD)
    content = bytearray(wheel.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] = data.draw(st.integers(0, 255))
    wheel.write_bytes(content)
    try:
        unpack(wheel, tmp_path / "site")
    except WheelworksError as error:
        told = error.message
    else:
        told = wheel.name
    assert wheel.name in told
    assert not [path for path in tmp_path.iterdir() if path not in (wheel, tmp_path / "site")]
