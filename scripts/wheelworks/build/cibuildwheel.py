"""Run cibuildwheel on an sdist for this host's platform, and hand over its wheels."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelworks.build import cibuildwheel_failures, container_engine
from wheelworks.build.cibuildwheel_identifiers import architecture, host, identifiers
from wheelworks.build.wheel import described
from wheelworks.core import manifest, process, tags
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target
from wheelworks.core.wheel import parse_wheel_name

SECONDS = 4 * 3600  # a set under emulation takes its time
PREFIX = "CIBW_"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is asked of cibuildwheel: of an sdist what its settings say, or, where ``narrowed``, of that these only."""

    sdist: Path
    targets: Sequence[Target]
    abis: Sequence[Abi]
    narrowed: bool


def here(targets: Sequence[Target], *, narrowed: bool) -> list[Target]:
    """The targets of this host's system. Raises UsageError where others were asked for, or there are none."""
    system = host()
    found = [target for target in targets if target.os == system]
    if others := [target.id for target in targets if target.os != system] if narrowed else []:
        message = f"--builder cibuildwheel builds for the system that it runs on, {system}, not for {', '.join(others)}"
        raise UsageError(message, "leave --builder out: `cross` builds for every system")
    if not found:
        raise UsageError(f"cibuildwheel has no wheels to build on {system}", "leave --builder out")
    return found


@dataclass(frozen=True)
class Made:
    """What cibuildwheel made: the manifest's records of its wheels, and all that it said meanwhile."""

    records: Sequence[WheelRecord]
    output: str


def build(order: Order, work: Path, out: Path, say: Say, env: Mapping[str, str] = os.environ) -> Made:
    """Build the wheels of an order into ``out``, with a temporary folder to ``work`` in.

    Raises WheelworksError with cibuildwheel's last lines and what to try.
    """
    env = environment(order, env)
    if host() == "linux":
        env[container_engine.SETTING] = container_engine.find(env)
    wanted = planned(order.sdist, env, work)
    say(f"cibuildwheel builds {len(wanted)} wheels: {', '.join(wanted)}")
    fresh = work / "wheelhouse"
    result = process.run([*command(order.sdist), "--output-dir", fresh], env=env, cwd=work, seconds=SECONDS)
    if result.status:
        raise cibuildwheel_failures.explain(result.output, result.status)
    wheels = _complete(sorted(fresh.glob("*.whl")), wanted)
    return Made([_hand_over(wheel, out) for wheel in wheels], result.output)


def command(sdist: Path, system: str = "") -> list[str | Path]:
    """The command that builds an sdist for this host's platform, by the settings in its own pyproject.toml."""
    return [sys.executable, "-m", "cibuildwheel", "--platform", system or host(), sdist.resolve()]


def environment(order: Order, outer: Mapping[str, str]) -> dict[str, str]:
    """The variables that cibuildwheel sees: ours, and, where only some wheels are wanted, which."""
    env = {name: value for name, value in outer.items() if name != "PYTHONPATH"}
    if order.narrowed:
        env[f"{PREFIX}BUILD"] = " ".join(identifiers(order.targets, order.abis))
        env[f"{PREFIX}ARCHS"] = " ".join(dict.fromkeys(map(architecture, order.targets)))
    return env


def planned(sdist: Path, env: Mapping[str, str], work: Path) -> list[str]:
    """The identifiers that cibuildwheel would build. Raises WheelworksError where there are none."""
    result = process.run([*command(sdist), "--print-build-identifiers"], env=env, cwd=work, seconds=300)
    found = [line for line in result.output.split() if line.startswith("cp")]
    if result.status or not found:
        raise cibuildwheel_failures.explain(result.output or "No build identifiers selected", result.status)
    return found


def _complete(wheels: Sequence[Path], wanted: Sequence[str]) -> Sequence[Path]:
    """One wheel for each identifier, but for those that a stable ABI wheel of an older Python serves."""
    if not wheels or len(wheels) > len(wanted):
        raise WheelworksError(f"cibuildwheel was to build {', '.join(wanted)}, and made {len(wheels)} wheels")
    return wheels


def _hand_over(wheel: Path, out: Path) -> WheelRecord:
    name, data = parse_wheel_name(wheel.name), wheel.read_bytes()
    manifest.write(out / wheel.name, data)
    return described(wheel.name, data, name.tags, tags.served(name), builder="cibuildwheel")


def toolchain(env: Mapping[str, str]) -> manifest.Toolchain:
    """What decides these wheels: cibuildwheel's version, which pins its images by hash, and its variables."""
    changed = {name: env[name] for name in sorted(env) if name.startswith(PREFIX) and name != container_engine.SETTING}
    return manifest.Toolchain(cibuildwheel=importlib.metadata.version("cibuildwheel"), settings=changed)
