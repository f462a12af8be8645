"""Runs the extension module of a wheel for any platform on an emulated CPU, and checks everything that it does.

:mod:`wheelworks.emulator.process` explains how it works.
"""

from __future__ import annotations

from pathlib import Path

from wheelworks.core.formats import read_image
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.extension import EmulatedModule, choose_extension, read_extensions

__all__ = ["EmulatedModule", "RunLimits", "load"]


def load(
    path: str | Path, *, member: str | None = None, cpu: str | None = None, limits: RunLimits | None = None
) -> EmulatedModule:
    """Import the extension module of a wheel, or of a bare ``.so`` or ``.pyd``, on an emulated CPU.

    ``member`` names the module of a wheel that has several; ``cpu`` ("aarch64", "x86_64") selects a part of a
    universal binary. Raises BadImage for a file that no loader accepts, Unsupported for one that can't be emulated,
    Fault for wrong code, and the exceptions that the module's import raises.
    """
    path = Path(path)
    extension = choose_extension(read_extensions(path), member, path)
    image = read_image(extension.data, extension.name, cpu)
    return EmulatedModule(image, extension, limits or RunLimits())
