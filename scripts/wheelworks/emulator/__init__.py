"""Wheel -> proof that its machine code runs, or a stated reason why it can't be run here."""

from __future__ import annotations

from pathlib import Path

from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.extension import EmulatedModule, choose_extension, read_extensions
from wheelworks.emulator.formats import read_image

__all__ = ["EmulatedModule", "RunLimits", "load"]


def load(
    path: str | Path, *, member: str | None = None, cpu: str | None = None, limits: RunLimits | None = None
) -> EmulatedModule:
    """Import the extension module of a wheel, or of a bare ``.so`` or ``.pyd``, on an emulated CPU.

    ``member`` names the module where a wheel has several; ``cpu`` ("aarch64", "x86_64") chooses the half of a
    universal binary. Raises WheelworksError: BadImage for a file that no loader would take, Unsupported for one that
    needs what isn't emulated, Fault for one whose code is wrong; and whatever the module raises when imported.
    """
    path = Path(path)
    extension = choose_extension(read_extensions(path), member, path)
    image = read_image(extension.data, extension.name, cpu)
    return EmulatedModule(image, extension, limits or RunLimits())
