"""Build, repair and test this package's sdist with cibuildwheel in a container, and compare the wheel with `cross`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import containers
from tests.fixtures.commands import Ended, wheelworks

pytestmark = [pytest.mark.integration, pytest.mark.release]

BOTH = ("--abi", "cp311-abi3")


@dataclass(frozen=True)
class Built:
    """The output folders of both builders, and the result of cibuildwheel, which builds the wheels of one CPU only."""

    cpu: str
    cross: Path
    cibuildwheel: Path
    ended: Ended


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "built" in metafunc.fixturenames:
        cpus = dict.fromkeys(metafunc.config.getoption("--container-cpu"))
        metafunc.parametrize("built", cpus, indirect=True, scope="module")


@pytest.fixture(scope="module")
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, release: Path, wheelworks_cache: Path
) -> Built:
    """Return the builds for x86_64, or for the CPUs of ``--container-cpu``. An emulated CPU takes minutes."""
    cpu = str(request.param)
    containers.require()
    folder = tmp_path_factory.mktemp(cpu)
    words = ("--target", f"manylinux_2_17_{cpu}", *BOTH)
    (sdist,) = release.glob("*.tar.gz")
    (folder / "official").mkdir()
    (folder / "official" / "manifest.json").write_text("{")  # damaged: the build replaces it
    with containers.emulation(cpu):
        env = containers.environment(folder, cpu)
        command = ("build-wheels", sdist, "--builder", "cibuildwheel", *words, "--out", folder / "official")
        ended = wheelworks(*command, cache=wheelworks_cache, env=env, seconds=900)
    return Built(cpu, release, folder / "official", ended)


def test_it_builds_repairs_and_tests_the_one_wheel(built: Built) -> None:
    """The package's tests are a part of the build: cibuildwheel fails if they fail, or if there are none."""
    assert built.ended.status == 0, built.ended.err
    (wheel,) = built.cibuildwheel.glob("*.whl")
    name = parse_wheel_name(wheel.name)
    assert name.abi == "cp311-abi3" and f"manylinux_2_28_{built.cpu}" in name.platforms
    assert "built, repaired and tested by cibuildwheel" in built.ended.out


def test_the_manifest_names_what_was_built_and_the_builder(built: Built) -> None:
    (wheel,) = built.cibuildwheel.glob("*.whl")
    record = json.loads((built.cibuildwheel / "manifest.json").read_text())
    assert record["toolchain"]["cibuildwheel"].startswith("4.")
    assert "manifest.json: no manifest of this version" in built.ended.err and "replaced" in built.ended.err
    (entry,) = record["wheels"]
    assert entry["file"] == wheel.name and entry["builder"] == "cibuildwheel"
    assert entry["targets"] == [f"manylinux_2_17_{built.cpu}"]


def test_both_builders_agree(built: Built, wheelworks_cache: Path) -> None:
    ended = wheelworks("compare", built.cross, built.cibuildwheel, "--subset", cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    assert ended.out.startswith("1 pairs of wheels, ") and ended.out.rstrip().endswith("no difference")


def test_without_its_c_the_build_fails_and_says_so(built: Built, tmp_path: Path, wheelworks_cache: Path) -> None:
    """The project's settings make the extension mandatory, so a compiler that fails also fails the build."""
    if built.cpu != "x86_64":
        pytest.skip("once is enough")
    (sdist,) = built.cross.glob("*.tar.gz")
    settings = {"CIBW_ENVIRONMENT": "TORNADO_SPEEDUPS_EXTENSION=1 CC=/bin/false"}
    env = {**containers.environment(tmp_path, built.cpu), **settings}
    command = ("build-wheels", sdist, "--builder", "cibuildwheel", "--target", "manylinux_2_17_x86_64", *BOTH)
    ended = wheelworks(*command, "--out", tmp_path / "out", cache=wheelworks_cache, env=env)
    assert ended.status == 1
    assert "cibuildwheel failed for cp311-manylinux_x86_64 while building wheel" in ended.err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_image_without_the_python_is_reported(built: Built, tmp_path: Path, wheelworks_cache: Path) -> None:
    if built.cpu != "x86_64":
        pytest.skip("once is enough")
    (sdist,) = built.cross.glob("*.tar.gz")
    env = containers.environment(tmp_path, built.cpu)
    words = ("--target", "manylinux_2_17_x86_64", "--abi", "cp314-cp314t", "--out", tmp_path / "out")
    ended = wheelworks("build-wheels", sdist, "--builder", "cibuildwheel", *words, cache=wheelworks_cache, env=env)
    assert ended.status == 1 and "the container image lacks a requested Python" in ended.err


def test_another_system_is_refused(tmp_path: Path, wheelworks_cache: Path) -> None:
    other = "win32" if sys.platform == "linux" else "manylinux_2_17_x86_64"
    words = ("--builder", "cibuildwheel", "--target", other, "--out", tmp_path)
    ended = wheelworks("build-wheels", *words, cache=wheelworks_cache)
    assert ended.status == 2 and f"not for {other}" in ended.err


def test_no_engine_is_reported(tmp_path: Path, wheelworks_cache: Path) -> None:
    words = ("--builder", "cibuildwheel", "--target", "manylinux_2_17_x86_64", *BOTH, "--out", tmp_path / "out")
    source = tmp_path / "a-1.0.tar.gz"
    subprocess.run(["tar", "-czf", source, "--transform", "s,^,a-1.0/,", "pyproject.toml"], check=True)
    ended = wheelworks("build-wheels", source, *words, cache=wheelworks_cache, env={"PATH": str(tmp_path)})
    assert ended.status == 1 and "no container engine" in ended.err and "apt install podman" in ended.err
