"""Test ``python -m wheelworks audit`` as people and programs use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from wheelworks.core import index, manifest
from wheelworks.core.files import hash_file

from tests.fixtures.commands import wheelworks, wheelworks_here
from tests.wheelworks.audit import made
from tests.wheelworks.manifests import manifest_of, wheel


def test_a_good_wheel_passes(tmp_path: Path) -> None:
    ended = wheelworks("audit", made.wheel(tmp_path), cache=tmp_path)
    assert ended.status == 0 and "passed" in ended.out and "0 errors, 0 warnings" in ended.out


def test_an_error_fails_with_its_place_and_a_hint(tmp_path: Path) -> None:
    ended = wheelworks("audit", made.wheel(tmp_path, **{"sample/x.pyc": b""}), cache=tmp_path, env={"COLUMNS": "200"})
    assert ended.status == 1
    assert "error W013 bytecode" in ended.out and "sample/x.pyc" in ended.out and "Leave `__pycache__` out" in ended.out


@pytest.mark.integration
def test_a_warning_fails_only_when_one_is_strict(tmp_path: Path) -> None:
    path = made.wheel(tmp_path, **{"sample/.DS_Store": b""})
    assert wheelworks("audit", path, cache=tmp_path).status == 0
    assert wheelworks("audit", path, "--strict", cache=tmp_path).status == 1


@pytest.mark.integration
def test_json_and_sarif_hold_the_findings(tmp_path: Path) -> None:
    path = made.wheel(tmp_path, **{"sample/x.pyc": b""})
    found = json.loads(wheelworks("audit", path, "--json", cache=tmp_path).out)
    [wheel] = found["wheels"]
    assert wheel["checks"]["archive"] == "error" and wheel["findings"][0]["code"] == "W013"
    sarif = json.loads(wheelworks("audit", path, "--sarif", cache=tmp_path).out)
    [run] = sarif["runs"]
    [result] = run["results"]
    assert sarif["version"] == "2.1.0" and result["level"] == "error"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "W013"


@pytest.mark.integration
def test_a_folders_manifest_is_reported(tmp_path: Path) -> None:
    path = made.wheel(tmp_path, **{"sample/x.pyc": b""})
    manifest.save(manifest_of(wheel(path.name, sha256=hash_file(path), targets=["any"])), tmp_path)
    assert wheelworks("audit", tmp_path, cache=tmp_path / "cache").status == 1
    after = manifest.load(tmp_path)
    assert after is not None
    [found] = after.wheels
    assert found.targets == ["any"] and found.audit and found.audit.checks["archive"] == "error"
    assert [one.code for one in found.audit.findings] == ["W013"]


def test_an_incomplete_manifest_of_a_folder_is_reported(tmp_path: Path) -> None:
    made.wheel(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": 2, "wheels": []}')
    ended = wheelworks("audit", tmp_path, cache=tmp_path / "cache")
    assert ended.status == 1 and "no manifest of this version: Object missing required field `source`" in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing-here"], "not a file, folder or release"),
        (["gone.whl"], "no such file or folder"),
        ([".."], "no wheel in this folder"),
        (["a>=1"], "not a file, folder or release"),
        (["a==1.*"], "not a file, folder or release"),
        (["--cpu", "avx3", "x"], "no such feature"),
        (["--explain", "W999"], "no code 'W999'"),
    ],
)
def test_wrong_use_is_reported_with_its_own_status(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    ended = wheelworks_here("audit", *words, cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert ended.status == 2 and told in ended.err


def test_explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    here = partial(wheelworks_here, "audit", cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    ended = here("--explain", "W201")
    assert ended.status == 0 and "above-baseline" in ended.out
    assert here("--explain", "all").out.startswith("# What the audit finds")


@pytest.mark.integration
def test_a_whole_official_release(tmp_path: Path) -> None:
    """No finding about Tornado's release is an error, and its warnings are true."""
    first = wheelworks("audit", "tornado==6.6.1", "--json", cache=tmp_path, seconds=400)
    assert first.status == 0, first.out
    found = json.loads(first.out)
    assert len(found["wheels"]) == 43 and found["wheels"][-1]["file"] == "tornado-6.6.1.tar.gz"
    kinds = {one["code"] for wheel in found["wheels"] for one in wheel["findings"]}
    assert kinds == {"W024", "W202", "W307", "W401", "W402", "W403"}


# A true error: these wheels contain code for the z13, but their tags promise every CPU that runs glibc 2.17.
# Debian, for example, requires only a z196.
Z13 = {("W201", "s390x")}
PROJECTS: dict[str, set[tuple[str, str]]] = {
    "markupsafe==3.0.4": set(),
    "websockets==17.4": Z13,
    "pyyaml==6.0.3": Z13,
    "psutil==7.2.2": set(),
}
LARGE: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "cryptography==50.0.2": ("manylinux_2_28_x86_64", set()),
    "lxml==6.1.3": ("manylinux_2_31_armv7l", set()),
    "numpy==2.5.5": ("win_arm64", set()),
}


def errors(text: str) -> set[tuple[str, str]]:
    """Return the code of each error, with the CPU of its wheel."""
    found = [one for wheel in json.loads(text)["wheels"] for one in wheel["findings"] if one["severity"] == "error"]
    return {(one["code"], one["wheel"].removesuffix(".whl").rpartition("_")[2]) for one in found}


@pytest.mark.integration
@pytest.mark.parametrize("project", PROJECTS)
def test_other_official_releases_have_no_error_that_is_not_true(
    project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit a project's wheels for CPython 3.13 and for the stable ABI, on every platform."""
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path))
    files = [one for one in index.fetch_release(project) if re.search("-cp313-cp313t?-|-abi3-", one.name)]
    assert len(files) >= 10
    ended = wheelworks("audit", *files, "--json", "--offline", cache=tmp_path, seconds=400)
    assert errors(ended.out) == PROJECTS[project]


@pytest.mark.integration
@pytest.mark.parametrize("project", LARGE)
def test_a_wheel_of_each_large_project(project: str, tmp_path: Path) -> None:
    """Audit the wheel of each project that has revealed most mistakes of the audit."""
    tag, expected = LARGE[project]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.13", "--platform", tag, "--dest", str(tmp_path), project]
    subprocess.run(command, check=True)
    ended = wheelworks("audit", *tmp_path.glob("*.whl"), "--json", "--offline", cache=tmp_path, seconds=400)
    assert errors(ended.out) == expected
