"""Download the distributions that a wheel requires, for the platform of the wheel: binaries of one ABI fit together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from wheelworks.core import process
from wheelworks.core.errors import Unsupported
from wheelworks.core.wheel import Wheel, find_dist_info, open_wheel
from wheelworks.foreign.pythons import Runtime
from wheelworks.foreign.rootfs import die_with_parent
from wheelworks.foreign.site_packages import LIMITS

TIME_LIMIT = 300.0  # seconds
# The newest versions whose wheels are taken (glibc's is that of Debian's newest release), and pip's names of CPUs.
_NEWEST_GLIBC, _NEWEST_MACOS = 41, "26_0"
_MACOS_CPUS = {"aarch64": "arm64"}


def read_requirements(wheel: Wheel, python: str) -> list[str]:
    """Return what a wheel requires under CPython ``python`` of Linux, without extras, as lines for pip."""
    member = wheel.members.get(f"{find_dist_info(wheel.members, wheel.path.name)}/METADATA")
    lines = BytesParser().parsebytes(member.data).get_all("Requires-Dist", []) if member else []
    version = python.removesuffix("t")
    environment = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    found = []
    for line in map(str, lines):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # the audit reports it
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found.append(str(requirement))
    return found


def list_platforms(runtime: Runtime) -> list[str]:
    """Return the platform tags for pip of the wheels that fit a wheel's own; pip adds older versions of macOS."""
    cpu = runtime.cpu.name
    if runtime.system == "windows":
        return [{"aarch64": "win_arm64"}[cpu]]
    if runtime.system == "macos":
        return [f"macosx_{_NEWEST_MACOS}_{_MACOS_CPUS.get(cpu, cpu)}"]
    return [f"manylinux2014_{cpu}", *(f"manylinux_2_{minor}_{cpu}" for minor in range(17, _NEWEST_GLIBC + 1))]


def download_requirements(requirements: Sequence[str], runtime: Runtime, folder: Path) -> list[Wheel]:
    """Download distributions, and all that they require, into a new folder.

    Raises Unsupported where the index has no wheel of one for the platform.
    """
    python = runtime.python.removesuffix("t")
    digits = runtime.python.replace(".", "")
    options = ["--only-binary=:all:", f"--dest={folder}", f"--python-version={python}", "--implementation=cp"]
    options += [f"--abi={abi}" for abi in (f"cp{digits}", "abi3", "none")]
    options += [f"--platform={platform}" for platform in list_platforms(runtime)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
    ended = process.run(die_with_parent([*command, *requirements]), timeout=TIME_LIMIT)
    if ended.status:
        platform = list_platforms(runtime)[-1]
        raise Unsupported(f"it needs {', '.join(requirements)}, not to be had for {platform}: {ended.last_lines(1)}")
    return [open_wheel(path, LIMITS) for path in sorted(folder.glob("*.whl"))]
