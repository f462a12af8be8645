"""cibuildwheel for real: this package's sdist, built in a container, and held against what `cross` builds."""

from __future__ import annotations

import pytest

from tests.fixtures import containers

pytestmark = pytest.mark.integration

TARGETS = {"x86_64": "manylinux_2_17_x86_64", "aarch64": "manylinux_2_17_aarch64"}


@pytest.fixture(scope="module", params=["x86_64", "aarch64"])
def cpu(request: pytest.FixtureRequest) -> str:
    """A CPU of this machine, or one that is emulated: minutes more, so only where it is asked for."""
    name = str(request.param)
    if name not in request.config.getoption("--container-cpu"):
        pytest.skip(f"--container-cpu {name} builds for it, too")
    containers.require()
    return name


def test_it_builds_tests_and_repairs_the_wheel() -> None: ...
