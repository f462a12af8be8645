"""The command ``python -m tornado_speedups``: check the speedups, run a program with them, or measure one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

USAGE = """\
usage: python -m tornado_speedups
         check: show what is installed, and test its functions
       python -m tornado_speedups --self-test
         also drive connections through all that is installed, and show for each
         function how often it did the work, and why it left the rest to Tornado
       python -m tornado_speedups FILE [ARGUMENT...]
       python -m tornado_speedups -m MODULE [ARGUMENT...]
         run a program with the speedups, otherwise as python FILE does
       python -m tornado_speedups --compare FILE [ARGUMENT...] -- URL...
         measure your program with the speedups and without: --compare --help

examples:
  python -m tornado_speedups server.py --port=8888
  python -m tornado_speedups -m jupyterlab --no-browser
  python -m tornado_speedups --compare server.py -- http://localhost:8888/

environment:
  TORNADO_SPEEDUPS_EXTENSION
    1 requires C, 0 selects Python; unset, C is used where it can be imported
  TORNADO_SPEEDUPS_INSTALL
    0 turns the speedups off, also in a program that installs them

exit status:
  that of the program; without one 0, or 1 if a test fails;
  2 for wrong use, and without Tornado
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return the exit status, unless the program that it runs exits by itself."""
    if arguments in ([], ["--self-test"]):
        return _check(bool(arguments))
    if arguments[0] in ("-h", "--help"):
        return _write(USAGE, 0)
    if arguments[0] == "--compare":
        return _compare(arguments[1:])
    if arguments[0] == "--self-test":
        return _refuse(f"--self-test takes no arguments, not {arguments[1]}")
    if arguments[0].startswith("-") and (arguments[0] != "-m" or len(arguments) == 1):
        return _refuse("-m needs a module" if arguments[0] == "-m" else f"there is no option {arguments[0]}")
    from tornado_speedups.commands import run

    return run.run_program(arguments)


def _check(connections: bool) -> int:
    from tornado_speedups.commands import check

    try:
        lines, status = check.check(connections)
    except ImportError as error:
        sys.stderr.write(f"error: tornado_speedups needs Tornado, which cannot be imported: {error}\n")
        return 2
    return _write("".join(f"{line}\n" for line in lines), status)


def _compare(arguments: Sequence[str]) -> int:
    from tornado_speedups.commands import compare
    from tornado_speedups.commands.server import CompareError

    if arguments[:1] in (["-h"], ["--help"]):
        return _write(compare.USAGE, 0)
    try:
        return _write(compare.compare(compare.parse_arguments(arguments)), 0)
    except CompareError as error:
        return _refuse(str(error), "python -m tornado_speedups --compare --help")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def _refuse(message: str, hint: str = "python -m tornado_speedups --help") -> int:
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    return 2


def _write(text: str, status: int) -> int:
    """Write to standard output. Return the status, which doesn't change if the reader has gone."""
    if sys.stdout is None:  # it was closed before Python began
        return status
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again when it ends
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"error: can't write to standard output: {error.strerror}\n")
            return 2
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
