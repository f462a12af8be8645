"""Provide manifests for the report's tests: one with a wheel in every state, and a hostile one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from wheelworks.core.manifest import (
    SCHEMA,
    AuditRecord,
    ExtensionRecord,
    FindingRecord,
    Fingerprint,
    Manifest,
    ReproductionRecord,
    Toolchain,
)

from tests.wheelworks.manifests import run, source, wheel

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


EXTENSION = ExtensionRecord(
    file="sample/_speedups.pyd",
    format="PE",
    machine="arm64",
    minimum="10.0",
    exports=["PyInit__speedups"],
    imports={"python3.dll": ["PyBytes_AsString", "PyErr_Format"]},
)
SAME = ReproductionRecord(same=True, varied=["clock", "umask"], not_varied={"user": "no namespaces"}, differs_by={})
OTHER = ReproductionRecord(same=False, varied=["clock"], not_varied={}, differs_by={"clock": ["a.pyd: its timestamp"]})


def audit(check: str, *severities: Any) -> AuditRecord:
    about = {"code": "E101", "name": "no-extension", "member": "a.pyd", "evidence": "it is gone"}
    findings = [FindingRecord(severity=severity, **about) for severity in severities]
    return AuditRecord(checks={"archive": check}, findings=findings)


SAMPLE = Manifest(
    schema=SCHEMA,
    source=source(name="sample-1.0", commit="0123456789abcdef" * 2 + "01234567"),
    toolchain=Toolchain(ziglang="0.17.1", build_requirements={"setuptools": "84.2.1"}),
    wheels=[
        wheel(
            "sample-1.0-cp311-abi3-win_arm64.whl",
            targets=["win_arm64"],
            extensions=[EXTENSION],
            fingerprint=Fingerprint(recipe_sha256="cd" * 32, headers="3.11.7"),
            audit=audit("passed"),
            runs=[run("passed")],
            reproduced=SAME,
        ),
        wheel(
            "sample-1.0-cp311-abi3-macosx_11_0_arm64.whl",
            size=60_000,
            targets=["macosx_11_0_arm64"],
            audit=audit("error", "error"),
            runs=[run("failed", findings=["wild-pointer in init"], why="wild-pointer")],
            reproduced=OTHER,
        ),
        wheel(
            "sample-1.0-cp311-abi3-manylinux_2_19_ppc64le.musllinux_1_2_ppc64le.whl",
            size=66_000,
            targets=["manylinux_2_19_ppc64le", "musllinux_1_2_ppc64le"],
            audit=audit("warning", "warning"),
            runs=[run("unsupported", how="no CPython", why="there is no CPython of its CPU")],
        ),
        wheel("sample-1.0-cp314-cp314t-win_arm64.whl", targets=["win_arm64"], abi="cp314-cp314t"),
        wheel("sample-1.0-py3-none-any.whl", abi="py3-none", link="none"),
    ],
)


def hostile(texts: Sequence[str] = HOSTILE) -> Manifest:
    """Return the same manifest with harmful text in all texts and keys, even where loading would refuse it."""
    harmful = itertools.cycle(texts)

    def spoil(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return type(value)(**{name: spoil(getattr(value, name)) for name in value.__struct_fields__})
        if isinstance(value, dict):
            kept = {key: spoil(inner) for key, inner in value.items()}
            return {**kept, next(harmful): [next(harmful)] if list in map(type, value.values()) else next(harmful)}
        if isinstance(value, list):
            return [spoil(inner) for inner in value]
        return next(harmful) if isinstance(value, str) else value

    spoiled: Manifest = spoil(SAMPLE)
    return spoiled
