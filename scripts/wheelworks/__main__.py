"""``wheelworks COMMAND``, or ``python -m wheelworks COMMAND``: the program that the Nox sessions run."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from wheelworks import __version__
from wheelworks.core import console, process
from wheelworks.core.errors import UsageError, WheelworksError

COMMANDS = {
    name: f"wheelworks.cli.{name.replace('-', '_')}"
    for name in (
        *("cross-arm64", "build-wheels", "test-foreign", "audit", "lint-project", "test-native", "test-autobahn"),
        *("test-frameworks", "reproduce", "release", "host-wheel", "bench", "report", "compare"),
    )
}
# These commands work for tornado-speedups only: they need its tests, its benchmarks or its release process.
OWN = ("test-native", "test-autobahn", "test-frameworks", "release", "bench")
CHECKOUT = Path(__file__).parents[2]
HELP = f"""\
usage: wheelworks COMMAND ...

Builds the wheels of a C extension for every platform, runs the machine code of each, audits them, and builds them
again to the same bytes, on one machine.

commands for any project: {", ".join(name for name in COMMANDS if name not in OWN)}
commands for tornado-speedups, in its repository: {", ".join(OWN)}
(test-native --source runs any project's own tests)

wheelworks COMMAND --help explains a command; wheelworks --version prints the version.
"""


def main(argv: Sequence[str]) -> int:
    """Run a command, and print its errors; returns the exit status."""
    if argv and argv[0] in ("--help", "-h", "--version"):
        sys.stdout.write(f"wheelworks {__version__}\n" if argv[0] == "--version" else HELP)
        return 0
    if not argv or argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1, cutoff=0.7) if argv else []
        hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(COMMANDS)}"
        console.print_error(f"no command {argv[0]!r}" if argv else "no command", hint)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, process.handle_interrupt)
    process.watch_parent()
    try:
        _check_checkout(argv)
        return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))
    except WheelworksError as error:
        console.print_error(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        again = "the same command continues: what is up to date isn't built again"
        console.print_error("interrupted; partial output removed, finished files are intact", again)
        return process.interrupted_status()
    except OSError as error:
        console.print_error(*_describe_os_error(error))
        return 1
    finally:
        process.stop_all()


def program() -> int:
    """Run the installed ``wheelworks``; returns the exit status."""
    return main(sys.argv[1:])


def _check_checkout(argv: Sequence[str]) -> None:
    command = argv[0]
    any_project = command == "test-native" and any(word.startswith("--source") for word in argv)
    if command in OWN and not any_project and not (CHECKOUT / "src" / "tornado_speedups").is_dir():
        raise UsageError(
            f"{command} belongs to the repository of tornado-speedups: its tests and tools aren't installed with it",
            "run it in a checkout of that repository: nox -s " + command,
        )


def _describe_os_error(error: OSError) -> tuple[str, str]:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        # The second file is the one that was written, and its folder is full.
        full = error.filename2 or error.filename
        hint = "free some room, or set TMPDIR and WHEELWORKS_CACHE to a larger disk"
        return f"{error.strerror}{f': {Path(os.fsdecode(full)).parent}' if full else ''}", hint
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", ""


if __name__ == "__main__":
    sys.exit(program())
