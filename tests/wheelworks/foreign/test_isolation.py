"""Test the commands of programs that run in a root, without running them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.isolation import EMULATOR_ALONE, NAMESPACES, Isolation
from wheelworks.foreign.rootfs import Rootfs
from wheelworks.foreign.run import prepare_worker
from wheelworks.foreign.site_packages import SitePackages
from wheelworks.testing.suites import Task, Worker

TORNADO = {"ASYNC_TEST_TIMEOUT", "HYPOTHESIS_PROFILE", "EMULATION"}


def read_variables(worker: Worker) -> dict[str, str]:
    """Return the environment variables that a worker's program gets."""
    variables = worker.environment or json.loads(str(worker.command[-1]))["environment"]
    return {str(name): str(value) for name, value in variables.items()}


@pytest.mark.parametrize("isolation", [NAMESPACES, EMULATOR_ALONE])
@pytest.mark.parametrize(
    ("program", "expected"),
    [("project", set()), ("smoke", set()), ("package", TORNADO - {"HYPOTHESIS_PROFILE"}), ("tornado_suite", TORNADO)],
)
def test_only_tornados_tests_get_tornados_variables(
    tmp_path: Path, isolation: Isolation, program: str, expected: set[str]
) -> None:
    """hypothesis has no profile "tornado-quick" in another project's tests, and fails before the first of them."""
    root = Rootfs(tmp_path / "root", "3.13", find_cpu("aarch64"), "/usr/bin/qemu-aarch64-static")
    site = SitePackages(tmp_path / "site", ("demo",), "demo")
    worker = prepare_worker(root, isolation, site, tmp_path, 60.0, Task("one", program))
    assert read_variables(worker).keys() & TORNADO == expected
    assert read_variables(worker)["PYTHONNOUSERSITE"] == "1"
