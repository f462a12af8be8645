"""Remove each check of the audit in turn, and see whether a test fails.

Run this by hand: it takes an hour with all checks, so CI doesn't run it.

    PYTHONPATH=scripts python -m tests.wheelworks.audit.mutants [WORD ...] [--integration]

Words select the checks whose names contain one of them. The program prints the checks whose removal makes no test fail,
and exits with status 1 if there is one. A check is a function that yields findings, or the evidence for them; a removed
one yields nothing, or returns False. Each pytest process loads this file because of the option ``-p``, and this file
reads the check to remove from the environment.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
VARIABLE = "WHEELWORKS_LOST_CHECK"
HERE = "tests.wheelworks.audit.mutants"
FOLDER = "tests/wheelworks/audit"
QUICK = ("test_release_defects", "test_defects", "test_loading", "test_platforms", "test_symbols", "test_sdist")
TESTS = (*(f"{FOLDER}/{name}.py" for name in QUICK), FOLDER, "tests/wheelworks/cli/test_lint_project.py")
TABLES = ("NAME_CHECKS", "WHEEL_CHECKS", "FIRST_CHECKS", "BINARY_CHECKS")
MODULES = (
    "archive", "code", "compatibility", "container", "dependencies", "extension", "hardening", "imports", "inspection",
    "installation", "libraries", "sdist", "symbols", "upload", "wheel",
)  # fmt: skip
EVIDENCE = ("hardening", "upload")  # in these modules, functions yield the evidence of findings, too
OTHERS = {
    "wheelworks.audit.dependencies._find_holes": [],
    "wheelworks.audit.dependencies.has_optional_extensions": False,
    "wheelworks.audit.hardening.find_signature_fault": "",
    "wheelworks.audit.wheel._find_build_path": "",
}


def list_checks() -> list[str]:
    """Return ``module.function`` of every check."""
    found = [*OTHERS]
    for name in (*(f"wheelworks.audit.{one}" for one in MODULES), "wheelworks.cli.lint_project"):
        yields = {"Iterator[Finding]"} | ({"Iterator[str]"} if name.rpartition(".")[2] in EVIDENCE else set())
        for function in vars(importlib.import_module(name)).values():
            annotations = getattr(function, "__annotations__", {})
            if annotations.get("return") in yields and function.__module__ == name:
                found.append(f"{name}.{function.__name__}")
    return sorted(found)


def lose(place: str) -> None:
    """Replace a check by one that finds nothing."""
    from wheelworks.audit import inspection, sdist

    module_name, _, name = place.rpartition(".")
    module = importlib.import_module(module_name)
    real = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: OTHERS.get(place, iter(())))
    for holder, table in (*((inspection, table) for table in TABLES), (sdist, "SDIST_CHECKS")):
        setattr(holder, table, tuple(one for one in getattr(holder, table) if one is not real))


def find_survivors(words: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Yield the checks whose removal makes no test fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", HERE, *TESTS, *options]
    for place in (one for one in list_checks() if not words or any(word in one for word in words)):
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
    arguments = sys.argv[1:]
    lost = list(find_survivors(*([one for one in arguments if one.startswith("-") is dash] for dash in (False, True))))
    sys.stdout.write("".join(f"{one}: no test notices\n" for one in lost) or "every check is noticed\n")
    sys.exit(bool(lost))
