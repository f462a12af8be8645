"""``python -m wheelworks.audit``: audit wheels one by one, in a process that may die of what it reads.

A line of JSON goes in (the wheels and the policy), and one comes out for each wheel as soon as it is known. The parsers
of native files are programs in C++ that are given files of strangers: a crash must cost one wheel's report, no more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from wheelworks.audit import sdist
from wheelworks.audit.inspection import inspect
from wheelworks.audit.subject import Policy

MEMORY = 900 << 20  # bytes of memory that is written to: with the libraries, less than a gigabyte


def main() -> int:
    """Audit the wheels and sdists that the argument names."""
    _limit()
    asked = json.loads(sys.argv[1])
    policy = Policy(frozenset(asked["cpu"]), asked["epoch"])
    for name in asked["wheels"]:
        report = sdist.inspect(Path(name)) if name.endswith(sdist.ENDING) else inspect(Path(name), policy)
        line = {"file": report.file, "findings": [finding.record() for finding in report.findings]}
        sys.stdout.write(
            json.dumps({**line, "requires": report.requires, "groups": report.groups, "pythons": report.pythons}) + "\n"
        )
        sys.stdout.flush()
    return 0


def _limit() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
