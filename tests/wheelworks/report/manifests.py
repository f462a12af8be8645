"""Provide manifests for the report's tests: one with a wheel in every state, and a hostile one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from wheelworks.core import targets
from wheelworks.core.manifest import (
    SCHEMA,
    AuditRecord,
    ExtensionRecord,
    FailureRecord,
    FindingRecord,
    Fingerprint,
    Manifest,
    ReproductionRecord,
    Toolchain,
)

from tests.fixtures.package import RELEASE_ABIS
from tests.wheelworks.manifests import run, source, wheel

EPOCH, DATE = 1_795_899_391, "2026-11-28 20:56 UTC"
URL = "https://github.com/example/tornado-speedups"

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


STEM = "tornado_speedups-0.1.0"
SKIPPED = "no CPython for its CPU and ABI is available"
FAULT = "heap-buffer-overflow-write: writes 4 bytes after a block of 16 at mask+0x18 (0x1018), in mask(b'', b'')\nx0=1"


def release(**changes: dict[str, Any]) -> Manifest:
    """Return a whole release of this package, without faults.

    ``changes`` are the fields of wheels, by a part of their names with "_" for "-" and "."; where they are empty, the
    wheels are left out.
    """
    planned = targets.plan_wheels(STEM, targets.load_targets(), RELEASE_ABIS, pure=True)
    wheels = [
        wheel(
            one.name,
            abi=one.abi.id if one.abi else "py3-none",
            targets=[target.id for target in one.targets],
            link="freestanding" if one.abi else "none",
            audit=audit("passed"),
            runs=[run("passed")] if one.abi else [],
            reproduced=SAME,
        )
        for one in planned
    ]
    for part, more in changes.items():
        found = [one for one in wheels if part in one.file.replace("-", "_").replace(".", "_")]
        assert found, f"no wheel has {part} in its name"
        wheels = [replace(one, **more) if one in found else one for one in wheels if more or one not in found]
    about = source(name=STEM, kind="directory", commit=SAMPLE.source.commit, epoch=EPOCH, url=URL)
    return replace(SAMPLE, source=about, wheels=wheels)


FAILED = release(cp314t_win_arm64={"runs": [run("failed", why="heap-buffer-overflow-write", findings=[FAULT])]})
UNSUPPORTED = release(cp314t_manylinux_2_19={"runs": [run("unsupported", how="no CPython", why=SKIPPED)]})
NEVER_AUDITED = release(cp3={"audit": None}, py3={"audit": None})
PARTIAL = release(cp314t_manylinux_2_19={}, abi3t_macosx={})
NOT_BUILT = replace(
    release(cp314t_win_arm64={}),
    failures=[
        FailureRecord(targets=["win_arm64"], abi="cp314-cp314t", error="compile of a.c failed:\nx.h", hint="get x.h")
    ],
)
RELEASES = {
    "failed": FAILED,
    "not-built": NOT_BUILT,
    "unsupported": UNSUPPORTED,
    "never-audited": NEVER_AUDITED,
    "partial": PARTIAL,
}


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

    failure = FailureRecord(targets=["win32"], abi="cp314-cp314t", error="a", hint="b")
    spoiled: Manifest = spoil(replace(SAMPLE, failures=[failure, failure]))
    return spoiled
