"""Run the ``audit`` command: find what is wrong with wheels and sdists of any platform, on any host."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from wheelworks.audit import dependencies, findings, isa, report, workers
from wheelworks.audit.findings import FileAudit
from wheelworks.audit.policy import Policy
from wheelworks.audit.report import Audit
from wheelworks.cli import _page
from wheelworks.cli._command import create_parser
from wheelworks.core import console, index, manifest
from wheelworks.core.errors import UsageError
from wheelworks.core.files import hash_file
from wheelworks.report import page

SUFFIXES = (".whl", ".tar.gz")
EPILOG = """\
examples:
  nox -s audit                                        the files in dist/
  nox -s audit -- tornado==6.6.1                      all files of a release, from the index
  nox -s audit -- *.whl ../other/dist --json          wheels and folders, for a program: JSON
  nox -s audit -- dist --cpu avx2                     wheels for machines that are known to have AVX2
  nox -s audit -- --explain W201                      what a code means, and what to do; `all` lists them

No code of a wheel is run, and wheels of every platform are read on every host. The findings are added to a folder's
manifest.json. Exit status: 0, 1 (an error was found, with --strict a warning too), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    description = "Find what is wrong with wheels of any platform, and with sdists, made by any builder."
    made = create_parser("nox -s audit --", description, EPILOG)
    add = made.add_argument
    add("sources", nargs="*", metavar="FILE|DIR|NAME==VERSION", help="what to audit (default: dist)")
    form = report.add_output_options(made)
    form.add_argument("--explain", metavar="CODE", help="explain a code, by number or name; `all` for every one")
    add("--offline", action="store_true", help="skip what needs the index, and report it as skipped")
    add("--osv-url", default="", metavar="URL", help="ask this OSV service for known vulnerabilities, instead of PyPI")
    add("--cpu", action="append", default=[], metavar="FEATURE", help="instruction set that every user has; repeatable")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    if options.explain:
        return _explain(options.explain)
    cpu = frozenset(options.cpu)
    if unknown := cpu - isa.FEATURES:
        raise UsageError(f"--cpu {min(unknown)}: no such feature", f"one of: {', '.join(sorted(isa.FEATURES))}")
    start = time.perf_counter()
    with console.Progress() as progress:
        files, notes = _find_files(options.sources or ["dist"], progress)
        audits = _audit_files(files, cpu, progress)
        progress.update("dependencies", "asking the index")
        others = dependencies.check_dependencies(audits, offline=options.offline, osv_url=options.osv_url)
        audit = Audit(tuple(audits), tuple(others), ("dependencies",), tuple(notes))
    return report.print_audit(audit, options, time.perf_counter() - start, page=_find_page(files))


def _find_page(files: Sequence[Path]) -> Path | None:
    """Return the page that shows the files' audit: None if they are in several folders, or in one without a page."""
    pages = {path.parent / page.FILE for path in files}
    return next((path for path in pages if len(pages) == 1 and path.is_file()), None)


def _explain(word: str) -> int:
    if word == "all":
        sys.stdout.write(findings.render_markdown())
    else:
        console.out.print(findings.find_code(word).explain(), markup=False)
    return 0


def _find_files(sources: Sequence[str], progress: console.Progress) -> tuple[list[Path], list[str]]:
    """Return the wheels and sdists that the arguments name, and notes on other files. Raises UsageError for none."""
    found: list[Path] = []
    for word in sources:
        path = Path(word)
        if path.is_dir():
            inside = [one for one in sorted(path.iterdir()) if one.name.endswith(SUFFIXES)]
            if not inside:
                raise UsageError(f"{word}: there is no wheel in this folder", "build some: nox -s cross-arm64")
            found += inside
        elif path.is_file():
            found.append(path)
        elif word.endswith(".whl") or word == "dist":
            raise UsageError(f"{word}: no such file or folder", "name wheels, or build some: nox -s cross-arm64")
        else:
            found += index.fetch_release(word, lambda text: progress.update("index", text))
    notes: list[str] = []
    if others := [path.name for path in found if not path.name.endswith(SUFFIXES)]:
        notes = [f"{', '.join(others)}: neither a wheel nor an sdist, so not checked"]
    found = [path for path in dict.fromkeys(found) if path.name.endswith(SUFFIXES)]
    if not found:
        raise UsageError(f"{' '.join(sources)}: there is no wheel among these", "name wheels, sdists, or their folders")
    return found, notes


def _audit_files(files: Sequence[Path], cpu: frozenset[str], progress: console.Progress) -> list[FileAudit]:
    """Audit all files; a folder with a manifest by itself, which knows its wheels' time and is given their audits."""
    records = {folder: record for folder in {path.parent for path in files} if (record := manifest.load(folder))}
    found: dict[Path, FileAudit] = {}
    for folder in (None, *sorted(records)):
        here = [path for path in files if (path.parent if path.parent in records else None) == folder]
        epoch = records[folder].source.epoch if folder else None
        hashes = {path.name: hash_file(path) for path in here} if folder else {}
        audits = workers.audit_files(here, Policy(cpu, epoch), lambda text: progress.update("wheels", text))
        found.update(zip(here, audits, strict=True))
        if folder:
            _page.update(folder, partial(_add_audits, audits, hashes))
    return [found[path] for path in files]


def _add_audits(audits: Sequence[FileAudit], hashes: Mapping[str, str], record: manifest.Manifest) -> manifest.Manifest:
    """Add audits to a manifest, but not those of wheels that have been built again to other bytes since."""
    same = {wheel.file for wheel in record.wheels if hashes.get(wheel.file) == wheel.sha256}
    return report.add_to_manifest(record, [audit for audit in audits if audit.file in same])
