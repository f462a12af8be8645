"""Run cibuildwheel on an sdist for this host's platform, and take over its wheels or explain its failure."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from wheelworks.build.wheel import describe_wheel
from wheelworks.core import manifest, process, tags
from wheelworks.core.cibuildwheel import format_identifier, name_arch
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import write_file
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import SYSTEMS, Abi, Target
from wheelworks.core.wheel import parse_wheel_name

PREFIX = "CIBW_"
ENGINE_VARIABLE = "CIBW_CONTAINER_ENGINE"

# Commands that ask the engine itself; `--version` would only ask its client.
_ENGINE_COMMANDS = {"docker": ("docker", "version"), "podman": ("podman", "info")}
_CROSS_HINT = "the builder `cross` (the default) needs no containers"

# Patterns written by an engine, a kernel or cibuildwheel, with the cause and a hint. The first that matches decides.
_KNOWN_FAILURES = (
    (
        r"exec format error|Exec format error",
        "this machine can't run programs of that CPU",
        "install qemu-user-static and binfmt-support (or your system's packages of qemu's binfmt entries)",
    ),
    (
        r"permission denied while trying to connect to the \w+ daemon|dial unix \S+: connect: permission denied",
        "you may not use the container engine",
        "join its group (docker), or install podman, which needs no service",
    ),
    (
        r"pinging container registry|dial tcp|no such host|TLS handshake|[Tt]emporary failure in name resolution",
        "the container image, or a package in it, can't be downloaded",
        "check network and proxy, or name a local image, such as CIBW_MANYLINUX_X86_64_IMAGE=NAME",
    ),
    (
        r"executable doesn't exist in image|this interpreter is not available in that image",
        "the container image lacks a requested Python",
        "choose by --abi what the image has, or use cibuildwheel's own image",
    ),
    (
        r"pure Python wheel was generated",
        "the project built a pure wheel, without its extension",
        "make the extension mandatory by a variable in [tool.cibuildwheel] environment",
    ),
    (
        r"No build identifiers selected|Invalid archs|Invalid skip selector",
        "cibuildwheel builds none of the requested wheels",
        "check build, skip and archs in the project's [tool.cibuildwheel]",
    ),
    (r"No space left on device", "the disk is full", "remove unused images: docker image prune, podman image prune"),
)
_WHEEL_LINE = re.compile(r"^Building (cp\S+) wheel$", re.MULTILINE)
_STEP_LINE = re.compile(r"^([A-Z])([A-Za-z_ ]+)\.\.\.$", re.MULTILINE)
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+", re.MULTILINE)  # not its last line
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def host_system(system: str = sys.platform) -> str:
    """Return this system's name for cibuildwheel and the target table: "linux", "macos", "windows", or its own."""
    return SYSTEMS.get(system, system)


def map_identifiers(targets: Iterable[Target], abis: Sequence[Abi]) -> dict[str, tuple[Target, Abi]]:
    """Return every wheel of targets and ABIs, by its identifier."""
    return {format_identifier(target, abi): (target, abi) for target in targets for abi in abis}


def find_engine(env: Mapping[str, str]) -> str:
    """Return the container engine for cibuildwheel: the one that the environment names, else docker, else podman.

    Raises WheelworksError if none works.
    """
    if chosen := env.get(ENGINE_VARIABLE):
        return chosen
    failures = []
    for name, command in _ENGINE_COMMANDS.items():
        if shutil.which(name, path=env.get("PATH")) is None:
            continue
        result = process.run(command, env=env, timeout=60)
        if result.status == 0:
            return name
        failures.append(f"{name}: {result.last_lines(1).strip() or 'no output'}")
    if failures:
        message = f"no container engine works, and cibuildwheel builds for Linux in containers: {'; '.join(failures)}"
        raise WheelworksError(message, f"start the docker service, or install podman (it needs none); {_CROSS_HINT}")
    message = "no container engine, and cibuildwheel builds for Linux in containers"
    raise WheelworksError(message, f"install podman or docker (Debian: apt install podman); {_CROSS_HINT}")


def select_host_targets(targets: Sequence[Target], *, narrowed: bool) -> list[Target]:
    """Return the targets of this host's system. Raises UsageError if there are none, or others were requested."""
    system = host_system()
    found = [target for target in targets if target.os == system]
    if others := [target.id for target in targets if target.os != system] if narrowed else []:
        message = f"--builder cibuildwheel builds for the system that it runs on, {system}, not for {', '.join(others)}"
        raise UsageError(message, "leave --builder out: `cross` builds for every system")
    if not found:
        raise UsageError(f"cibuildwheel has no wheels to build on {system}", "leave --builder out")
    return found


def run_cibuildwheel(
    sdist: Path, variables: Mapping[str, str], work: Path, out: Path, update: Callable[[str], None]
) -> list[WheelRecord]:
    """Build an sdist's wheels into ``out``, with ``work`` as a temporary folder; return their records.

    ``variables`` are those of `make_variables`. Raises WheelworksError with cibuildwheel's last lines and a hint.
    """
    env = dict(variables)
    if host_system() == "linux":
        env[ENGINE_VARIABLE] = find_engine(env)
    wanted = list_identifiers(sdist, env, work)
    update(f"cibuildwheel builds {len(wanted)} wheels: {', '.join(wanted)}")
    command = [*_make_command(sdist), "--output-dir", work / "wheelhouse"]
    result = process.run(command, env=env, cwd=work, timeout=4 * 3600)  # under emulation, builds are slow
    if result.status:
        raise explain_failure(result.output, result.status)
    wheels = sorted((work / "wheelhouse").glob("*.whl"))
    if not wheels or len(wheels) > len(wanted):  # fewer: a stable ABI wheel also serves later Pythons
        raise WheelworksError(f"cibuildwheel was asked for {', '.join(wanted)}, and made {len(wheels)} wheels")
    return [_publish_wheel(wheel, out) for wheel in wheels]


def _make_command(sdist: Path) -> list[str | Path]:
    return [sys.executable, "-m", "cibuildwheel", "--platform", host_system(), sdist.resolve()]


def make_variables(
    targets: Sequence[Target], abis: Sequence[Abi], outer: Mapping[str, str], *, narrowed: bool
) -> dict[str, str]:
    """Return cibuildwheel's environment: the user's, and, if ``narrowed``, the selection of targets and ABIs.

    Otherwise the project's settings decide which wheels are built.
    """
    env = {name: value for name, value in outer.items() if name != "PYTHONPATH"}
    if narrowed:
        env[f"{PREFIX}BUILD"] = " ".join(map_identifiers(targets, abis))
        env[f"{PREFIX}ARCHS"] = " ".join(dict.fromkeys(map(name_arch, targets)))
    return env


def list_identifiers(sdist: Path, env: Mapping[str, str], work: Path) -> list[str]:
    """Return the identifiers that cibuildwheel would build. Raises WheelworksError if there are none."""
    command = [*_make_command(sdist), "--print-build-identifiers"]
    result = process.run(command, env=env, cwd=work, timeout=300)
    identifiers = [line for line in result.output.split() if line.startswith("cp")]
    if result.status or not identifiers:
        raise explain_failure(result.output or "No build identifiers selected", result.status)
    return identifiers


def _publish_wheel(wheel: Path, out: Path) -> WheelRecord:
    data = wheel.read_bytes()
    write_file(out / wheel.name, data)
    served = tags.find_served_targets(parse_wheel_name(wheel.name))
    return replace(describe_wheel(wheel.name, data, served), builder="cibuildwheel")


def describe_toolchain(env: Mapping[str, str]) -> manifest.Toolchain:
    """Return what decides these wheels: cibuildwheel's version, which pins its images by hash, and its variables."""
    settings = {name: env[name] for name in sorted(env) if name.startswith(PREFIX) and name != ENGINE_VARIABLE}
    return manifest.Toolchain(cibuildwheel=importlib.metadata.version("cibuildwheel"), settings=settings)


def explain_failure(output: str, status: int) -> WheelworksError:
    """Return the error for a failed cibuildwheel: the wheel, the step, the cause and the last lines of its output."""
    plain = _TRACEBACK.sub("", _COLOUR.sub("", output))
    wheels, steps = _WHEEL_LINE.findall(plain), _STEP_LINE.findall(plain)
    summary = "cibuildwheel failed" + (f" for {wheels[-1]}" if wheels else "")
    if steps:
        initial, rest = steps[-1]
        summary += f" while {initial.lower()}{rest}"
    known = next(((cause, hint) for pattern, cause, hint in _KNOWN_FAILURES if re.search(pattern, plain)), None)
    cause, hint = known or (f"it ended with status {status}", "read its last lines above")
    lines = [line for line in plain.splitlines() if line.strip()][-15:]
    return WheelworksError("\n".join([f"{summary}: {cause}", *(f"    {line}" for line in lines)]), hint)
