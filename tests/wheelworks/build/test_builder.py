"""Test fingerprints: which wheels are up to date, and which differ only in CPython's headers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from wheelworks.build import builder
from wheelworks.build.plan import BuildTask
from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import Fingerprint, WheelRecord

from tests.wheelworks.manifests import wheel

FINGERPRINT = Fingerprint(recipe_sha256="r", headers="3.14.2", headers_sha256="h")
S390X = targets.find_family(targets.find_target("manylinux_2_17_s390x"))


def record(*rows: targets.Target, **changed: str) -> WheelRecord:
    return wheel("x.whl", targets=[row.id for row in rows], fingerprint=replace(FINGERPRINT, **changed))


def test_a_wheel_of_the_same_things_is_unchanged() -> None:
    assert builder.find_up_to_date([record(*S390X)], FINGERPRINT, S390X)
    assert builder.find_up_to_date([record(S390X[0]), record(S390X[1])], FINGERPRINT, S390X), "one for each libc"
    assert builder.find_up_to_date([record()], FINGERPRINT, ()), "the pure one"


def test_another_release_with_the_same_headers_is_unchanged() -> None:
    assert builder.find_up_to_date([record(*S390X, headers="3.14.9")], FINGERPRINT, S390X)


@pytest.mark.parametrize(
    "existing",
    [
        [],
        [record(S390X[0])],
        [record(*S390X, recipe_sha256="another")],
        [record(*S390X, headers_sha256="another")],
        [wheel("x.whl", targets=[row.id for row in S390X])],
    ],
    ids=["none", "of one libc", "of another source", "of other headers", "of an older builder"],
)
def test_what_is_built_again(existing: list[WheelRecord]) -> None:
    assert not builder.find_up_to_date(existing, FINGERPRINT, S390X)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, False),
        ({"headers": "3.14.9"}, False),
        ({"headers_sha256": "another"}, True),
        ({"headers_sha256": "another", "recipe_sha256": "another"}, False),
    ],
)
def test_other_headers_alone_are_reported(changed: dict[str, str], expected: bool) -> None:
    assert builder.only_headers_differ(record(*S390X), record(*S390X, **changed)) is expected


@pytest.fixture
def hash_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Return a function that hashes a copy of the suite without a cache."""
    for name in ("__init__.py", "build/builder.py", "build/pyconfig.h", "locks/build.txt", "audit/findings.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(builder._SUITE / name, tmp_path / name)
    monkeypatch.setattr(builder, "_SUITE", tmp_path)
    return builder.hash_builder.__wrapped__


@pytest.mark.parametrize(
    ("file", "another"),
    [
        ("__init__.py", True),
        ("build/builder.py", True),
        ("build/pyconfig.h", True),
        ("locks/build.txt", True),
        ("audit/findings.py", False),
    ],
)
def test_what_builds_is_one_of_the_inputs(
    file: str, another: bool, hash_suite: Callable[[], str], tmp_path: Path
) -> None:
    before = hash_suite()
    (tmp_path / file).write_text("another")
    assert (hash_suite() != before) is another


def test_an_error_is_of_a_target_that_was_requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first target of a family is always built, to learn whether its binary needs libc."""

    def fail(*arguments: Any) -> None:
        raise WheelworksError(f"{arguments[2].id}: link failed")

    monkeypatch.setattr(builder, "build_wheel", fail)
    monkeypatch.setattr(builder, "compute_fingerprint", lambda *_: FINGERPRINT)
    context: Any = SimpleNamespace(out=tmp_path, work=tmp_path)
    context.select_abi = lambda _: context
    glibc, musl = S390X
    for requested, named in (((glibc,), glibc), ((musl,), musl), ((glibc, musl), glibc)):
        task = BuildTask(requested, targets.get_build_abi(), S390X)
        [result] = builder.run_tasks(context, [task], lambda _: None)
        assert isinstance(result, builder.Failed) and str(result.error) == f"{named.id}: link failed"
