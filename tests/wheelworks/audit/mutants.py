"""Remove each check of the audit in turn, and see whether a test fails.

Run this by hand: it takes minutes, so CI doesn't run it.

    PYTHONPATH=scripts python -m tests.wheelworks.audit.mutants [--integration]

It prints the checks whose removal makes no test fail, and exits with status 1 if there is one. A removed check returns
no finding, or False. Each pytest process loads this file because of the option ``-p``, and this file reads the check to
remove from the environment.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
VARIABLE = "WHEELWORKS_LOST_CHECK"
TESTS = ("tests/wheelworks/audit", "tests/wheelworks/cli/test_lint_project.py")
HERE = "tests.wheelworks.audit.mutants"
TABLES = ("NAME_CHECKS", "WHEEL_CHECKS", "FIRST_CHECKS", "BINARY_CHECKS")


def checks() -> list[str]:
    """Return ``module.function`` of every check."""
    from wheelworks.audit import container, inspection, sdist, upload, wheel

    tables = [getattr(inspection, table) for table in TABLES]
    listed = [one for table in (*tables, sdist.SDIST_CHECKS) for one in table]
    listed += [wheel.check_limits, container.check_container, container.check_index_archive, upload.check_size]
    found = [f"{one.__module__}.{one.__name__}" for one in listed]
    places = ["dependencies._find_holes", "dependencies.has_optional_extensions", "dependencies.parse_pip_audit"]
    places += ["hardening.find_signature_fault", "wheel._find_build_path"]
    lint = [f"wheelworks.cli.lint_project.{name}" for name in ("_check_versions", "check_locks", "check_workflows")]
    return sorted({*found, *lint, *(f"wheelworks.audit.{place}" for place in places)})


def lose(place: str) -> None:
    """Replace a check by one that finds nothing."""
    from wheelworks.audit import inspection, sdist

    module_name, _, name = place.rpartition(".")
    module = importlib.import_module(module_name)
    real = getattr(module, name)
    empty = {
        "find_signature_fault": "",
        "_find_build_path": "",
        "has_optional_extensions": False,
        "_find_holes": [],
    }.get(name, ())
    setattr(module, name, lambda *args, **kwargs: iter(()) if empty == () else empty)
    for holder, table in (*((inspection, table) for table in TABLES), (sdist, "SDIST_CHECKS")):
        setattr(holder, table, tuple(one for one in getattr(holder, table) if one is not real))


def survivors(options: list[str]) -> Iterator[str]:
    """Yield the checks whose removal makes no test fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", HERE, *TESTS, *options]
    for place in checks():
        env = {**os.environ, VARIABLE: place}
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            yield place
        elif ended.returncode != 1:
            sys.exit(f"{place}: pytest ended with {ended.returncode}:\n{ended.stdout[-2000:]}")


if place_lost := os.environ.get(VARIABLE):
    sys.path.insert(0, str(ROOT / "scripts"))
    lose(place_lost)

if __name__ == "__main__":
    lost = list(survivors(sys.argv[1:]))
    sys.stdout.write("".join(f"{one}: no test notices\n" for one in lost) or "every check is noticed\n")
    sys.exit(bool(lost))
