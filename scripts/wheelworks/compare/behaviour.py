"""Compare what two builds of one extension do, as observed on an emulated CPU by `wheelworks.emulator.observe`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Protocol

from wheelworks.compare.contents import find_shared_modules
from wheelworks.compare.pairs import DifferenceCode, Skipped, WheelDifference, WheelPair
from wheelworks.core.text import abbreviate

CANNOT_RUN = "Unsupported: "  # start of a call's result where the call needs something that isn't emulated


class ModuleObservation(Protocol):
    """What one binary did on one CPU, as texts by what they describe."""

    @property
    def definition(self) -> Mapping[str, str]:
        """The module's name, docstring, methods and slots."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """The module's attributes."""

    @property
    def calls(self) -> Mapping[str, str]:
        """The result of each call."""

    @property
    def why(self) -> str:
        """Why the binary could not be run; "" where it was."""


# By file in the wheel, and CPU ("" for a file that no CPU here can run).
WheelObservations = Mapping[tuple[str, str], ModuleObservation]


def compare_behaviour(
    pair: WheelPair, first: WheelObservations, second: WheelObservations
) -> tuple[list[WheelDifference], list[Skipped], int]:
    """Compare the observations of two wheels, for the modules that both have and the CPUs that both serve.

    Returns the differences, what could not be compared, and the number of calls that were.
    """
    found: list[WheelDifference] = []
    skipped: list[Skipped] = []
    calls = 0
    cpus = sorted({target.cpu for target in pair.targets})
    for (name, file_a, file_b), cpu in itertools.product(find_shared_modules(pair), cpus):
        about = f"{pair}, {name}, {cpu}"
        a, b = (seen.get((file, cpu)) or seen.get((file, "")) for seen, file in ((first, file_a), (second, file_b)))
        if a is None or b is None or a.why or b.why:
            why = next((one.why for one in (a, b) if one and one.why), "")
            skipped.append(Skipped(about, why or "one of the wheels has no binary for this CPU"))
            continue
        if (result := a.definition.get("import")) == b.definition.get("import") != "works":
            skipped.append(Skipped(about, f"neither can be imported: {result}"))
        both = [call for call in a.calls if _was_run(a.calls[call]) and _was_run(b.calls.get(call, ""))]
        if left := len(a.calls) - len(both):
            skipped.append(Skipped(about, f"{left} of {len(a.calls)} calls need what isn't emulated"))
        found += _compare_observations(about, a, b)
        calls += len(both)
    return found, skipped, calls


def _was_run(result: str) -> bool:
    return not result.startswith(CANNOT_RUN)


def _compare_observations(about: str, a: ModuleObservation, b: ModuleObservation) -> list[WheelDifference]:
    imports = a.definition.get("import"), b.definition.get("import")
    if imports[0] != imports[1]:  # the module that can't be imported has nothing else to compare
        return [WheelDifference("definition", about, f"import: {_shorten(imports[0])} against {_shorten(imports[1])}")]
    parts: tuple[tuple[DifferenceCode, Mapping[str, str], Mapping[str, str]], ...] = (
        ("definition", a.definition, b.definition),
        ("attributes", a.attributes, b.attributes),
        ("calls", a.calls, b.calls),
    )
    found = []
    for code, first, second in parts:
        ran = [key for key in {**first, **second} if _was_run(first.get(key, "")) and _was_run(second.get(key, ""))]
        if other := [key for key in ran if first.get(key) != second.get(key)]:
            shown = [f"{key}: {_shorten(first.get(key))} against {_shorten(second.get(key))}" for key in other]
            found.append(WheelDifference(code, about, abbreviate(shown, 3)))
    return found


def _shorten(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
