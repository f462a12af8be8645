"""Test the manifest: what it keeps of an earlier build, and that it is written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import FailureRecord, Source, Toolchain

from tests.fixtures.schemas import jsonschema
from tests.wheelworks.manifests import run, source
from tests.wheelworks.manifests import wheel as wheel_record
from tests.wheelworks.report.manifests import SAMPLE

SOURCE = source()
TOOLS = Toolchain(ziglang="1")


def wheel(file: str, text: str = "", **more: Any) -> manifest.WheelRecord:
    return wheel_record(file, sha256=hashlib.sha256(text.encode()).hexdigest(), **more)


def test_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    record = manifest.merge(None, SOURCE, TOOLS, [wheel("ü.whl")])
    assert manifest.save(record, tmp_path) == tmp_path / "manifest.json"
    assert manifest.load(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    if os.name == "posix":
        assert (tmp_path / "manifest.json").stat().st_mode & 0o777 == 0o644


def test_the_file_is_sorted_and_indented(tmp_path: Path) -> None:
    data = manifest.save(SAMPLE, tmp_path).read_text(encoding="utf-8")
    assert data == json.dumps(json.loads(data), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_file_is_what_the_schema_says(tmp_path: Path) -> None:
    found = json.loads(manifest.save(SAMPLE, tmp_path).read_text(encoding="utf-8"))
    jsonschema.validate(found, manifest.generate_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "surprise": 1}, manifest.generate_schema())


def test_no_manifest_is_none(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) is None


def test_the_same_source_and_tools_add_to_it() -> None:
    old = manifest.merge(None, SOURCE, TOOLS, [wheel("b.whl"), wheel("a.whl", "old")])
    merged = manifest.merge(old, SOURCE, TOOLS, [wheel("c.whl"), wheel("a.whl", "new")])
    assert merged.wheels == [wheel("a.whl", "new"), wheel("b.whl"), wheel("c.whl")]


def test_what_was_found_out_goes_with_the_bytes() -> None:
    runs = [run("passed")]
    old = manifest.merge(None, SOURCE, TOOLS, [wheel("same.whl", runs=runs), wheel("new.whl", runs=runs)])
    new = wheel("new.whl", "other bytes")
    assert manifest.merge(old, SOURCE, TOOLS, [wheel("same.whl"), new]).wheels == [new, wheel("same.whl", runs=runs)]


@pytest.mark.parametrize(("other", "tools"), [(source(epoch=6), TOOLS), (SOURCE, Toolchain(ziglang="2"))])
def test_another_source_or_tool_begins_anew(other: Source, tools: Toolchain) -> None:
    old = manifest.merge(None, SOURCE, TOOLS, [wheel("a.whl")])
    assert manifest.merge(old, other, tools, [wheel("b.whl")]).wheels == [wheel("b.whl")]


def test_wheels_that_are_gone_or_changed_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "same.whl").write_text("same")
    (tmp_path / "changed.whl").write_text("changed")
    wheels = [wheel("same.whl", "same"), wheel("changed.whl", "before"), wheel("gone.whl")]
    kept = manifest.drop_changed(manifest.merge(None, SOURCE, TOOLS, wheels), tmp_path)
    assert kept.wheels == [wheel("same.whl", "same")]


def test_a_failed_build_is_kept_until_it_is_tried_again() -> None:
    failed = [FailureRecord(targets=["win32"], abi=abi, error="e", hint="h") for abi in ("cp311-abi3", "cp312-cp312")]
    old = manifest.merge(None, SOURCE, TOOLS, [], failed)
    assert manifest.merge(old, SOURCE, TOOLS, [], tried={("win32", "cp311-abi3")}).failures == failed[1:]
    assert manifest.merge(old, SOURCE, TOOLS, [], tried={("win_arm64", "cp311-abi3")}).failures == failed
    assert manifest.merge(old, msgspec.structs.replace(SOURCE, epoch=6), TOOLS, []).failures == []


GOOD: dict[str, Any] = msgspec.to_builtins(manifest.merge(None, SOURCE, TOOLS, [wheel("a.whl")]))
WHEEL: dict[str, Any] = {**GOOD["wheels"][0], "fingerprint": {"recipe_sha256": ""}}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": 2, "wheels": []}'])
def test_what_is_no_manifest_is_reported(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_another_version_is_refused(version: int, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**GOOD, "schema": version}))
    with pytest.raises(
        WheelworksError, match=f"no manifest of this version: it has version {version}, not 2"
    ) as raised:
        manifest.load(tmp_path)
    assert "nox -s build-wheels" in raised.value.hint


@pytest.mark.parametrize("wheels", [[], GOOD["wheels"], [WHEEL]])
def test_the_required_fields_are_enough(wheels: list[Any], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**GOOD, "wheels": wheels}))
    found = manifest.load(tmp_path)
    assert found and [one.file for one in found.wheels] == [one["file"] for one in wheels]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("schema", 0), ("schema", None), ("source", None), ("source", {}), ("source", []),
        ("source", {**GOOD["source"], "epoch": "now"}), ("toolchain", None), ("toolchain", []), ("wheels", None),
        ("wheels", {}), ("wheels", 1), ("wheels", [1]), ("wheels", [{"file": "a.whl"}]),
        ("wheels", [{**WHEEL, "file": 1}]),
        ("wheels", [{**WHEEL, "sha256": ""}]), ("wheels", [{**WHEEL, "fingerprint": 1}]),
        ("wheels", [{**WHEEL, "more": 1}]),
        ("wheels", [{**WHEEL, "targets": None}]), ("wheels", [{key: WHEEL[key] for key in WHEEL if key != "abi"}]),
        ("wheels", [{**WHEEL, "runs": [{"how": "x", "outcome": "ran"}]}]),
    ],
)  # fmt: skip
def test_a_part_that_its_readers_could_not_use_is_reported(part: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**GOOD, part: value}))
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({key: GOOD[key] for key in GOOD if key != part}))
    with pytest.raises(WheelworksError, match=f"no manifest of this version: .*field `{part}`"):
        manifest.load(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([*WHEEL, "audit", "runs", "reproduced", "builder"]), value=json_values)
def test_any_value_is_read_or_refused(key: str, value: object, tmp_path: Path) -> None:
    text = json.dumps({**GOOD, "wheels": [{**WHEEL, key: value}]})
    (tmp_path / "manifest.json").write_text(text)
    try:
        found = manifest.load(tmp_path)
    except WheelworksError:
        return
    jsonschema.validate(json.loads(text), manifest.generate_schema())
    assert found and len(found.wheels) == 1


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b'{"schema": 2, "wheels": [1]}'])
def test_hostile_manifests_are_reported(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(WheelworksError, match="no manifest of this version"):
        manifest.load(tmp_path)
