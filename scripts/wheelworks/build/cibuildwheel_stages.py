"""How long each stage of a build by cibuildwheel took, as it says itself."""

from __future__ import annotations

import re

from wheelworks.build.cibuildwheel import COLOUR

# What comes before a wheel that could be published; auditing and testing come after.
BUILDING = (
    *("Starting container image", "Copying project into container", "Setting up build environment"),
    *("Building wheel", "Repairing wheel", "Copying wheels back to host"),
)
_LINE = re.compile(r"^(?P<name>[A-Z][^\n]*)\.\.\.$|^\s+✓ (?P<seconds>[0-9.]+)s$", re.MULTILINE)


def stages(output: str) -> dict[str, float]:
    """The seconds of each stage, summed over the wheels, from what cibuildwheel wrote."""
    found: dict[str, float] = {}
    name = ""
    for match in _LINE.finditer(COLOUR.sub("", output)):
        if match["name"]:
            name = match["name"]
        elif name:
            found[name] = found.get(name, 0.0) + float(match["seconds"])
            name = ""
    return found


def building(output: str) -> float:
    """The seconds of the stages that a build consists of, without audits and tests."""
    return sum(seconds for name, seconds in stages(output).items() if name.startswith(BUILDING))
