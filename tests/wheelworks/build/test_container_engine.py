"""Which container engine is taken: programs of these names, put on the path, that answer or don't."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheelworks.build import container_engine
from wheelworks.core.errors import WheelworksError

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="the programs are shell scripts")

pytestmark = pytest.mark.usefixtures("may_spawn")


def program(folder: Path, name: str, status: int, says: str = "") -> None:
    (folder / name).write_text(f'#!/bin/sh\necho "{says}"\nexit {status}\n')
    (folder / name).chmod(0o755)


def test_what_the_environment_says_is_taken(tmp_path: Path) -> None:
    assert (
        container_engine.find({"PATH": str(tmp_path), container_engine.SETTING: "podman; create_args: -v"})
        == "podman; create_args: -v"
    )


def test_docker_first(tmp_path: Path) -> None:
    program(tmp_path, "docker", 0)
    program(tmp_path, "podman", 0)
    assert container_engine.find({"PATH": str(tmp_path)}) == "docker"


def test_docker_without_its_service_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "docker", 1, "Cannot connect to the Docker daemon")
    program(tmp_path, "podman", 0)
    assert container_engine.find({"PATH": str(tmp_path)}) == "podman"


def test_none(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no container engine, and cibuildwheel builds") as raised:
        container_engine.find({"PATH": str(tmp_path)})
    assert "apt install podman" in raised.value.hint and "`cross`" in raised.value.hint


def test_none_that_works(tmp_path: Path) -> None:
    program(tmp_path, "docker", 1, "Cannot connect to the Docker daemon")
    with pytest.raises(WheelworksError, match="docker: Cannot connect to the Docker daemon") as raised:
        container_engine.find({"PATH": str(tmp_path)})
    assert "start the docker service" in raised.value.hint
