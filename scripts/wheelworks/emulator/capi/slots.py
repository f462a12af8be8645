"""The slots of a type as methods of its class in Python: calling one runs the guest's function.

Each entry of ``SLOTS`` names the special methods of a slot, the words that its C function is given, and its result.

- A word is the number of one of the method's arguments (``self`` is 0), given as an object; ``2?`` is NULL, and
  ``2none`` None if the argument is missing; ``n1`` is an argument as a Py_ssize_t, ``=3`` a constant.
- A result is an object (``O``), an int that tells success (``i``), a truth value (``b``), a size (``n``), a hash
  (``h``), or an object whose absence without an exception ends an iteration (``N``).

Sources: CPython's Objects/typeobject.c (slotdefs) and Include/typeslots.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wheelworks.emulator.capi.calls import GuestCall, describe_arguments, run_guest, take_object
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.state import ProcessState

UNARY = {
    "6": "abs", "11": "float", "13": "index", "26": "int", "27": "invert", "30": "neg", "32": "pos", "62": "iter",
    "66": "repr", "70": "str", "77": "await", "78": "aiter", "79": "anext",
}  # fmt: skip
BINARY = {
    "7": "add", "8": "and", "10": "divmod", "12": "floordiv", "28": "lshift", "29": "mul", "31": "or", "34": "mod",
    "35": "rshift", "36": "sub", "37": "truediv", "38": "xor", "75": "matmul",
}  # fmt: skip
IN_PLACE = {
    "14": "iadd", "15": "iand", "16": "ifloordiv", "17": "ilshift", "18": "imul", "19": "ior", "21": "imod",
    "22": "irshift", "23": "isub", "24": "itruediv", "25": "ixor", "42": "iadd", "76": "imatmul",
}  # fmt: skip
COMPARISONS = ("lt", "le", "eq", "ne", "gt", "ge")
SLOTS: dict[int, tuple[tuple[str, str, str], ...]] = {
    **{int(number): ((name, "0", "O"),) for number, name in UNARY.items()},
    **{int(number): ((name, "0 1", "O"), (f"r{name}", "1 0", "O")) for number, name in BINARY.items()},
    **{int(number): ((name, "0 1", "O"),) for number, name in IN_PLACE.items()},
    9: (("bool", "0", "b"),),
    20: (("ipow", "0 1 2none", "O"),),
    33: (("pow", "0 1 2none", "O"), ("rpow", "1 0 2none", "O")),
    45: (("len", "0", "n"),),
    46: (("mul", "0 n1", "O"), ("rmul", "0 n1", "O")),
    43: (("imul", "0 n1", "O"),),
    40: (("add", "0 1", "O"),),
    44: (("getitem", "0 n1", "O"),),
    39: (("setitem", "0 n1 2", "i"), ("delitem", "0 n1 =0", "i")),
    41: (("contains", "0 1", "b"),),
    4: (("len", "0", "n"),),
    5: (("getitem", "0 1", "O"),),
    3: (("setitem", "0 1 2", "i"), ("delitem", "0 1 =0", "i")),
    54: (("get", "0 1? 2?", "O"),),
    55: (("set", "0 1 2", "i"), ("delete", "0 1 =0", "i")),
    58: (("getattribute", "0 1", "O"),),
    59: (("hash", "0", "h"),),
    63: (("next", "0", "N"),),
    67: tuple((name, f"0 1 ={number}", "O") for number, name in enumerate(COMPARISONS)),
    69: (("setattr", "0 1 2", "i"), ("delattr", "0 1 =0", "i")),
    80: (("del", "0", "v"),),
}
RENUMBERED = {88: 1, 89: 2, 90: 3, 91: 4}  # by PEP 820
INHERITED = {"PyObject_GenericGetAttr", "PyObject_GenericSetAttr"}  # object has these itself


def create_slot_methods(state: ProcessState, type_name: str, slots: dict[int, int]) -> dict[str, Any]:
    """Return the special methods of a type, by name. Slots of mappings win over those of sequences, as in CPython."""
    generic = {state.stubs[name] for name in INHERITED}
    found: dict[str, Any] = {}
    for number, entries in SLOTS.items():
        address = slots.get(number, 0)
        for name, words, result in entries if address and address not in generic else ():
            method = f"__{name}__"
            found[method] = _create_method(state, f"{type_name}.{method}", address, words.split(), result)
    if slots.get(59) == state.stubs["PyObject_HashNotImplemented"]:
        found["__hash__"] = None
    return found


def _create_method(state: ProcessState, name: str, address: int, words: list[str], result: str) -> Any:
    most = 1 + max(_parse_index(word) for word in words if word[0] != "=")
    least = most - sum(not word[-1].isdigit() for word in words)
    indexes = "n1" in words and words[0] == "0"

    def method(*args: Any) -> Any:
        if not least <= len(args) <= most:
            raise TypeError(f"expected {most - 1} argument{'s' * (most != 2)}, got {len(args) - 1}")
        if indexes:
            args = (args[0], _convert_index(args[0], args[1], name), *args[2:])

        def prepare(call: GuestCall) -> list[int]:
            return [_convert_word(call, word, args) for word in words]

        return run_guest(state, name, address, prepare, TAKE[result], lambda: describe_arguments(args[1:], {}))

    method.__name__ = name.rpartition(".")[2]
    method.__qualname__ = name
    return method


def _parse_index(word: str) -> int:
    return int(word.removesuffix("none").removesuffix("?").removeprefix("n"))


def _convert_word(call: GuestCall, word: str, args: tuple[Any, ...]) -> int:
    if word[0] == "=":
        return int(word[1:])
    if word[0] == "n":
        number: int = args[int(word[1:])]
        return number & ((1 << 8 * call.state.abi.pointer) - 1)
    index = _parse_index(word)
    value = args[index] if index < len(args) else None
    return 0 if word[-1] == "?" and value is None else call.hold(value)


def _convert_index(owner: Any, index: Any, name: str) -> int:
    """Return the index that the slots of sequences get: a negative one counts from the end."""
    number = int(index.__index__())
    if number < 0 and "item__" in name and hasattr(type(owner), "__len__"):
        number += len(owner)
    return number


def _take_status(state: ProcessState, word: int) -> None:
    status = _sign(word, 4)
    _check_failure(state, status < 0, "the function")


def _take_truth(state: ProcessState, word: int) -> bool:
    status = _sign(word, 4)
    _check_failure(state, status < 0, "the function")
    return status > 0


def _take_size(state: ProcessState, word: int) -> int:
    size = _sign(word, state.abi.pointer)
    _check_failure(state, size < 0, "the function")
    return max(size, 0)


def _take_hash(state: ProcessState, word: int) -> int:
    number = _sign(word, state.abi.pointer)
    _check_failure(state, number == -1, "tp_hash")
    return number


def _take_next(state: ProcessState, word: int) -> Any:
    if word == 0 and state.error is None:
        state.error = StopIteration()
    return take_object(state, word)


def _take_nothing(state: ProcessState, word: int) -> None:
    """The function returns nothing."""


def _check_failure(state: ProcessState, failed: bool, what: str) -> None:
    """Check that a result agrees with the pending exception, which the caller raises."""
    if failed and state.error is None:
        raise Fault("null-without-error", f"{what} returned -1, but no exception was set")
    if not failed and state.error is not None:
        raise Fault("error-with-result", f"{what} succeeded while {state.error!r} was set")


def _sign(word: int, size: int) -> int:
    bits = 8 * size
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


TAKE: dict[str, Callable[[ProcessState, int], Any]] = {
    "O": take_object,
    "i": _take_status,
    "b": _take_truth,
    "n": _take_size,
    "h": _take_hash,
    "N": _take_next,
    "v": _take_nothing,
}
