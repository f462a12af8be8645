"""What the emulated CPU can say about a binary: a fault of the code, or that it can't be run here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from wheelworks.core.errors import WheelworksError

FaultName = Literal[
    "read-out-of-bounds",
    "write-out-of-bounds",
    "use-after-free",
    "write-to-immutable",
    "write-to-code",
    "null-pointer",
    "wild-pointer",
    "null-call",
    "jump-outside-module",
    "misaligned-access",
    "illegal-instruction",
    "endless-loop",
    "stack-overflow",
    "stack-smashed",
    "lost-reference",
    "reference-dropped-twice",
    "lost-memory",
    "invalid-free",
    "buffer-not-released",
    "null-without-error",
    "error-with-result",
    "not-an-object",
    "wrong-output-size",
    "bad-api-use",
    "abort",
]


@dataclass(frozen=True)
class Finding:
    """One fault of the code that was run.

    ``name`` is stable; ``where`` is the symbol and offset of the instruction, ``address`` its guest address;
    ``function`` the Python function that was called, ``arguments`` with what.
    """

    name: FaultName
    what: str
    address: int = 0
    where: str = ""
    function: str = ""
    arguments: str = ""

    def __str__(self) -> str:
        place = f" at {self.where} ({self.address:#x})" if self.where else ""
        call = f", in {self.function}({self.arguments})" if self.function else ""
        return f"{self.name}: {self.what}{place}{call}"


class Fault(WheelworksError):
    """The code did something wrong; ``finding`` says what and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding), "build the extension with -g0 but unstripped symbols to see function names")
        self.finding = finding

    def placed(self, **known: object) -> Fault:
        """The same fault with what was not known yet (where, in which call) filled in."""
        missing = {key: value for key, value in known.items() if not getattr(self.finding, key)}
        return Fault(replace(self.finding, **missing))  # type: ignore[arg-type]  # the names are fields of Finding


class CannotRun(WheelworksError):
    """The binary needs something that the emulated CPU doesn't offer: no verdict on the code itself."""

    def placed(self, **_known: object) -> CannotRun:
        """Itself: where it happened doesn't matter."""
        return self


def fault(name: FaultName, what: str) -> Fault:
    """A fault whose place is filled in by whoever knows it."""
    return Fault(Finding(name, what))
