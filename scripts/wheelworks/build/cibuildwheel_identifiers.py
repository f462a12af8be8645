"""How cibuildwheel calls a wheel to be built, and which of ours that is: ``cp311-manylinux_x86_64``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

from wheelworks.core.targets import Abi, Target

SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
# cibuildwheel's name of an architecture, where it isn't what ends the identifier.
_ARCHITECTURES = {"win32": "x86", "win_amd64": "AMD64", "win_arm64": "ARM64"}


def host(system: str = sys.platform) -> str:
    """This system as cibuildwheel and the target table name it: "linux", "macos" or "windows"; else its own name."""
    return SYSTEMS.get(system, system)


def platform(target: Target) -> str:
    """The second half of a target's identifiers: its tag without the version of the libc or system."""
    return re.sub(r"^(manylinux|musllinux|macosx)_\d+_\d+_", r"\1_", target.id)


def identifier(target: Target, abi: Abi) -> str:
    """What cibuildwheel calls the wheel of a target and an ABI: the oldest Python that it serves builds it."""
    return f"cp{abi.nodot}-{platform(target)}"


def identifiers(targets: Iterable[Target], abis: Sequence[Abi]) -> dict[str, tuple[Target, Abi]]:
    """Every wheel of targets and ABIs, by its identifier."""
    return {identifier(target, abi): (target, abi) for target in targets for abi in abis}


def architecture(target: Target) -> str:
    """What cibuildwheel's ``--archs`` calls a target's CPU."""
    name = platform(target)
    return _ARCHITECTURES.get(name) or name.partition("_")[2]
