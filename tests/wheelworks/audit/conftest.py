"""Good wheels: ours, built here once a run."""

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


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> dict[str, Path]:
    """Our own wheels, by platform."""
    out = tmp_path_factory.mktemp("ours")
    chosen = [word for target in TARGETS.values() for word in ("--target", target)]
    ended = wheelworks("cross-arm64", "--no-run", "--out", out, *chosen, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    (out / "manifest.json").unlink()
    return {name: next(out.glob(f"*{target}*.whl")) for name, target in TARGETS.items()}
