"""What can stop a run on the emulated CPU: a fault of the code, or something that isn't emulated."""

from __future__ import annotations

from typing import Any, Literal

from wheelworks.core.errors import Unsupported, WheelworksError

# The words of AddressSanitizer where it has one.
FaultKind = Literal[
    "heap-buffer-overflow-read", "heap-buffer-overflow-write", "use-after-free", "write-to-immutable", "write-to-code",
    "null-pointer", "wild-pointer", "null-call", "jump-outside-module", "misaligned-access", "illegal-instruction",
    "timeout", "stack-overflow", "stack-buffer-overflow", "reference-leak", "over-decref", "memory-leak",
    "invalid-free", "buffer-not-released", "null-without-error", "error-with-result", "not-an-object",
    "wrong-output-size", "bad-api-use", "abort",
]  # fmt: skip


class Fault(WheelworksError):
    """The code did something wrong.

    ``kind`` is stable and ``what`` describes the fault. ``address`` is the guest address of the instruction, ``where``
    its symbol and offset; ``function`` is the Python function that was called and ``arguments`` its arguments.
    """

    def __init__(
        self, kind: FaultKind, what: str, address: int = 0, where: str = "", function: str = "", arguments: str = ""
    ) -> None:
        place = f" at {where} ({address:#x})" if where else ""
        call = f", in {function}({arguments})" if function else ""
        hint = "build the extension with -g0 but unstripped symbols to see function names"
        super().__init__(f"{kind}: {what}{place}{call}", hint)
        self.kind: FaultKind = kind
        self.what = what
        self.address, self.where = address, where
        self.function, self.arguments = function, arguments

    def placed(self, **known: Any) -> Fault:
        """Return the same fault with what was unknown (address, where, function, arguments) filled in."""
        names = ("address", "where", "function", "arguments")
        return Fault(
            self.kind, self.what, *(getattr(self, name) or known.get(name, getattr(self, name)) for name in names)
        )


def add_address(found: Fault | Unsupported, address: int) -> Fault | Unsupported:
    """Add the address of the instruction to a fault that has none."""
    return found.placed(address=address) if isinstance(found, Fault) else found
