"""Show with ``python -m tornado_speedups`` what install() does to the installed Tornado, and test it.

Run a program with the speedups installed: ``python -m tornado_speedups server.py --port 8888``, or
``python -m tornado_speedups -m jupyterlab``.
"""

from __future__ import annotations

import random
import runpy
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from tornado_speedups import _implementation, _python, install, status

USAGE = """\
usage: python -m tornado_speedups                          show what is installed, and test it
       python -m tornado_speedups FILE [ARGUMENT...]       run a program with the speedups installed
       python -m tornado_speedups -m MODULE [ARGUMENT...]  the same, as python -m MODULE does"""
_HEAD_FUNCTIONS = ("parse_headers", "parse_head", "parse_start_line", "serialize_head")
_PAIRS = [(size, end) for size in range(100) for end in ("", "\r", "\x7f", "\xe9")]


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return the exit status, unless the program that it runs exits by itself."""
    if not arguments:
        return show_status()
    if arguments[0] in ("-h", "--help"):
        _print(USAGE)
        return 0
    if arguments[0].startswith("-") and (arguments[0] != "-m" or len(arguments) == 1):
        sys.stderr.write(f"{USAGE}\n")
        return 2
    run_program(arguments)
    return 0


def run_program(arguments: Sequence[str]) -> None:
    """Install the speedups, then run a file, or a module after "-m", as Python does."""
    install()
    if arguments[0] == "-m":
        sys.argv[:] = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def show_status() -> int:
    """Print what is installed. Return 0 if that is everything and it works, 1 otherwise."""
    warnings.simplefilter("ignore", RuntimeWarning)  # status() says the same
    try:
        install()
    except ImportError as error:
        _print(f"tornado_speedups needs Tornado, which cannot be imported: {error}")
        return 1
    _print(f"tornado-speedups {version('tornado-speedups')}, implementation: {_implementation.implementation}")
    hooks = status()
    for name, text in hooks.items():
        _print(f"{name}: {text}")
    wrong = find_differences(_implementation)
    _print(f"self-test: {'failed: ' + ', '.join(wrong) if wrong else 'passed'}")
    return 1 if wrong or any(text != "installed" for text in hooks.values()) else 0


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


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
