"""The binaries of two wheels: what machine they are for, and what they offer to the loader."""

from __future__ import annotations

from wheelworks.compare.differences import Difference, several
from wheelworks.compare.modules import shared
from wheelworks.compare.pairs import Pair, Wheel
from wheelworks.core import binary
from wheelworks.core.binary import Binary
from wheelworks.core.tags import CompatibilityTarget

# Every linker adds some of these on its own; nobody calls them by name.
OF_THE_LINKER = frozenset({"_init", "_fini", "_end", "_edata", "_etext", "__bss_start", "__bss_end__", "__end__"})


def compare_binaries(one: Pair) -> list[Difference]:
    """For each module that both wheels have, and each CPU that both serve: format, machine, and exported names.

    Raises WheelworksError for a file that is no binary.
    """
    slots = {slot.cpu: slot for slot in one.slots}.values()
    return [found for module in shared(one) for slot in slots for found in _compare(one, *module, slot)]


def _compare(one: Pair, name: str, file_a: str, file_b: str, slot: CompatibilityTarget) -> list[Difference]:
    first, second = _half(one.a, file_a, slot), _half(one.b, file_b, slot)
    if (first.format, first.machine) != (second.format, second.machine):
        text = f"{name} is {first.format} for {first.machine} in the first, {second.format} for {second.machine}"
        return [Difference("binary", str(slot), f"{text} in the second")]
    found = []
    for ours, theirs, where in ((first, second, "first"), (second, first, "second")):
        if only := sorted(set(ours.exports) - set(theirs.exports) - OF_THE_LINKER):
            text = f"{name} of the {where} wheel alone exports {several(only)}"
            found.append(Difference("exports", str(slot), text))
    return found


def _half(wheel: Wheel, name: str, slot: CompatibilityTarget) -> Binary:
    """The binary, or the half of a universal one that is for the slot's CPU."""
    parts = binary.describe(wheel.members[name].data, f"{wheel.path.name}: {name}")
    return next((part for part in parts if part.machine == slot.cpu), parts[0])
