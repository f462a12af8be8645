"""Download the distributions that a wheel requires, for the platform of the wheel: binaries of one ABI fit together.

Those of a wheel of musl are for glibc, because a CPython of glibc loads them.
"""

from __future__ import annotations

from pathlib import Path

from wheelworks.core.errors import Unsupported
from wheelworks.core.wheel import Wheel, find_dist_info, open_wheel
from wheelworks.foreign.pythons import Runtime
from wheelworks.foreign.site_packages import LIMITS
from wheelworks.testing.requirements import (
    NoWheel,
    download_requirements,
    list_linux_platforms,
    list_requirements,
    make_environment,
)

# NumPy and SciPy have wheels with their own libraries for macOS 13, and others that call Accelerate of macOS 14.
NEWEST_MACOS = "13_0"
_MACOS_CPUS = {"aarch64": "arm64"}


def list_platforms(runtime: Runtime) -> list[str]:
    """Return the platform tags of the wheels that a wheel's run can load; pip adds those of older versions of macOS."""
    cpu = runtime.cpu.name
    if runtime.system == "windows":
        return ["win_arm64"]
    if runtime.system == "macos":
        return [f"macosx_{NEWEST_MACOS}_{_MACOS_CPUS.get(cpu, cpu)}"]
    return list_linux_platforms(cpu)


def read_requirements(wheel: Wheel, runtime: Runtime) -> list[str]:
    """Return what a wheel requires under a CPython of Linux, without extras. Raises WheelworksError."""
    member = wheel.members.get(f"{find_dist_info(wheel.members, wheel.path.name)}/METADATA")
    metadata = member.data.decode(errors="replace") if member else ""
    return list_requirements(metadata, (), (), make_environment(runtime.python, runtime.cpu.name))


def download_dependencies(requirements: list[str], runtime: Runtime, folder: Path) -> list[Wheel]:
    """Download distributions, and all that they require, into a new folder.

    Raises Unsupported where one has no wheel for the platform.
    """
    try:
        paths = download_requirements(requirements, runtime.python, list_platforms(runtime), folder)
    except NoWheel as error:
        raise Unsupported(f"it needs other distributions: {error.message}", error.hint) from error
    return [open_wheel(path, LIMITS) for path in paths]
