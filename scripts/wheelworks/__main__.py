"""``python -m wheelworks COMMAND``: what the Nox sessions call."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
from collections.abc import Sequence

from wheelworks import console, processes
from wheelworks.errors import WheelworksError

COMMANDS = {
    "cross-arm64": "wheelworks.commands.cross_arm64",
    "build-wheels": "wheelworks.commands.build_wheels",
    "test-foreign": "wheelworks.commands.test_foreign",
    "audit": "wheelworks.commands.audit",
    "test-native": "wheelworks.commands.test_native",
    "test-autobahn": "wheelworks.commands.test_autobahn",
    "reproduce": "wheelworks.commands.reproduce",
    "release": "wheelworks.commands.release",
    "host-wheel": "wheelworks.commands.host_wheel",
    "bench": "wheelworks.commands.bench",
    "report": "wheelworks.commands.report",
    "compare": "wheelworks.commands.compare",
    "builders": "wheelworks.commands.builders",
}


def main(argv: Sequence[str]) -> int:
    """Run a command and turn its failures into messages; returns the exit status."""
    if not argv or argv[0] not in COMMANDS:
        console.error(f"no command {argv[0]!r}" if argv else "no command", f"one of: {', '.join(COMMANDS)}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, processes.interrupt)
    processes.end_with_parent()
    try:
        return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))
    except WheelworksError as error:
        console.error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        console.error("interrupted: what was being built is gone, what was written before is whole")
        return 1
    except OSError as error:
        console.error(*_system(error))
        return 1
    finally:
        processes.stop_all()


def _system(error: OSError) -> tuple[str, str]:
    where = f": {error.filename}" if error.filename else ""
    hint = "free some room, or set TMPDIR and WHEELWORKS_CACHE to a larger disk" if error.errno == errno.ENOSPC else ""
    return f"{error.strerror or error}{where}", hint


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
