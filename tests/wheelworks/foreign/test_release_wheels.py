"""The wheels of this project under the oldest and the newest real CPython of each Linux CPU.

These tests run only the package's tests of the functions, because only those execute the machine code. The other tests
of the package test Python code, which is the same on every CPU. This command runs all of them:
``nox -s test-foreign -- dist/*linux*.whl --how cpython --tests package``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from wheelworks.core import debian
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.pythons import NO_FREE_THREADED, find_runtime
from wheelworks.foreign.run import REPOSITORY_TESTS, run_wheel

from tests.fixtures.commands import wheelworks

SLOW = (pytest.param(cpu, marks=pytest.mark.release) for cpu in ("riscv64", "s390x", "ppc64le"))  # two minutes each
CPUS = ["aarch64", "armv7l", *SLOW]
AGES = ["oldest", pytest.param("newest", marks=pytest.mark.release)]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces"),
]


@pytest.fixture(scope="module")
def function_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tests that run on every implementation of the functions."""
    folder = tmp_path_factory.mktemp("functions") / REPOSITORY_TESTS.name  # the tests import each other by this name
    folder.mkdir()
    for file in REPOSITORY_TESTS.glob("*.py"):
        if not file.name.startswith("test_") or "(speedups: Any" in file.read_text(encoding="utf-8"):
            shutil.copy(file, folder)
    assert len(list(folder.glob("test_websocket_*.py"))) >= 2
    return folder


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("cpu", CPUS)
def test_the_functions_under_a_real_cpython(cpu: str, age: str, release: Path, function_tests: Path) -> None:
    versions = debian.list_debian_versions(find_cpu(cpu).debian)
    python, abi = (versions[0], "cp311-abi3") if age == "oldest" else (versions[-1], "cp315-abi3.abi3t")
    (wheel,) = release.glob(f"*-{abi}-*{cpu}.whl")
    verdict = run_wheel(open_wheel(wheel), find_runtime(cpu, python), tests="package", tests_folder=function_tests)
    if "Mirror sync in progress?" in verdict.why:
        pytest.skip("the archive's index doesn't match its Release file: no root can be made now")
    assert (verdict.outcome, verdict.findings) == ("passed", ()), verdict
    assert verdict.how.startswith(f"CPython {python}.") and verdict.checks >= 50


def test_a_whole_release_is_run(release: Path, wheelworks_cache: Path) -> None:
    """The release's folder also contains a pure wheel, and a wheel that no CPython here can run."""
    wheels = sorted(release.glob("*.whl"))
    ended = wheelworks("test-foreign", *wheels, cache=wheelworks_cache, seconds=600)
    assert ended.status == 0, ended.err
    assert "none-any.whl: no extension: nothing to run" in ended.err
    assert " ".join(ended.out.split()).count(NO_FREE_THREADED) == 1
