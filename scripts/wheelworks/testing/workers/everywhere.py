"""Install the speedups in every process of an environment, or none, and record what each process had.

A ``.pth`` file of the environment imports this module when Python starts, before any other code. The folder
``speedups`` of the environment has the file ``run.json``: ``install``, whether to install the speedups, and
``records``, the folder for the records. A process writes ``PID-TIME.json`` when it starts and again when it ends:

- ``command``, its command line; ``tornado``, its version; ``loaded``, whether the package was imported; ``ended``;
- ``hooks``, the status of each hook, and ``implementation``; or ``error``, why there are none although they are wanted;
- ``lost``, the attributes of Tornado that others have replaced since.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

RUN = Path(sys.prefix, "speedups", "run.json")


def install() -> dict[str, Any]:
    """Install the speedups; return the part of the record that doesn't change."""
    try:
        import tornado_speedups

        tornado_speedups.install()
        return {"hooks": tornado_speedups.status(), "implementation": tornado_speedups.implementation}
    except Exception as error:  # an exception in a .pth file is only printed
        return {"error": f"{type(error).__name__}: {error}"}


def find_lost() -> list[str]:
    """Return the attributes of Tornado that no longer are what install() has put there."""
    patching = sys.modules.get("tornado_speedups.patching")
    patches = patching.list_patches() if patching else []
    return [patch.target for patch in patches if vars(patch.owner).get(patch.name) is not patch.replacement]


def describe(found: dict[str, Any]) -> dict[str, Any]:
    """Return the record of this process."""
    version = getattr(sys.modules.get("tornado"), "version", "")
    loaded = "tornado_speedups" in sys.modules
    return {"command": sys.orig_argv, "tornado": version, "loaded": loaded, "lost": find_lost(), **found}


def write(place: Path, record: dict[str, Any]) -> None:
    """Write a record so that it appears whole."""
    fresh = place.with_suffix(".new")
    fresh.write_text(json.dumps(record), encoding="utf-8")
    fresh.replace(place)


def begin(run: Path) -> None:
    """Do what the file says, and record it now and at the end."""
    settings = json.loads(run.read_text(encoding="utf-8"))
    place = Path(settings["records"], f"{os.getpid()}-{time.time_ns()}.json")
    found = install() if settings["install"] else {}
    write(place, describe(found))
    process = os.getpid()

    def end() -> None:
        if os.getpid() == process and place.parent.is_dir():  # not a fork, nor after the end of the run
            write(place, {**describe(found), "ended": True})

    atexit.register(end)


if RUN.is_file():
    begin(RUN)
