"""The reproduce command: the possible values of SOURCE, the results in the manifest, and the error messages."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from wheelworks.cli import reproduce
from wheelworks.core import manifest
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import find_dist_info, read_members, replace_record
from wheelworks.release import steps
from wheelworks.release.steps import Release, ReleaseSubset
from wheelworks.reproduce import rebuild, source
from wheelworks.reproduce.rebuild import Selection
from wheelworks.reproduce.variations import VARIATIONS

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, wheelworks
from tests.fixtures.package import RELEASE_ABIS
from tests.wheelworks.manifests import manifest_of, wheel

ONE = ("--target", "win_arm64", "--abi", "cp311-abi3")
LITTLE = ("--vary", "umask", "--vary", "time zone")
PART = Selection(("win_arm64",), ("cp311-abi3",))
WHEEL = "sample-1.0-cp311-abi3-win_arm64.whl"
SDIST = "sample-1.0.tar.gz"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    """A folder with an sdist, a wheel and a manifest. Their project is next to it, in the folder ``sample``."""
    place = tmp_path_factory.mktemp("built")
    projects.committed(projects.sample(place / "sample"))
    words = ("build-wheels", "--no-run", place / "sample", "--out", place / "dist", *ONE)
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    return place / "dist"


@pytest.fixture
def dist(built: Path, tmp_path: Path) -> Path:
    """A copy of the built folder that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "dist"))


def entry(dist: Path) -> Any:
    (wheel,) = json.loads((dist / "manifest.json").read_text())["wheels"]
    return wheel["reproduced"]


@pytest.mark.integration
def test_a_folder_is_reproduced_from_its_sdist(dist: Path, wheelworks_cache: Path) -> None:
    ended = wheelworks("reproduce", dist, *LITTLE, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    assert "same bytes" in ended.out and "1 build" in ended.out
    assert entry(dist) == {"same": True, "varied": ["umask", "time zone"], "not_varied": {}, "differs_by": {}}


@pytest.mark.integration
def test_the_sdist_of_a_project_is_reproduced_as_well(built: Path, dist: Path, wheelworks_cache: Path) -> None:
    words = ("reproduce", dist, "--source", built.with_name("sample"), *LITTLE)
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    assert "sdist" in ended.out and "1 build" in ended.out
    renamed(dist / SDIST)
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 1 and "built differently" in ended.err
    assert f"  {SDIST}\n    the archive: archive's gzip system: 3 | 255" in ended.err
    assert WHEEL not in ended.err


def renamed(sdist: Path) -> None:
    """Change the operating system in the gzip header (RFC 1952)."""
    data = bytearray(sdist.read_bytes())
    data[9] = 3
    sdist.write_bytes(data)


def tampered(wheel: Path) -> None:
    members = read_members(wheel)
    info = find_dist_info(members, wheel.name)
    members[f"{info}/METADATA"] = Member(members[f"{info}/METADATA"].data + b"X-Mine: 1\n")
    wheel.write_bytes(build_archive(replace_record(members, info), 1_714_979_290))


@pytest.mark.integration
def test_a_differently_built_wheel_is_explained(dist: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    tampered(dist / WHEEL)
    (dist / "manifest.json").unlink()
    words = ("reproduce", dist / WHEEL, *LITTLE, "--keep", tmp_path / "kept")
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 1
    assert "built differently: rebuilds agree with each other" in ended.err
    assert "sample-1.0.dist-info/METADATA: line " in ended.err and r"'X-Mine: 1\n' | (absent)" in ended.err
    assert f"equal, {len(read_members(tmp_path / 'kept' / WHEEL)) - 2} files: sample-1.0.dist-info/WHEEL" in ended.err


@pytest.mark.integration
@pytest.mark.parametrize("there", [True, False])
def test_diffoscope_reports_if_it_is_installed(there: bool, dist: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    tampered(dist / WHEEL)
    (dist / "manifest.json").unlink()
    programs = os.pathsep.join([*([str(Path(sys.executable).parent)] if there else []), "/usr/bin", "/bin"])
    words = ("reproduce", dist / WHEEL, *LITTLE, "--keep", tmp_path / "kept")
    ended = wheelworks(*words, cache=wheelworks_cache, env={"PATH": programs})
    assert ended.status == 1 and ("diffoscope isn't installed" in ended.err) is not there
    report = tmp_path / "kept" / f"{WHEEL}.diffoscope.txt"
    assert report.is_file() is there
    if there:
        text = report.read_text()
        assert "sample-1.0.dist-info/METADATA" in text and "-X-Mine: 1" in text


@pytest.mark.integration
def test_other_tools_than_recorded_are_reported(dist: Path, wheelworks_cache: Path) -> None:
    record = json.loads((dist / "manifest.json").read_text())
    record["toolchain"]["ziglang"] = "0.1.0"
    (dist / "manifest.json").write_text(json.dumps(record))
    ended = wheelworks("reproduce", dist, *LITTLE, cache=wheelworks_cache)
    said = " ".join(ended.out.split())
    assert "ziglang: " in said and "where the record says 0.1.0" in said


@pytest.mark.integration
def test_the_provenance_of_an_earlier_commit_is_ignored(tmp_path: Path, wheelworks_cache: Path) -> None:
    """The wheel of the later commit must be built with that commit's timestamp."""
    project, dist = projects.committed(projects.sample(tmp_path / "sample")), tmp_path / "dist"
    epochs: list[int | None] = []
    for when in ("2024-05-06T07:08:10Z", "2025-05-06T07:08:10Z"):
        projects.committed(project, when)
        assert wheelworks("build-wheels", "--no-run", project, "--out", dist, *ONE, cache=wheelworks_cache).status == 0
        if not epochs:
            first = projects.git(project, "rev-parse", "HEAD")
            steps.record_provenance(Release(project, dist, "1.0", first, "sample-1.0", ReleaseSubset(PART)))
        epochs.append(source.resolve_folder(dist, None, Selection()).recipe.epoch)
    assert epochs == [1_714_979_290, 1_746_515_290]
    ended = wheelworks("reproduce", dist, "--vary", "umask", cache=wheelworks_cache)
    assert ended.status == 0, ended.err


@pytest.mark.integration
def test_two_clones_give_the_same_sdist_and_wheels(wheelworks_cache: Path) -> None:
    """Build every ABI for a target of each system."""
    words = [
        word for target in ("win_arm64", "macosx_11_0_arm64", "manylinux_2_17_aarch64") for word in ("--target", target)
    ]
    ended = wheelworks("reproduce", ROOT, *words, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    assert "sdist" in ended.out and ended.out.count("same bytes") == 1 + 3 * len(RELEASE_ABIS)
    assert all(one.name in " ".join(ended.out.split()) for one in VARIATIONS)


@pytest.mark.integration
def test_a_folder_and_its_sdist_give_the_same_wheel(dist: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    words = ("build-wheels", "--no-run", dist / "sample-1.0.tar.gz", "--out", tmp_path / "out", *ONE)
    assert wheelworks(*words, cache=wheelworks_cache).status == 0
    assert (tmp_path / "out" / WHEEL).read_bytes() == (dist / WHEEL).read_bytes()


def refusal(*words: object) -> str:
    with pytest.raises(UsageError) as raised:
        reproduce.main([str(word) for word in words])
    return raised.value.message


def test_missing_files_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing") == f"{tmp_path}/nothing: no such file or folder"
    assert refusal(tmp_path, "--source", tmp_path / "x.tar.gz").startswith("--source")
    assert refusal(tmp_path, "--provenance", tmp_path / "x.json").startswith("--provenance")
    assert refusal(ROOT, "--source", ROOT) == f"--source {ROOT}: {ROOT} holds no wheels to build from it"
    assert "neither pyproject.toml nor setup.py" in refusal(tmp_path)


def test_an_unknown_variation_target_or_abi_is_refused() -> None:
    assert refusal("--vary", "weather") == "--vary weather: unknown variation"
    assert "win_arm46" in refusal(ROOT, "--target", "win_arm46")
    assert "cp27" in refusal(ROOT, "--abi", "cp27")


def test_a_wheel_without_its_sdist_is_refused(tmp_path: Path) -> None:
    (tmp_path / WHEEL).touch()
    assert refusal(tmp_path / WHEEL) == f"{tmp_path}: there is no sample-1.0.tar.gz beside the wheels"
    (tmp_path / "sample-1.1.tar.gz").touch()
    assert "there is no sample-1.0.tar.gz" in refusal(tmp_path)


def test_a_wheel_without_a_target_is_refused(tmp_path: Path) -> None:
    for name in ("sample-1.0-cp27-cp27m-win32.whl", "sample-1.0-cp311-abi3-os400.whl"):
        (tmp_path / name).touch()
        (tmp_path / "sample-1.0.tar.gz").touch()
        assert f"no target here for {name}" in refusal(tmp_path / name)


def test_a_wheel_that_changed_since_its_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"other")
    (tmp_path / "sample-1.0.tar.gz").touch()
    manifest.save(manifest_of(wheel(WHEEL, sha256="0" * 64)), tmp_path)
    with pytest.raises(WheelworksError, match=r"doesn't have the hash that manifest\.json states"):
        source.resolve_folder(tmp_path, None, Selection())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_type": 1, "predicateType": 2}', "[" * 10_000])
def test_an_unreadable_provenance_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / WHEEL).touch()
    (tmp_path / "sample-1.0.tar.gz").touch()
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(WheelworksError, match="unreadable provenance"):
        source.resolve_folder(tmp_path, None, Selection())


def test_a_universal_wheel_is_for_both_macos_rows() -> None:
    rows = rebuild.find_wheel_targets("sample-1.0-cp311-abi3-macosx_10_9_universal2.whl")
    assert {row.cpu for row in rows} == {"aarch64", "x86_64"}


def test_the_selection_for_files_covers_them_and_no_others() -> None:
    chosen = rebuild.select_files([WHEEL, "sample-1.0.tar.gz"])
    assert list(chosen.format_options()) == ["--target", "win_arm64", "--abi", "cp311-abi3"]
    assert chosen.covers(WHEEL) and chosen.covers("sample-1.0.tar.gz")
    assert not chosen.covers(WHEEL.replace("arm64", "amd64")) and not chosen.covers("sample-1.0-py3-none-any.whl")
