"""The manifest: what is kept of an earlier build, and that it is written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError

SOURCE = {"name": "x", "epoch": 5}
TOOLS = {"ziglang": "1"}


def wheel(file: str, text: str = "") -> dict[str, Any]:
    return {"file": file, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def test_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    record = manifest.merge(None, SOURCE, TOOLS, [wheel("ü.whl")])
    assert manifest.save(record, tmp_path) == tmp_path / "manifest.json"
    assert manifest.load(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    if os.name == "posix":
        assert (tmp_path / "manifest.json").stat().st_mode & 0o777 == 0o644


def test_no_manifest_is_none(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) is None


def test_the_same_source_and_tools_add_to_it() -> None:
    old = manifest.merge(None, SOURCE, TOOLS, [wheel("b.whl"), wheel("a.whl", "old")])
    merged = manifest.merge(old, SOURCE, TOOLS, [wheel("c.whl"), wheel("a.whl", "new")])
    assert merged["wheels"] == [wheel("a.whl", "new"), wheel("b.whl"), wheel("c.whl")]


def test_what_was_found_out_goes_with_the_bytes() -> None:
    old = manifest.merge(None, SOURCE, TOOLS, [{**wheel("same.whl"), "runs": [1]}, {**wheel("new.whl"), "runs": [1]}])
    same, new = wheel("same.whl"), wheel("new.whl", "other bytes")
    assert manifest.merge(old, SOURCE, TOOLS, [same, new])["wheels"] == [new, {**same, "runs": [1]}]


@pytest.mark.parametrize(("source", "tools"), [({**SOURCE, "epoch": 6}, TOOLS), (SOURCE, {"ziglang": "2"})])
def test_another_source_or_tool_begins_anew(source: dict[str, Any], tools: dict[str, Any]) -> None:
    old = manifest.merge(None, SOURCE, TOOLS, [wheel("a.whl")])
    assert manifest.merge(old, source, tools, [wheel("b.whl")])["wheels"] == [wheel("b.whl")]


def test_wheels_that_are_gone_or_changed_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "same.whl").write_text("same")
    (tmp_path / "changed.whl").write_text("changed")
    wheels = [wheel("same.whl", "same"), wheel("changed.whl", "before"), wheel("gone.whl")]
    kept = manifest.existing(manifest.merge(None, SOURCE, TOOLS, wheels), tmp_path)
    assert kept["wheels"] == [wheel("same.whl", "same")]


GOOD = {"schema": 1, "source": SOURCE, "toolchain": TOOLS, "wheels": [{"file": "a.whl", "sha256": ""}]}
BUILT = {"file": "a.whl", "sha256": "", "inputs": {}, "targets": [], "abi": "cp311-abi3"}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": 1, "wheels": []}'])
def test_what_is_no_manifest_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)


@pytest.mark.parametrize("wheels", [[], GOOD["wheels"], [BUILT]])
def test_what_its_readers_need_is_enough(wheels: list[Any], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**GOOD, "wheels": wheels}))
    assert manifest.load(tmp_path) == {**GOOD, "wheels": wheels}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("schema", 0), ("schema", None), ("source", None), ("source", {}), ("source", []), ("source", {"epoch": "now"}),
        ("toolchain", None), ("toolchain", []), ("wheels", None), ("wheels", {}), ("wheels", 1), ("wheels", [1]),
        ("wheels", [{"file": "a.whl"}]), ("wheels", [{"file": 1, "sha256": ""}]), ("wheels", [{**BUILT, "inputs": 1}]),
        ("wheels", [{**BUILT, "targets": None}]), ("wheels", [{key: BUILT[key] for key in BUILT if key != "abi"}]),
    ],
)  # fmt: skip
def test_a_part_that_its_readers_could_not_use_is_told(part: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**GOOD, part: value}))
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({key: GOOD[key] for key in GOOD if key != part}))
    with pytest.raises(WheelworksError, match=f"no manifest of this version: '{part}'"):
        manifest.load(tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b'{"schema": 1, "wheels": [1]}'])
def test_hostile_manifests_are_told(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = manifest.write(tmp_path / "x", b"old")

    def full(source: str, destination: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        manifest.write(place, b"new")
    assert place.read_bytes() == b"old" and list(tmp_path.iterdir()) == [place]


def test_what_a_killed_write_has_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (".sums.ab_12cd3", "sums", ".sums.keep", ".others.ab_12cd3", ".sums.AB12CD34"):
        (tmp_path / name).touch()
    manifest.sweep(tmp_path, ["sums", "more"])
    assert {path.name for path in tmp_path.iterdir()} == {"sums", ".sums.keep", ".others.ab_12cd3", ".sums.AB12CD34"}
