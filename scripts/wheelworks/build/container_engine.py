"""The container engine that cibuildwheel needs for Linux: docker or podman, whichever answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

SETTING = "CIBW_CONTAINER_ENGINE"
SECONDS = 60
WITHOUT = "the builder `cross` (the default) needs no containers"
# Each asks the engine itself: `--version` would only ask the client.
QUESTIONS = {"docker": ("docker", "version"), "podman": ("podman", "info")}


def find(env: Mapping[str, str]) -> str:
    """The engine that cibuildwheel is to use: what the environment says, else docker, else podman.

    Raises WheelworksError where there is none, or none that works.
    """
    if chosen := env.get(SETTING):
        return chosen
    failures = []
    for name, question in QUESTIONS.items():
        if shutil.which(name, path=env.get("PATH")) is None:
            continue
        answer = process.run(question, env=env, seconds=SECONDS)
        if answer.status == 0:
            return name
        failures.append(f"{name}: {_last_line(answer.output)}")
    raise _none(failures)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def _none(failures: list[str]) -> WheelworksError:
    if failures:
        message = f"no container engine works, and cibuildwheel builds for Linux in containers: {'; '.join(failures)}"
        return WheelworksError(message, f"start the docker service, or install podman (it needs none); {WITHOUT}")
    message = "no container engine, and cibuildwheel builds for Linux in containers"
    return WheelworksError(message, f"install podman or docker (Debian: apt install podman); {WITHOUT}")
