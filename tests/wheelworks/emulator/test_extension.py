"""Finding the extension in a wheel that may be damaged or hostile."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.image import MAX_FILE
from wheelworks.emulator import load
from wheelworks.emulator.extension import choose_extension, read_extensions

NAME = "x-1-cp311-abi3-win_arm64.whl"
METADATA = "Wheel-Version: 1.0\nTag: cp311-abi3-win_arm64\n"


def make(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("x-1.dist-info/WHEEL", METADATA)
        for name, content in members.items():
            wheel.writestr(name.replace("__", "."), content)
    return path


def test_the_extension_comes_with_its_module_name_and_the_wheels_tags(tmp_path: Path) -> None:
    (found,) = read_extensions(make(tmp_path / NAME, x__abi3__so=b"code"))
    assert (found.module, found.data, found.tags) == ("x", b"code", ("cp311-abi3-win_arm64",))


def test_a_wheel_without_extension(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no extension module in it"):
        load(make(tmp_path / NAME, x__py=b""))


def test_several_extensions_need_a_choice(tmp_path: Path) -> None:
    path = make(tmp_path / NAME, a__pyd=b"1", b__pyd=b"2")
    with pytest.raises(UsageError, match=r"several extension modules: a\.pyd, b\.pyd"):
        choose_extension(read_extensions(path), None, path)
    assert choose_extension(read_extensions(path), "b", path).data == b"2"
    with pytest.raises(WheelworksError, match="no extension module 'c'"):
        choose_extension(read_extensions(path), "c", path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_wheel(tmp_path: Path, part: float) -> None:
    path = make(tmp_path / NAME, x__pyd=bytes(range(256)) * 64)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(WheelworksError, match="damaged, or not a wheel"):
        load(path)


def test_a_member_larger_than_any_extension_is_not_unpacked(tmp_path: Path) -> None:
    path = make(tmp_path / NAME, x__pyd=bytes(MAX_FILE + 1))
    with pytest.raises(WheelworksError, match="holds more than 64 MiB"):
        load(path)


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = make(tmp_path / NAME, x__pyd=b"MZ" + bytes(1000))
    content = path.read_bytes()
    real = struct.pack("<I", 1002)
    path.write_bytes(content.replace(real, struct.pack("<I", 0xFFFFFFF0)))
    with pytest.raises(WheelworksError):
        load(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.whl")
    with pytest.raises(UsageError, match="is a directory"):
        load(tmp_path)


@given(st.data())
def test_damage_anywhere_in_a_wheel_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = make(tmp_path_factory.mktemp("wheel") / NAME, x__pyd=bytes(range(256)) * 4)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with pytest.raises(WheelworksError):
        load(path)
