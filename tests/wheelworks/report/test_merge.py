"""Test ``report --merge``, which adds native runs of the same files on CI's machines to the release's page."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.cli import report
from wheelworks.core import manifest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.report import model

from tests.wheelworks.manifests import manifest_of, run, wheel

WINDOWS, LINUX = "a-1-cp311-abi3-win_arm64.whl", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"
HERE = "CPython {} here, with Tornado 6.6.1"
IN_CI = "CPython {} in CI, with Tornado 6.6.1"


def folder(place: Path, *wheels: WheelRecord) -> Path:
    place.mkdir(parents=True)
    manifest.save(manifest_of(*wheels), place)
    return place


def merged(dist: Path, machines: Path) -> dict[str, WheelRecord]:
    assert report.main([str(dist), "--merge", str(machines)]) == 0
    record = manifest.load(dist)
    assert record
    return {one.file: one for one in record.wheels}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    return folder(tmp_path / "dist", wheel(LINUX, runs=[run("passed")]), wheel(WINDOWS))


def test_native_runs_of_the_same_files_are_added(dist: Path, tmp_path: Path) -> None:
    one, two = run("passed", HERE.format("3.13.1")), run("failed", HERE.format("3.11.7"))
    folder(tmp_path / "ci/native-0", wheel(LINUX, runs=[run("passed"), one]), wheel(WINDOWS))
    folder(tmp_path / "ci/native-1", wheel(LINUX, runs=[run("passed"), two]), wheel(WINDOWS, runs=[one]))
    for _ in ("once", "and again, which changes nothing"):
        found = merged(dist, tmp_path / "ci")
        hows = [(each.how, each.outcome) for each in found[LINUX].runs]
        assert hows[1:] == [(IN_CI.format("3.13.1"), "passed"), (IN_CI.format("3.11.7"), "failed")]
        assert [each.how for each in found[WINDOWS].runs] == [IN_CI.format("3.13.1")]
    assert model.find_execution(found[WINDOWS]).text == "natively in CI, 98 checks"
    assert "natively in CI" in (dist / "report.html").read_text(encoding="utf-8")


def test_another_file_is_reported_and_left_out(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "ci/native-0", wheel(WINDOWS, sha256="cd" * 32, runs=[run("passed", HERE.format("3.13.1"))]))
    assert merged(dist, tmp_path / "ci")[WINDOWS].runs == []
    said = " ".join(capsys.readouterr().err.split())
    assert f"{WINDOWS}: its native runs are left out: they are those of another file" in said


@pytest.mark.parametrize("runs", ["none", ["one"], [{"how": [" here, with Tornado"]}], [{}], None])
def test_runs_of_another_shape_are_refused(runs: object, dist: Path, tmp_path: Path) -> None:
    folder(tmp_path / "ci/native-0", wheel(WINDOWS, runs=runs))
    with pytest.raises(WheelworksError, match=r"no manifest of this version: .* at `\$\.wheels\[0\]\.runs"):
        merged(dist, tmp_path / "ci")


def test_a_folder_without_manifests_is_wrong_use(dist: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .* below it"):
        merged(dist, tmp_path / "nothing")
