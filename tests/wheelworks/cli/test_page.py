"""Test that sessions which change the manifest of one folder at the same time keep what the others have recorded."""

from __future__ import annotations

import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace
from wheelworks.audit import workers
from wheelworks.audit.findings import FileAudit
from wheelworks.cli import _page, audit
from wheelworks.core import manifest
from wheelworks.core.verdict import Verdict

from tests.wheelworks.manifests import manifest_of, run, wheel

FILE = "a-1-cp311-abi3-win_arm64.whl"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    (tmp_path / FILE).write_bytes(b"one")
    manifest.save(manifest_of(wheel(FILE, sha256=hashlib.sha256(b"one").hexdigest())), tmp_path)
    return tmp_path


def load(folder: Path) -> manifest.WheelRecord:
    record = manifest.load(folder)
    assert record
    return record.wheels[0]


@pytest.mark.skipif(sys.platform == "win32", reason="sessions don't wait for each other there")
def test_no_session_undoes_what_another_has_recorded(dist: Path) -> None:
    def add(number: int) -> None:
        def change(record: manifest.Manifest) -> manifest.Manifest:
            time.sleep(0.01)
            [known] = record.wheels
            return replace(record, wheels=[replace(known, runs=[*known.runs, run("passed", how=str(number))])])

        _page.update(dist, change)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert {one.how for one in load(dist).runs} == set(map(str, range(8)))


def test_a_run_of_other_bytes_is_not_recorded(dist: Path) -> None:
    hashes = _page.hash_wheels([dist / FILE])
    (dist / FILE).write_bytes(b"two")
    manifest.save(manifest_of(wheel(FILE, sha256=hashlib.sha256(b"two").hexdigest())), dist)
    _page.record_runs(hashes, [Verdict(FILE, "emulated", "passed")])
    assert load(dist).runs == []


def test_an_audit_keeps_what_was_recorded_meanwhile(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def audit_files(paths: list[Path], *_: object) -> list[FileAudit]:
        _page.record_runs(_page.hash_wheels(paths), [Verdict(FILE, "emulated", "passed")])
        return [FileAudit(path.name, ()) for path in paths]

    monkeypatch.setattr(workers, "audit_files", audit_files)
    audit.main([str(dist), "--offline"])
    assert load(dist).audit is not None and [one.how for one in load(dist).runs] == ["emulated"]


def test_an_audit_of_other_bytes_is_not_recorded(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def audit_files(paths: list[Path], *_: object) -> list[FileAudit]:
        if paths:
            (dist / FILE).write_bytes(b"two")
            manifest.save(manifest_of(wheel(FILE, sha256=hashlib.sha256(b"two").hexdigest())), dist)
        return [FileAudit(path.name, ()) for path in paths]

    monkeypatch.setattr(workers, "audit_files", audit_files)
    audit.main([str(dist), "--offline"])
    assert load(dist).audit is None
