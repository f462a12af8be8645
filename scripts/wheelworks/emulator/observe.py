"""What an extension module shows on the emulated CPU, written down so that another build of it can be held against it.

No address, no time and no object's identity is in it: the same source must give the same notes on every CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, FunctionType

from wheelworks.core.errors import WheelworksError
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.extension import EmulatedModule, ExtensionModule, read_extensions
from wheelworks.emulator.faults import Fault, Unsupported
from wheelworks.emulator.formats import list_cpus, read_image
from wheelworks.emulator.image import BadImage, Image

# Small, and of every kind that a C function may ask for; the last are for lengths that vectors are made of.
VALUES: tuple[object, ...] = (
    None, True, 0, 1, -1, 255, 1 << 40, 1.5, b"", b"abcd", b"\x37\xfa\x21\x3d", "", "text", "\u20ac", (), [b"ab"], {},
    bytes(range(67)),
)  # fmt: skip
FEW = (None, 1, b"abcd", "text", bytes(range(67)))
LENGTHS = (*range(1, 40), 63, 64, 65, 127, 129, 300, 4099)
PLAIN = (type(None), bool, int, float, str, bytes, bytearray)
FUNCTIONS = (BuiltinFunctionType, FunctionType)
SLOTS_WITH_VALUES = ("multiple_interpreters", "gil", "state_size")


@dataclass(frozen=True)
class Behaviour:
    """What one binary showed, on one CPU; ``why`` says why it could not be run, then the rest is empty."""

    definition: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    why: str = ""


def observe_behaviour(path: Path, *, limits: RunLimits | None = None) -> dict[tuple[str, str], Behaviour]:
    """The notes on every extension of a wheel, by its name there and its CPU ("" where that isn't emulated).

    Raises WheelworksError for a damaged wheel; what a module does wrong stands in its notes.
    """
    found: dict[tuple[str, str], Behaviour] = {}
    for extension in read_extensions(path):
        for cpu in list_cpus(extension.data, extension.name):
            of, notes = _notes(extension, cpu, limits or RunLimits())
            found[extension.name, of] = notes
    return found


def _notes(extension: ExtensionModule, cpu: str | None, limits: RunLimits) -> tuple[str, Behaviour]:
    of = cpu or ""
    try:
        image = read_image(extension.data, extension.name, cpu)
        of = image.cpu
        return of, _of_module(image, extension, limits)
    except (Unsupported, BadImage) as error:
        return of, Behaviour(why=error.message)


def _of_module(image: Image, extension: ExtensionModule, limits: RunLimits) -> Behaviour:
    try:
        module = EmulatedModule(image, extension, limits)
    except Unsupported:
        raise
    except Exception as error:
        return Behaviour(definition={"import": _raised(error)})
    try:
        return Behaviour(_definition(module), _attributes(module), dict(_calls(module)))
    finally:
        module.close()


def _definition(module: EmulatedModule) -> dict[str, str]:
    definition = module.definition_
    notes = {"import": "works", "name": definition.name, "doc": repr(definition.doc)}
    for method in definition.methods:
        notes[f"method {method.name}"] = f"flags {method.flags:#x}, doc {method.doc!r}"
    for name, value in definition.slots:
        notes[f"slot {name}"] = str(value) if name in SLOTS_WITH_VALUES else "is there"
    return notes


def _attributes(module: EmulatedModule) -> dict[str, str]:
    return {name: _told(getattr(module, name)) for name in dir(module) if not name.startswith("_")}


def _calls(module: EmulatedModule) -> Iterator[tuple[str, str]]:
    for method in module.definition_.methods:
        for arguments in generate_arguments():
            shown = ", ".join(map(_told, arguments))
            yield f"{method.name}({shown})", _call(module, method.name, arguments)


def generate_arguments() -> Iterator[Sequence[object]]:
    """Lists of arguments for a function of which nothing is known, buffers made anew for each call."""
    yield []
    yield from ([value] for value in VALUES)
    yield from itertools.product(VALUES, VALUES)
    yield from itertools.product(FEW, repeat=3)
    yield from itertools.product((1, b"abcd"), repeat=4)
    for length in LENGTHS:
        data = bytes((i * 167 + 13) & 0xFF for i in range(length))
        yield [data]
        yield from ([b"\x37\xfa\x21\x3d", changed] for changed in (data, bytearray(data)))


def _call(module: EmulatedModule, name: str, arguments: Sequence[object]) -> str:
    try:
        result = _told(getattr(module, name)(*arguments))
    except Exception as error:
        result = _raised(error)
    changed = [_told(one) for one in arguments if isinstance(one, bytearray)]
    return f"{result}, leaving {', '.join(changed)}" if changed else result


def _raised(error: Exception) -> str:
    if isinstance(error, Fault):
        return f"fault: {error.kind}"
    if isinstance(error, WheelworksError):
        return f"{type(error).__name__}: {error.message}"
    return f"{type(error).__name__}: {error}"


def _told(value: object) -> str:
    """A value in words that name no address; of what has an inside of its own, the type alone."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, memoryview):
        return f"memoryview({value.tobytes()!r})"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(_told, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{_told(key)}: {_told(item)}' for key, item in value.items())})"
    return "a function" if isinstance(value, FUNCTIONS) else f"a {type(value).__name__}"
