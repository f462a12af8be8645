"""Run the cases of ``windows_abi.c`` in the CPython that loaded it, and print their results as JSON."""

import json
import sys
from collections.abc import Callable
from typing import Any

import abi  # type: ignore[import-not-found]
from abi_probe import collect_cycle, count_in_threads, write_longs  # type: ignore[import-not-found]


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """Return a function's result, or its exception's type and text."""
    try:
        return function(*args)
    except Exception as error:
        return [type(error).__name__, *map(str, error.args), getattr(error, "winerror", "")]


def try_members(kind: str) -> list[Any]:
    """Write to members of types that are narrower than Python's numbers, and read their neighbours."""
    one = getattr(abi, f"{kind}_members_type")()()
    one.guard = 77
    one.number = -7
    one.size = 2**32 - 1
    found = [one.number, one.guard, one.size, one.fixed]
    for value in (2**31 - 1, 2**31):
        found.append(attempt(setattr, one, "number", value))
        found.append(one.number)
    found.append(attempt(setattr, one, "size", 2**32))
    found.append(attempt(delattr, one, "number"))
    return found


def run(kind: str) -> dict[str, Any]:
    """Return the results of the right or the wrong functions."""

    def get(name: str) -> Any:
        return getattr(abi, f"{kind}_{name}")

    return {
        "parse": attempt(get("parse"), 1, 2.5, -3, "four", 5.5, 6),
        "parse_overflow": attempt(get("parse"), 1, 2.5, 2**31, "four", 5.5, 6)[0],
        "build": get("build")(),
        "format": attempt(get("format")),
        "snprintf": get("snprintf")(),
        "long": [attempt(get("long"), value) for value in (5, -5, 2**31 - 1, -(2**31), 2**31, 2**63)],
        "members": try_members(kind),
        "buffer": write_longs(get("buffer"), "i"),
        "wide": attempt(get("wide"), "a\N{GRINNING FACE}z"),
        "thread_local": count_in_threads(get("thread_local")),
        "constructor": get("constructor")(),
        "capsule": get("capsule")(),
        "datetime": str(attempt(get("datetime"))),
        "thread": get("thread")(),
        "collected": collect_cycle(get("node_type")()),
        "error": attempt(get("error")),
    }


sys.stdout.write(json.dumps({kind: run(kind) for kind in ("right", "wrong")}))
