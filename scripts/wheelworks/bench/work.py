"""Work on every CPU: how many instructions a wheel's functions run, per call and per byte, on the emulated CPU.

The counts are those of the wheel's own machine code, exact and the same on every machine: a loop that has lost its
vectors on ARM64 is seen on an x86-64 laptop. What CPython does for a call isn't in them, and neither is time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheelworks.errors import WheelworksError
from wheelworks.execute import load
from wheelworks.execute.findings import CannotRun

BASELINE = Path(__file__).with_name("work.json")
SCHEMA = 1
TOLERANCE = 0.05

# Of two sizes, so that what a byte costs is told apart from what a call does. Both make a frame's length 16 bits long.
SMALL, LARGE = 256, 1280
_MASK = b"\x37\xfa\x21\x3d"
_HEADERS = ("Host", "Accept", "User-Agent", "Cookie")

Counts = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Work:
    """The counts of each function of one wheel, for SMALL and LARGE bytes; or why it can't be run here."""

    tags: str
    cpu: str
    counts: Counts
    why: str = ""


def per_byte(counts: tuple[int, int]) -> float:
    """Instructions for each further byte."""
    return (counts[1] - counts[0]) / (LARGE - SMALL)


def per_call(counts: tuple[int, int]) -> float:
    """Instructions of a call that are not for its bytes."""
    return counts[0] - SMALL * per_byte(counts)


def frame(size: int) -> bytes:
    """A masked binary frame of zeros (RFC 6455, section 5.2)."""
    return b"\x82\xfe" + size.to_bytes(2, "big") + _MASK + (_MASK * (size // 4 + 1))[:size]


def headers(size: int) -> dict[str, list[str]]:
    """Four headers, whose values have so many characters in all."""
    return {name: ["x" * (size // len(_HEADERS))] for name in _HEADERS}


def block(size: int) -> bytes:
    """The same headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, [value] in headers(size).items()).encode()


CALLS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "websocket_mask": lambda size: (_MASK, bytes(size)),
    "websocket_mask_inplace": lambda size: (_MASK, bytearray(size)),
    "parse_frames": lambda size: (frame(size), 0, 1 << 20),
    "build_frame": lambda size: (0x82, bytes(size), _MASK),
    "build_frame_into": lambda size: (0x82, bytes(size), _MASK, bytearray(size + 14)),
    "parse_headers": lambda size: (block(size),),
    "parse_head": lambda size: (b"GET / HTTP/1.1\r\n" + block(size),),
    "parse_start_line": lambda size: (f"GET /{'x' * size} HTTP/1.1",),
    "serialize_head": lambda size: ("HTTP/1.1 200 OK", headers(size), b""),
}


def measure(wheel: Path) -> Work:
    """Count each function's instructions. Raises WheelworksError for a wheel whose code is wrong."""
    tags = "-".join(wheel.name.removesuffix(".whl").rsplit("-", 3)[1:])
    try:
        with closing(load(wheel)) as module:
            if unknown := sorted({method.name for method in module.definition_.methods} ^ CALLS.keys()):
                raise WheelworksError(f"{wheel.name}: {', '.join(unknown)}: not both in the wheel and in bench/work.py")
            told = module.count_instructions_()
            counts = {name: _count(getattr(module, name), CALLS[name], told) for name in CALLS}
            return Work(tags, module.abi_.cpu, counts)
    except CannotRun as error:
        return Work(tags, "", {}, error.message)


def _count(
    function: Callable[..., object], arguments: Callable[[int], tuple[Any, ...]], told: Callable[[], int]
) -> tuple[int, int]:
    """The instructions of a small call and of a large one, after a first one that fills what the module keeps."""
    function(*arguments(SMALL))
    before = told()
    function(*arguments(SMALL))
    between = told()
    function(*arguments(LARGE))
    return between - before, told() - between


# -- the baseline


def baseline(path: Path = BASELINE) -> dict[str, Any]:
    """What was counted when it was last agreed on. Raises WheelworksError where it can't be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["schema"], found["sizes"]) != (SCHEMA, [SMALL, LARGE]):
            raise KeyError("another schema, or other sizes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WheelworksError(f"{path}: no baseline: {error}", "nox -s bench -- --work --renew") from error
    return dict(found)


def document(works: Sequence[Work]) -> str:
    """The counts as JSON, a line for each function: what a change of them looks like in a review."""
    wheels = {work.tags: _entry(work) for work in sorted(works, key=lambda one: one.tags)}
    return json.dumps({"schema": SCHEMA, "sizes": [SMALL, LARGE], "wheels": wheels}, indent=1, default=list) + "\n"


def _entry(work: Work) -> dict[str, Any]:
    return (
        {"cannot_run": work.why} if work.why else {name: " ".join(map(str, two)) for name, two in work.counts.items()}
    )


@dataclass(frozen=True)
class Change:
    """A count that is not the baseline's, in words; whether it is a loss."""

    text: str
    lost: bool


def compare(works: Sequence[Work], known: Mapping[str, Any]) -> Iterator[Change]:
    """How wheels differ from a baseline by more than the tolerance; what it doesn't know is a loss, too."""
    for work in works:
        before = known["wheels"].get(work.tags)
        if before is None:
            yield Change(f"{work.tags}: the baseline doesn't know this wheel", lost=True)
        elif "cannot_run" in before or work.why:
            if before != _entry(work):
                yield Change(f"{work.tags}: {work.why or 'it can be run now, and is to be counted'}", lost=True)
        else:
            yield from _compare(work, before)


def _compare(work: Work, before: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(work.counts.keys() | before.keys()):
        if name not in work.counts or name not in before:
            yield Change(
                f"{work.tags}: {name}: only {'counted' if name in work.counts else 'in the baseline'}", lost=True
            )
            continue
        old, new = tuple(map(int, before[name].split())), work.counts[name]
        for size, then, now in zip((SMALL, LARGE), old, new, strict=True):
            if abs(now - then) > TOLERANCE * then:
                told = (
                    f"{then:,} instructions are now {now:,} ({now / then - 1:+.0%})" if then else f"0 are now {now:,}"
                )
                yield Change(f"{work.tags}: {name}, {size} bytes: {told}", lost=now > then)
