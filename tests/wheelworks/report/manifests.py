"""Manifests for the report's tests: one of every state that a wheel can be in, and one whose author means harm."""

from __future__ import annotations

import json
from typing import Any

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "' onfocus=window.hacked=1 autofocus '",
    "<svg/onload=window.hacked=1>",
    "</style><style>*{display:none}</style>",
    "javascript:window.hacked=1",
    "gpj.\u202egnp",
    "\ud800\x00\x1b[31m",
    "<!-- ",
    "</title></head><base href='http://192.0.2.1/'>",
)


def wheel(file: str, **more: Any) -> dict[str, Any]:
    return {"file": file, "sha256": "ab" * 32, "size": 57_000, "link": "freestanding", **more}


def run(outcome: str, how: str = "emulated CPU, aarch64 windows", **more: Any) -> dict[str, Any]:
    return {"how": how, "outcome": outcome, "checks": 98, "why": "", "findings": [], **more}


EXTENSION = {
    "file": "sample/_speedups.pyd",
    "format": "PE",
    "machine": "arm64",
    "minimum": "10.0",
    "exports": ["PyInit__speedups"],
    "imports": {"python3.dll": ["PyBytes_AsString", "PyErr_Format"]},
}
FINDING = {"code": "E101", "name": "no-extension", "severity": "error", "member": "a.pyd", "evidence": "it is gone"}
SAME = {"same": True, "varied": ["clock", "umask"], "not_varied": {"user": "no namespaces"}, "differs_by": {}}
OTHER = {"same": False, "varied": ["clock"], "not_varied": {}, "differs_by": {"clock": ["a.pyd: its timestamp"]}}

SAMPLE: dict[str, Any] = {
    "schema": 1,
    "source": {"name": "sample-1.0", "commit": "0123456789abcdef" * 2 + "01234567", "dirty": False, "epoch": 5},
    "toolchain": {"ziglang": "0.17.1", "build_requirements": {"setuptools": "84.2.1"}},
    "wheels": [
        wheel(
            "sample-1.0-cp311-abi3-win_arm64.whl",
            targets=["win_arm64"],
            abi="cp311-abi3",
            extensions=[EXTENSION],
            inputs={"headers": "3.11.7"},
            audit={"checks": {"archive": "passed"}, "findings": []},
            runs=[run("passed")],
            reproduced=SAME,
        ),
        wheel(
            "sample-1.0-cp311-abi3-macosx_11_0_arm64.whl",
            size=60_000,
            targets=["macosx_11_0_arm64"],
            abi="cp311-abi3",
            audit={"checks": {"archive": "error"}, "findings": [FINDING]},
            runs=[run("failed", findings=["wild-pointer in init"], why="wild-pointer")],
            reproduced=OTHER,
        ),
        wheel(
            "sample-1.0-cp311-abi3-manylinux_2_19_ppc64le.musllinux_1_2_ppc64le.whl",
            size=66_000,
            targets=["manylinux_2_19_ppc64le", "musllinux_1_2_ppc64le"],
            abi="cp311-abi3",
            audit={"checks": {"archive": "warning"}, "findings": [{**FINDING, "severity": "warning"}]},
            runs=[run("unsupported", how="no CPython", why="there is no CPython of its CPU")],
        ),
        wheel("sample-1.0-cp314-cp314t-win_arm64.whl", targets=["win_arm64"], abi="cp314-cp314t"),
        wheel("sample-1.0-py3-none-any.whl", targets=[], abi="py3-none", link="none"),
    ],
}


def hostile() -> dict[str, Any]:
    """The same manifest with harmful text wherever there is text, and as keys."""
    harmful = iter(HOSTILE * 1000)

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: spoil(inner) for key, inner in value.items()}
            return {**kept, next(harmful): next(harmful)}
        if isinstance(value, list):
            return [spoil(inner) for inner in value]
        return next(harmful) if isinstance(value, str) else value

    spoiled: dict[str, Any] = spoil(json.loads(json.dumps(SAMPLE)))
    return spoiled
