"""Test that headers of another CPython release give the same wheel, or that the build is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from wheelworks.build import headers
from wheelworks.core import targets

from tests.fixtures import projects
from tests.fixtures.commands import Ended, wheelworks

pytestmark = pytest.mark.integration

ABI = targets.find_abi("cp314t")
# A release changes the first constant and must never change the second. A wheel would show both changes.
SHOWS = "return PyLong_FromLong(PY_VERSION_HEX ^ PYTHON_ABI_VERSION);"


@pytest.fixture(scope="module")
def real(wheelworks_cache: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHEELWORKS_CACHE", str(wheelworks_cache))
        return headers.find_headers(ABI).folder


def release(real: Path, root: Path, micro: int, abi_version: int = 3) -> Path:
    """Write a Python folder with headers of release 3.14.``micro``, which is newer than any real release; return it."""
    include = root / "versions" / f"3.14.{micro}" / "include" / "python3.14"
    shutil.copytree(real, include)
    level = include / "patchlevel.h"
    level.write_text(re.sub(r'(PY_VERSION\s+)"3.14.0"', rf'\1"3.14.{micro}"', level.read_text()))
    (include / "object.h").write_text((include / "object.h").read_text() + f"/* a comment of release {micro} */\n")
    support = include / "modsupport.h"
    support.write_text(re.sub(r"(define PYTHON_ABI_VERSION\s+)3", rf"\g<1>{abi_version}", support.read_text()))
    return root


def build(source: Path, out: Path, root: Path, cache: Path, *words: str) -> Ended:
    chosen = ("--target", "manylinux_2_17_x86_64", "--abi", ABI.id, "--no-run", *words)
    return wheelworks("build-wheels", source, *chosen, "--out", out, cache=cache, env={"PYENV_ROOT": str(root)})


def test_another_release_is_the_same_or_refused(real: Path, tmp_path: Path, wheelworks_cache: Path) -> None:
    source = projects.sample(tmp_path / "sample", projects.module(SHOWS), projects.setup("", limited=False))
    source, out, data = projects.committed(source), tmp_path / "out", []
    for micro in (90, 91):
        ended = build(source, out, release(real, tmp_path / str(micro), micro), wheelworks_cache)
        assert ended.status == 0, ended.err
        (wheel,) = out.glob("*.whl")
        data.append(wheel.read_bytes())
        (record,) = json.loads((out / "manifest.json").read_text())["wheels"]
        assert record["fingerprint"]["headers"] == f"3.14.{micro}"
    assert data[0] == data[1]

    other = release(real, tmp_path / "92", 92, abi_version=4)
    ended = build(source, out, other, wheelworks_cache)
    assert ended.status == 1 and wheel.read_bytes() == data[0]
    assert "the headers of CPython 3.14.92 give another wheel than those of 3.14.91 did" in ended.err
    assert "--force" in ended.err

    ended = build(source, out, other, wheelworks_cache, "--force")
    assert ended.status == 0 and wheel.read_bytes() != data[0]
