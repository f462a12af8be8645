"""Make records of a manifest for tests. Default values belong to no real wheel."""

from __future__ import annotations

from typing import Any

from wheelworks.core.manifest import (
    SCHEMA,
    Manifest,
    RunRecord,
    Source,
    Toolchain,
    WheelRecord,
)


def source(**more: Any) -> Source:
    return Source(**{"name": "x-1.0", "kind": "sdist", "tree_sha256": "", "archive_sha256": "", "epoch": 5, **more})


def wheel(file: str, **more: Any) -> WheelRecord:
    known: dict[str, Any] = {
        "sha256": "ab" * 32, "size": 57_000, "abi": "cp311-abi3", "tags": [], "targets": [], "link": "freestanding",
        "libc_calls": [], "extensions": [],
    }  # fmt: skip
    return WheelRecord(file=file, **{**known, **more})


def run(outcome: Any, how: str = "emulated CPU, aarch64 windows", **more: Any) -> RunRecord:
    return RunRecord(how=how, outcome=outcome, **{"checks": 98, "why": "", "findings": [], **more})


def manifest_of(*wheels: WheelRecord, epoch: int = 5, **tools: Any) -> Manifest:
    return Manifest(schema=SCHEMA, source=source(epoch=epoch), toolchain=Toolchain(**tools), wheels=list(wheels))
