"""Provide wheels without defects: our own, built once per test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.commands import wheelworks

TARGETS = {
    "win_arm64": "win_arm64",
    "macos_arm64": "macosx_11_0_arm64",
    "linux_aarch64": "manylinux_2_17_aarch64",
    "linux_x86_64": "manylinux_2_17_x86_64",
}
ABIS = {"": "cp311-abi3", "_314t": "cp314-cp314t", "_abi3t": "cp315-abi3.abi3t"}


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> dict[str, Path]:
    """Our own wheels by platform, with an ABI suffix for the free-threaded builds."""
    out = tmp_path_factory.mktemp("ours")
    chosen = [word for target in TARGETS.values() for word in ("--target", target)]
    chosen += [word for abi in ABIS.values() for word in ("--abi", abi)]
    ended = wheelworks("build-wheels", "--no-run", "--out", out, *chosen, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    (out / "manifest.json").unlink()
    return {
        name + end: next(out.glob(f"*-{abi}-*{target}*.whl"))
        for name, target in TARGETS.items()
        for end, abi in ABIS.items()
    }
