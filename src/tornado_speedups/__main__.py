"""``python -m tornado_speedups``: what install() does to the Tornado that is here, and whether it works."""

from __future__ import annotations

import random
import sys
import warnings
from importlib.metadata import version
from types import ModuleType

from tornado_speedups import _fallback, _implementation, install, status

_HEAD_FUNCTIONS = ("parse_headers", "parse_head", "parse_start_line", "serialize_head")
_PAIRS = [(size, end) for size in range(100) for end in ("", "\r", "\x7f", "\xe9")]


def main() -> int:
    """Print it; return 0 if everything is installed and works, 1 otherwise."""
    warnings.simplefilter("ignore", RuntimeWarning)  # status() says the same
    try:
        install()
    except ImportError as error:
        _say(f"tornado_speedups needs Tornado, which cannot be imported: {error}")
        return 1
    _say(f"tornado-speedups {version('tornado-speedups')}, implementation: {_implementation.implementation}")
    hooks = status()
    for name, text in hooks.items():
        _say(f"{name}: {text}")
    wrong = differences(_implementation)
    _say(f"self-test: {'failed: ' + ', '.join(wrong) if wrong else 'passed'}")
    return 1 if wrong or any(text != "installed" for text in hooks.values()) else 0


def differences(functions: ModuleType) -> list[str]:
    """The names of the functions that don't do what Python's do, for payloads and heads of many sizes."""
    chosen = random.Random(1)
    wrong = {name for name in _HEAD_FUNCTIONS if _results(functions, name) != _results(_fallback, name)}
    for size in [*range(200), 4096, 65535, 65536, 1 << 20]:
        mask, data = chosen.randbytes(4), chosen.randbytes(size)
        masked, buffer = _fallback.websocket_mask(mask, data), bytearray(data)
        functions.websocket_mask_inplace(mask, buffer)
        frame = _fallback.build_frame(0x82, data, mask)
        agreed = {
            "websocket_mask": functions.websocket_mask(mask, data) == masked,
            "websocket_mask_inplace": buffer == masked,
            "build_frame": functions.build_frame(0x82, data, mask) == frame,
            "parse_frames": functions.parse_frames(frame, 0, 2) == ([(0x82, data)], len(frame), 2),
        }
        wrong.update(name for name, equal in agreed.items() if not equal)
    return sorted(wrong)


def _results(functions: ModuleType, name: str) -> list[object]:
    """What one of the functions of HTTP heads makes of heads that are plain, and of some that aren't."""
    function = getattr(functions, name)
    if name == "serialize_head":
        heads = [{"Name": ["x" * size], "Other": ["a", end]} for size, end in _PAIRS]
        return [function("HTTP/1.1 200 OK", head, b"body") for head in heads]
    if name == "parse_start_line":
        return [function(f"GET /{'x' * size} HTTP/1.1{end}") for size, end in _PAIRS]
    first = "" if name == "parse_headers" else "GET / HTTP/1.1"
    return [function(f"{first}\r\nname-{'x' * size}: {size * 'y'}\tz{end}\r\n") for size, end in _PAIRS]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
