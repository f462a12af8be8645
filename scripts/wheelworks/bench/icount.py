"""Instruction counts of a wheel's functions on the emulated CPU, per call and per byte, and their baseline.

The counts are those of the wheel's own machine code, exact and the same on every machine: a loop on ARM64 that lost its
vector instructions is found on an x86-64 laptop. The instructions that CPython executes for a call aren't counted.

Each function is called with SMALL and with LARGE bytes, to separate the cost of a byte from the cost of a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.core.errors import Unsupported, WheelworksError

BASELINE = Path(__file__).with_name("icount.json")
SCHEMA = 1
TOLERANCE = 0.05
SMALL, LARGE = 256, 1280  # both make a frame's length 16 bits long
UNSUPPORTED = "unsupported"
_MASK = b"\x37\xfa\x21\x3d"
_HEADERS = ("Host", "Accept", "User-Agent", "Cookie")


def _frame(size: int) -> bytes:
    """Return a masked binary frame of zeros (RFC 6455, section 5.2)."""
    return b"\x82\xfe" + size.to_bytes(2, "big") + _MASK + (_MASK * (size // 4 + 1))[:size]


def _headers(size: int) -> dict[str, list[str]]:
    """Return four headers, whose values have ``size`` characters together."""
    return {name: ["x" * (size // len(_HEADERS))] for name in _HEADERS}


def _header_lines(size: int) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, [value] in _headers(size).items()).encode()


CALLS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "websocket_mask": lambda size: (_MASK, bytes(size)),
    "websocket_mask_inplace": lambda size: (_MASK, bytearray(size)),
    "parse_frames": lambda size: (_frame(size), 0, 1 << 20),
    "build_frame": lambda size: (0x82, bytes(size), _MASK),
    "build_frame_into": lambda size: (0x82, bytes(size), _MASK, bytearray(size + 14)),
    "parse_headers": lambda size: (_header_lines(size),),
    "parse_head": lambda size: (b"GET / HTTP/1.1\r\n" + _header_lines(size),),
    "parse_start_line": lambda size: (f"GET /{'x' * size} HTTP/1.1",),
    "serialize_head": lambda size: ("HTTP/1.1 200 OK", _headers(size), b""),
}


@dataclass(frozen=True)
class WheelCounts:
    """The counts of each function of a wheel, for SMALL and LARGE bytes; or the reason why it can't be emulated."""

    tags: str
    cpu: str
    counts: dict[str, tuple[int, int]]
    reason: str = ""


@dataclass(frozen=True)
class Change:
    """A message about a count that differs from the baseline, and whether the difference is a regression."""

    text: str
    regression: bool


def count_wheel(wheel: Path) -> WheelCounts:
    """Count the instructions of each function. Raises WheelworksError for a wheel whose code is wrong."""
    from wheelworks.emulator import load

    tags = "-".join(wheel.name.removesuffix(".whl").rsplit("-", 3)[1:])
    try:
        with closing(load(wheel)) as module:
            if unknown := sorted({method.name for method in module.definition_.methods} ^ CALLS.keys()):
                names = ", ".join(unknown)
                raise WheelworksError(f"{wheel.name}: {names}: not both in the wheel and in bench/icount.py")
            counter = module.count_instructions_()
            counts = {name: _count_function(getattr(module, name), CALLS[name], counter) for name in CALLS}
            return WheelCounts(tags, module.abi_.cpu, counts)
    except Unsupported as error:
        return WheelCounts(tags, "", {}, error.message)


def _count_function(
    function: Callable[..., object], arguments: Callable[[int], tuple[Any, ...]], counter: Callable[[], int]
) -> tuple[int, int]:
    """Return the instructions of a small and of a large call, after a first call that fills the module's caches."""
    function(*arguments(SMALL))
    before = counter()
    function(*arguments(SMALL))
    between = counter()
    function(*arguments(LARGE))
    return between - before, counter() - between


def cost_per_byte(counts: tuple[int, int]) -> float:
    """Return the instructions for each byte."""
    return (counts[1] - counts[0]) / (LARGE - SMALL)


def cost_per_call(counts: tuple[int, int]) -> float:
    """Return the instructions of a call that don't depend on the number of bytes."""
    return counts[0] - SMALL * cost_per_byte(counts)


def parse_counts(text: str) -> tuple[int, int]:
    """Return the two counts of a JSON string. Raises ValueError for another string."""
    small, large = (int(word) for word in text.split())
    return small, large


def load_counts(path: Path = BASELINE) -> dict[str, Any]:
    """Load a file of counts. Raises WheelworksError if it can't be read or was counted with other sizes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["schema"], found["sizes"]) != (SCHEMA, [SMALL, LARGE]):
            raise KeyError("another schema, or other sizes")
        for row in found["wheels"].values():
            _ = [parse_counts(text) for name, text in row.items() if name != UNSUPPORTED]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"{path}: not a file of instruction counts: {error}"
        raise WheelworksError(message, "nox -s bench -- --icount --update-baseline") from error
    return dict(found)


def format_counts(wheels: Sequence[WheelCounts]) -> str:
    """Return the counts as JSON with a line for each function, so that a review shows each change."""
    rows = {wheel.tags: _make_row(wheel) for wheel in sorted(wheels, key=lambda one: one.tags)}
    return json.dumps({"schema": SCHEMA, "sizes": [SMALL, LARGE], "wheels": rows}, indent=1) + "\n"


def _make_row(wheel: WheelCounts) -> dict[str, str]:
    if wheel.reason:
        return {UNSUPPORTED: wheel.reason}
    return {name: " ".join(map(str, counts)) for name, counts in wheel.counts.items()}


def compare_counts(wheels: Sequence[WheelCounts], known: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the changes by more than the tolerance. A wheel or function without a baseline is a regression, too."""
    for wheel in wheels:
        before = known["wheels"].get(wheel.tags)
        if before is None:
            yield Change(f"{wheel.tags}: this wheel isn't in the baseline", regression=True)
        elif UNSUPPORTED in before or wheel.reason:
            if before != _make_row(wheel):
                why = wheel.reason or "it can be run now: count its instructions"
                yield Change(f"{wheel.tags}: {why}", regression=True)
        else:
            yield from _compare_wheel(wheel, before)


def _compare_wheel(wheel: WheelCounts, before: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(wheel.counts.keys() | before.keys()):
        if name not in wheel.counts or name not in before:
            place = "counted" if name in wheel.counts else "in the baseline"
            yield Change(f"{wheel.tags}: {name}: only {place}", regression=True)
            continue
        for size, old, new in zip((SMALL, LARGE), parse_counts(before[name]), wheel.counts[name], strict=True):
            if abs(new - old) > TOLERANCE * old:
                change = f" ({new / old - 1:+.0%})" if old else ""
                text = f"{wheel.tags}: {name}, {size} bytes: {old:,} instructions are now {new:,}{change}"
                yield Change(text, regression=new > old)
