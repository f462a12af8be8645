"""How cibuildwheel calls a wheel to be built, and which of ours that is: ``cp311-manylinux_x86_64``."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.build.wheel import describe_wheel
from wheelworks.core import manifest, process, tags
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target
from wheelworks.core.wheel import parse_wheel_name

SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
# cibuildwheel's name of an architecture, where it isn't what ends the identifier.
_ARCHITECTURES = {"win32": "x86", "win_amd64": "AMD64", "win_arm64": "ARM64"}


def host_system(system: str = sys.platform) -> str:
    """This system as cibuildwheel and the target table name it: "linux", "macos" or "windows"; else its own name."""
    return SYSTEMS.get(system, system)


def platform_suffix(target: Target) -> str:
    """The second half of a target's identifiers: its tag without the version of the libc or system."""
    return re.sub(r"^(manylinux|musllinux|macosx)_\d+_\d+_", r"\1_", target.id)


def format_identifier(target: Target, abi: Abi) -> str:
    """What cibuildwheel calls the wheel of a target and an ABI: the oldest Python that it serves builds it."""
    return f"cp{abi.nodot}-{platform_suffix(target)}"


def map_identifiers(targets: Iterable[Target], abis: Sequence[Abi]) -> dict[str, tuple[Target, Abi]]:
    """Every wheel of targets and ABIs, by its identifier."""
    return {format_identifier(target, abi): (target, abi) for target in targets for abi in abis}


def archs_name(target: Target) -> str:
    """What cibuildwheel's ``--archs`` calls a target's CPU."""
    name = platform_suffix(target)
    return _ARCHITECTURES.get(name) or name.partition("_")[2]


ENGINE_VARIABLE = "CIBW_CONTAINER_ENGINE"
ENGINE_SECONDS = 60
CROSS_HINT = "the builder `cross` (the default) needs no containers"
# Each asks the engine itself: `--version` would only ask the client.
ENGINE_COMMANDS = {"docker": ("docker", "version"), "podman": ("podman", "info")}


def find_engine(env: Mapping[str, str]) -> str:
    """The engine that cibuildwheel is to use: what the environment says, else docker, else podman.

    Raises WheelworksError where there is none, or none that works.
    """
    if chosen := env.get(ENGINE_VARIABLE):
        return chosen
    failures = []
    for name, question in ENGINE_COMMANDS.items():
        if shutil.which(name, path=env.get("PATH")) is None:
            continue
        answer = process.run(question, env=env, timeout=ENGINE_SECONDS)
        if answer.status == 0:
            return name
        failures.append(f"{name}: {_last_line(answer.output)}")
    raise _engine_error(failures)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def _engine_error(failures: list[str]) -> WheelworksError:
    if failures:
        message = f"no container engine works, and cibuildwheel builds for Linux in containers: {'; '.join(failures)}"
        return WheelworksError(message, f"start the docker service, or install podman (it needs none); {CROSS_HINT}")
    message = "no container engine, and cibuildwheel builds for Linux in containers"
    return WheelworksError(message, f"install podman or docker (Debian: apt install podman); {CROSS_HINT}")


SHOWN_LINES = 15  # lines

# The first pattern that the output holds decides. Each is what an engine, a kernel or cibuildwheel itself writes.
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
        "the image of the build, or a package in it, can't be fetched",
        "look at network and proxy, or name an image that is here: CIBW_MANYLINUX_X86_64_IMAGE=NAME and its kin",
    ),
    (
        r"executable doesn't exist in image|this interpreter is not available in that image",
        "the image of the build lacks a Python that is asked for",
        "choose by --abi what the image has, or take cibuildwheel's own image",
    ),
    (
        r"pure Python wheel was generated",
        "its build made a pure wheel: the extension was left out",
        "set the switch that makes the extension a must in [tool.cibuildwheel] environment",
    ),
    (
        r"No build identifiers selected|Invalid archs|Invalid skip selector",
        "cibuildwheel builds nothing of what is asked for",
        "look at build, skip and archs in the project's [tool.cibuildwheel]",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some room; images are what takes most: docker image prune, podman image prune",
    ),
)
_WHEEL_LINE = re.compile(r"^Building (cp\S+) wheel$", re.MULTILINE)
_STEP_LINE = re.compile(r"^([A-Z][A-Za-z_ ]+)\.\.\.$", re.MULTILINE)
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+", re.MULTILINE)  # not its last line
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def explain_failure(output: str, status: int) -> WheelworksError:
    """The error for an output of cibuildwheel that ended with a status other than 0."""
    plain = _TRACEBACK.sub("", COLOUR.sub("", output))
    wheel, step = _last_match(_WHEEL_LINE, plain), _last_match(_STEP_LINE, plain)
    place = " ".join(filter(None, (f"for {wheel}" if wheel else "", f"while {_lower(step)}" if step else "")))
    known = next(((what, hint) for pattern, what, hint in _KNOWN_FAILURES if re.search(pattern, plain)), None)
    what, hint = known or (f"it ended with status {status}", "the lines above are its own last ones")
    lines = [line for line in plain.splitlines() if line.strip()][-SHOWN_LINES:]
    told = " ".join(filter(None, ("cibuildwheel failed", place)))
    return WheelworksError("\n".join([f"{told}: {what}", *(f"    {line}" for line in lines)]), hint)


def _last_match(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.findall(text)
    return str(found[-1]) if found else ""


def _lower(step: str) -> str:
    return step[:1].lower() + step[1:]


BUILD_SECONDS = 4 * 3600  # a set under emulation takes its time
PREFIX = "CIBW_"

Update = Callable[[str], None]


@dataclass(frozen=True)
class WheelRequest:
    """What is asked of cibuildwheel: of an sdist what its settings say, or, where ``narrowed``, of that these only."""

    sdist: Path
    targets: Sequence[Target]
    abis: Sequence[Abi]
    narrowed: bool


def select_host_targets(targets: Sequence[Target], *, narrowed: bool) -> list[Target]:
    """The targets of this host's system. Raises UsageError where others were asked for, or there are none."""
    system = host_system()
    found = [target for target in targets if target.os == system]
    if others := [target.id for target in targets if target.os != system] if narrowed else []:
        message = f"--builder cibuildwheel builds for the system that it runs on, {system}, not for {', '.join(others)}"
        raise UsageError(message, "leave --builder out: `cross` builds for every system")
    if not found:
        raise UsageError(f"cibuildwheel has no wheels to build on {system}", "leave --builder out")
    return found


@dataclass(frozen=True)
class BuiltWheels:
    """What cibuildwheel made: the manifest's records of its wheels, and all that it said meanwhile."""

    records: Sequence[WheelRecord]
    output: str


def run_cibuildwheel(
    order: WheelRequest, work: Path, out: Path, say: Update, env: Mapping[str, str] = os.environ
) -> BuiltWheels:
    """Build the wheels of an order into ``out``, with a temporary folder to ``work`` in.

    Raises WheelworksError with cibuildwheel's last lines and what to try.
    """
    env = make_variables(order, env)
    if host_system() == "linux":
        env[ENGINE_VARIABLE] = find_engine(env)
    wanted = list_identifiers(order.sdist, env, work)
    say(f"cibuildwheel builds {len(wanted)} wheels: {', '.join(wanted)}")
    fresh = work / "wheelhouse"
    result = process.run([*make_command(order.sdist), "--output-dir", fresh], env=env, cwd=work, timeout=BUILD_SECONDS)
    if result.status:
        raise explain_failure(result.output, result.status)
    wheels = _check_count(sorted(fresh.glob("*.whl")), wanted)
    return BuiltWheels([_publish_wheel(wheel, out) for wheel in wheels], result.output)


def make_command(sdist: Path, system: str = "") -> list[str | Path]:
    """The command that builds an sdist for this host's platform, by the settings in its own pyproject.toml."""
    return [sys.executable, "-m", "cibuildwheel", "--platform", system or host_system(), sdist.resolve()]


def make_variables(order: WheelRequest, outer: Mapping[str, str]) -> dict[str, str]:
    """The variables that cibuildwheel sees: ours, and, where only some wheels are wanted, which."""
    env = {name: value for name, value in outer.items() if name != "PYTHONPATH"}
    if order.narrowed:
        env[f"{PREFIX}BUILD"] = " ".join(map_identifiers(order.targets, order.abis))
        env[f"{PREFIX}ARCHS"] = " ".join(dict.fromkeys(map(archs_name, order.targets)))
    return env


def list_identifiers(sdist: Path, env: Mapping[str, str], work: Path) -> list[str]:
    """The identifiers that cibuildwheel would build. Raises WheelworksError where there are none."""
    result = process.run([*make_command(sdist), "--print-build-identifiers"], env=env, cwd=work, timeout=300)
    found = [line for line in result.output.split() if line.startswith("cp")]
    if result.status or not found:
        raise explain_failure(result.output or "No build identifiers selected", result.status)
    return found


def _check_count(wheels: Sequence[Path], wanted: Sequence[str]) -> Sequence[Path]:
    """One wheel for each identifier, but for those that a stable ABI wheel of an older Python serves."""
    if not wheels or len(wheels) > len(wanted):
        raise WheelworksError(f"cibuildwheel was to build {', '.join(wanted)}, and made {len(wheels)} wheels")
    return wheels


def _publish_wheel(wheel: Path, out: Path) -> WheelRecord:
    name, data = parse_wheel_name(wheel.name), wheel.read_bytes()
    manifest.write(out / wheel.name, data)
    return describe_wheel(wheel.name, data, name.tags, tags.find_served_targets(name), builder="cibuildwheel")


def describe_toolchain(env: Mapping[str, str]) -> manifest.Toolchain:
    """What decides these wheels: cibuildwheel's version, which pins its images by hash, and its variables."""
    changed = {name: env[name] for name in sorted(env) if name.startswith(PREFIX) and name != ENGINE_VARIABLE}
    return manifest.Toolchain(cibuildwheel=importlib.metadata.version("cibuildwheel"), settings=changed)
