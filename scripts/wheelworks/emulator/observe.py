"""Observe an extension module on the emulated CPU, so that two builds of it can be compared.

Observations contain no address, time or identity of an object: the same source must give the same ones on every CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, FunctionType

from wheelworks.core.errors import Unsupported, WheelworksError
from wheelworks.core.formats import list_cpus, read_image
from wheelworks.core.image import BadImage, Image
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.extension import EmulatedModule, ExtensionModule, read_extensions
from wheelworks.emulator.faults import Fault

# Small values of every kind that a C function may accept.
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
    """What one binary did on one CPU. ``why`` is set if it couldn't be run; then the rest is empty."""

    definition: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    why: str = ""


def observe_behaviour(path: Path, *, limits: RunLimits | None = None) -> dict[tuple[str, str], Behaviour]:
    """Observe every extension of a wheel; return the behaviour by name in the wheel and CPU ("" if not emulated).

    Raises WheelworksError for a damaged wheel. Faults of a module are part of its behaviour.
    """
    found: dict[tuple[str, str], Behaviour] = {}
    for extension in read_extensions(path):
        for cpu in list_cpus(extension.data, extension.name):
            emulated = cpu or ""
            try:
                image = read_image(extension.data, extension.name, cpu)
                emulated = image.cpu
                behaviour = _observe_module(image, extension, limits or RunLimits())
            except (Unsupported, BadImage) as error:
                behaviour = Behaviour(why=error.message)
            found[extension.name, emulated] = behaviour
    return found


def _observe_module(image: Image, extension: ExtensionModule, limits: RunLimits) -> Behaviour:
    try:
        module = EmulatedModule(image, extension, limits)
    except Unsupported:
        raise
    except Exception as error:
        return Behaviour(definition={"import": _describe_error(error)})
    try:
        attributes = {name: _describe(getattr(module, name)) for name in dir(module) if not name.startswith("_")}
        return Behaviour(_observe_definition(module), attributes, dict(_observe_calls(module)))
    finally:
        module.close()


def _observe_definition(module: EmulatedModule) -> dict[str, str]:
    definition = module.definition_
    notes = {"import": "works", "name": definition.name, "doc": repr(definition.doc)}
    for method in definition.methods:
        notes[f"method {method.name}"] = f"flags {method.flags:#x}, doc {method.doc!r}"
    for name, value in definition.slots:
        notes[f"slot {name}"] = str(value) if name in SLOTS_WITH_VALUES else "is there"
    return notes


def _observe_calls(module: EmulatedModule) -> Iterator[tuple[str, str]]:
    for method in module.definition_.methods:
        for arguments in generate_arguments():
            shown = ", ".join(map(_describe, arguments))
            yield f"{method.name}({shown})", _observe_call(module, method.name, arguments)


def generate_arguments() -> Iterator[Sequence[object]]:
    """Yield lists of arguments for an unknown function, with new buffers for each call."""
    yield []
    yield from ([value] for value in VALUES)
    yield from itertools.product(VALUES, VALUES)
    yield from itertools.product(FEW, repeat=3)
    yield from itertools.product((1, b"abcd"), repeat=4)
    for length in LENGTHS:
        data = bytes((i * 167 + 13) & 0xFF for i in range(length))
        yield [data]
        yield from ([b"\x37\xfa\x21\x3d", changed] for changed in (data, bytearray(data)))


def _observe_call(module: EmulatedModule, name: str, arguments: Sequence[object]) -> str:
    try:
        result = _describe(getattr(module, name)(*arguments))
    except Exception as error:
        result = _describe_error(error)
    changed = [_describe(value) for value in arguments if isinstance(value, bytearray)]
    return f"{result}, leaving {', '.join(changed)}" if changed else result


def _describe_error(error: Exception) -> str:
    if isinstance(error, Fault):
        return f"fault: {error.kind}"
    if isinstance(error, WheelworksError):
        return f"{type(error).__name__}: {error.message}"
    return f"{type(error).__name__}: {error}"


def _describe(value: object) -> str:
    """Describe a value without addresses; of other objects, only the type."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, memoryview):
        return f"memoryview({value.tobytes()!r})"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(_describe, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{_describe(key)}: {_describe(item)}' for key, item in value.items())})"
    return "a function" if isinstance(value, FUNCTIONS) else f"a {type(value).__name__}"
