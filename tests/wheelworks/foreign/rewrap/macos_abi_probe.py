"""Run the cases of ``macos_abi.c`` in the CPython that loaded it, and print their results as JSON."""

import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import abi  # type: ignore[import-not-found]
from abi_probe import collect_cycle, count_in_threads, write_longs  # type: ignore[import-not-found]


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """Return a function's result, or its exception's type and arguments."""
    try:
        return function(*args)
    except Exception as error:
        return [type(error).__name__, *map(str, error.args)]


def try_members(kind: str) -> list[Any]:
    """Write the largest numbers to members, and read their neighbours."""
    one = getattr(abi, f"{kind}_members_type")()()
    one.guard = 77
    found = [attempt(setattr, one, "number", 2**63 - 1), attempt(setattr, one, "size", 2**64 - 1)]
    return [*found, one.number, one.guard, one.size, attempt(setattr, one, "number", 2**63)]


def write_twice(function: Callable[[bytes], Any]) -> Any:
    """Write the same file twice; return what is known of it then."""
    with tempfile.TemporaryDirectory() as folder:
        function(folder.encode())
        return function(folder.encode())


def run(kind: str) -> dict[str, Any]:
    """Return the results of the right or the wrong functions."""

    def get(name: str) -> Any:
        return getattr(abi, f"{kind}_{name}")

    plain = "build format snprintf scanf errno raise memory ctype constructor capsule threads recursive semaphore jump"
    found = {name: attempt(get(name)) for name in plain.split()}
    found["dlsym"], found["datetime"] = attempt(get("dlsym")), str(attempt(get("datetime")))
    found["calls"] = repr(attempt(get("calls")))
    found["parse"] = attempt(get("parse"), 1, 2.5, -3, "four", 5.5, 6, 7.5, 8)
    found["parse_overflow"] = attempt(get("parse"), 1, 2.5, 2**63, "four", 5.5, 6, 7.5, 8)[0]
    found["files"] = write_twice(get("files"))
    found["members"], found["buffer"] = try_members(kind), write_longs(get("buffer"), "q")
    found["wide"] = attempt(get("wide"), "a\N{GRINNING FACE}z")
    found["thread_local"] = count_in_threads(get("thread_local"))
    found["collected"] = collect_cycle(get("node_type")())
    return found


sys.stdout.write(json.dumps({kind: run(kind) for kind in ("right", "wrong")}))
