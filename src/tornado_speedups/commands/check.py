"""Show what install() does to the installed Tornado, and test the functions."""

from __future__ import annotations

import platform
import random
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from tornado_speedups import _implementation, _python, install, status

HOW_TO_GET_C = f"""\
to get C: {_implementation.REINSTALL}
  If the index has no wheel with C for this platform, install a C compiler and Python's headers, and add
  --no-binary tornado-speedups."""
_HEAD_FUNCTIONS = ("parse_headers", "parse_head", "parse_start_line", "serialize_head")
_PAIRS = [(size, end) for size in range(100) for end in ("", "\r", "\x7f", "\xe9")]


def check(connections: bool = False) -> tuple[list[str], int]:
    """Install the speedups and test them. Return what to print, and the exit status: 1 if a test fails.

    The functions are compared with those in Python. With ``connections``, real ones are driven through all that is
    installed. Raises ImportError if Tornado is missing.
    """
    _install_quietly()
    wrong = find_differences(_implementation)
    lines = [*_describe(), f"self-test: {'failed: ' + ', '.join(wrong) if wrong else 'passed'}"]
    if connections:
        result = import_module("tornado_speedups.self_test").run_self_test()
        lines += [*str(result).splitlines(), _conclude(result)]
    failed = bool(wrong) or (connections and not result.passed)
    return lines + ([HOW_TO_GET_C] if "compiled" in _implementation.why_no_c else []), int(failed)


def _install_quietly() -> None:
    warnings.simplefilter("ignore", RuntimeWarning)  # status() says the same
    install()


def _conclude(result: Any) -> str:
    """Return the last line about the connections. Those that use nothing of the package prove nothing about it."""
    if result.passed and not result.functions:
        return "connections: nothing is installed that they could test"
    return f"connections: {'passed' if result.passed else 'failed'}"


def describe_left() -> list[str]:
    """Install the speedups, and return one line for each reason why some of them are left to Tornado."""
    _install_quietly()
    hooks: dict[str, list[str]] = {}
    for name, text in status().items():
        if text.startswith("left to "):
            hooks.setdefault(text.partition("; in Python")[0], []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in hooks.items()]


def _describe() -> list[str]:
    tornado = import_module("tornado")
    return [
        f"tornado-speedups {_find_version()}, implementation: {describe_implementation()}",
        f"Tornado {tornado.version}, {platform.python_implementation()} {platform.python_version()}",
        # The first line says the rest.
        *(f"{name}: {text.partition('; in Python')[0]}" for name, text in status().items()),
    ]


def describe_implementation() -> str:
    """Return "c", or "python" with the reason."""
    if _implementation.implementation == "c":
        return "c"
    return f"python ({_implementation.why_no_c or f'{_implementation.SWITCH}=0 selects it'})"


def _find_version() -> str:
    try:
        return version("tornado-speedups")
    except PackageNotFoundError:  # a folder that was copied
        return "of an unknown version"


def find_differences(functions: ModuleType) -> list[str]:
    """Return the names of the functions that don't do what Python's do, for payloads and heads of many sizes."""
    generator = random.Random(1)
    wrong = {name for name in _HEAD_FUNCTIONS if _results(functions, name) != _results(_python, name)}
    for size in [*range(200), 4096, 65535, 65536, 1 << 20]:
        mask, data = generator.randbytes(4), generator.randbytes(size)
        masked, buffer = _python.websocket_mask(mask, data), bytearray(data)
        functions.websocket_mask_inplace(mask, buffer)
        frame = _python.build_frame(0x82, data, mask)
        place = bytearray(len(frame))
        agreed = {
            "websocket_mask": functions.websocket_mask(mask, data) == masked,
            "websocket_mask_inplace": buffer == masked,
            "build_frame": functions.build_frame(0x82, data, mask) == frame,
            "build_frame_into": functions.build_frame_into(0x82, data, mask, place) == len(frame) and place == frame,
            "parse_frames": functions.parse_frames(frame, 0, 2) == ([(0x82, data)], len(frame), 2),
        }
        wrong.update(name for name, equal in agreed.items() if not equal)
    return sorted(wrong)


def _results(functions: ModuleType, name: str) -> list[object]:
    """Return what a function of HTTP heads returns for heads that are plain, and for some that aren't."""
    function = getattr(functions, name)
    if name == "serialize_head":
        heads = [{"Name": ["x" * size], "Other": ["a", end]} for size, end in _PAIRS]
        return [function("HTTP/1.1 200 OK", head, b"body") for head in heads]
    if name == "parse_start_line":
        return [function(f"GET /{'x' * size} HTTP/1.1{end}") for size, end in _PAIRS]
    first = "" if name == "parse_headers" else "GET / HTTP/1.1"
    return [function(f"{first}\r\nname-{'x' * size}: {size * 'y'}\tz{end}\r\n") for size, end in _PAIRS]
