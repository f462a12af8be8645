"""The behaviour of two builds of one extension, each noted on an emulated CPU by whoever can run it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Protocol

from wheelworks.compare.differences import Difference, Unproven, several
from wheelworks.compare.modules import shared
from wheelworks.compare.pairs import Pair


class Notes(Protocol):
    """What one binary showed on one CPU: sentences by what they are about; ``why`` it could not be run, else ""."""

    @property
    def definition(self) -> Mapping[str, str]:
        """Its name, doc, methods and slots."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """What is found in it."""
        ...

    @property
    def calls(self) -> Mapping[str, str]:
        """What each call gave."""
        ...

    @property
    def why(self) -> str:
        """Why it could not be run."""
        ...


CANNOT_RUN = "CannotRun: "  # how the notes on a call begin that needs what isn't emulated
Observed = Mapping[tuple[str, str], Notes]


def compare_behaviour(one: Pair, first: Observed, second: Observed) -> tuple[list[Difference], list[Unproven], int]:
    """Hold the notes on two wheels against each other, for the CPUs that both serve.

    Returns the differences, what could not be compared, and how many calls were.
    """
    found: list[Difference] = []
    unproven: list[Unproven] = []
    calls = 0
    cpus = sorted({slot.cpu for slot in one.slots})
    for (name, file_a, file_b), cpu in itertools.product(shared(one), cpus):
        about = f"{one}, {name}, {cpu}"
        ours, theirs = _of(first, file_a, cpu), _of(second, file_b, cpu)
        if ours is None or theirs is None or ours.why or theirs.why:
            known = next((notes.why for notes in (ours, theirs) if notes and notes.why), "")
            unproven.append(Unproven(about, known or "one of the wheels has no binary for this CPU"))
            continue
        if (told := ours.definition.get("import")) == theirs.definition.get("import") != "works":
            unproven.append(Unproven(about, f"neither can be imported: {told}"))
        both = [call for call in ours.calls if _ran(ours.calls[call]) and _ran(theirs.calls.get(call, ""))]
        if left := len(ours.calls) - len(both):
            unproven.append(Unproven(about, f"{left} of {len(ours.calls)} calls need what isn't emulated"))
        found += _compare(about, ours, theirs)
        calls += len(both)
    return found, unproven, calls


def _of(observed: Observed, name: str, cpu: str) -> Notes | None:
    return observed.get((name, cpu)) or observed.get((name, ""))


def _ran(result: str) -> bool:
    return not result.startswith(CANNOT_RUN)


def _compare(about: str, ours: Notes, theirs: Notes) -> list[Difference]:
    imports = ours.definition.get("import"), theirs.definition.get("import")
    if imports[0] != imports[1]:  # the one that can't be imported has nothing else to show
        return [Difference("definition", about, f"import: {_cut(imports[0])} against {_cut(imports[1])}")]
    found = []
    for code, first, second in (
        ("definition", ours.definition, theirs.definition),
        ("attributes", ours.attributes, theirs.attributes),
        ("calls", ours.calls, theirs.calls),
    ):
        ran = [key for key in {**first, **second} if _ran(first.get(key, "")) and _ran(second.get(key, ""))]
        other = [key for key in ran if first.get(key) != second.get(key)]
        if other:
            shown = [f"{key}: {_cut(first.get(key))} against {_cut(second.get(key))}" for key in other]
            found.append(Difference(code, about, several(shown, 3)))  # type: ignore[arg-type]  # one of the three
    return found


def _cut(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
