"""``audit``: what is wrong with wheels, of any platform, on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from wheelworks.audit import findings, inspection, isa, project, report
from wheelworks.audit.findings import FileAudit, Finding
from wheelworks.audit.report import Audit
from wheelworks.audit.wheel import Policy
from wheelworks.cli import _help, _manifest
from wheelworks.core import console, index, manifest
from wheelworks.core.errors import UsageError

ENDINGS = (".whl", ".tar.gz")
EPILOG = """\
examples:
  nox -s audit                                        the files in dist/, this project's lock files and workflows
  nox -s audit -- tornado==6.6.1                      all files of a release, from the index
  nox -s audit -- *.whl ../other/dist --json          wheels and folders, for a program
  nox -s audit -- dist --cpu avx2                     wheels for machines that are known to have AVX2
  nox -s audit -- --explain W201                      what a code means, and what to do; `all` lists them

Nothing of a wheel is run, and wheels of every platform are read on every host. A folder's manifest.json gets what was
found. Exit status: 0, 1 (an error was found, with --strict a warning too), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s audit --",
        description="Find what is wrong with wheels of any platform, and with sdists, whoever built them.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument(
        "subjects", nargs="*", metavar="FILE|DIR|NAME==VERSION", help="what to audit (default: dist, and the project)"
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON in place of the table")
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0 in place of the table")
    form.add_argument("--explain", metavar="CODE", help="say what a code means, by number or name; `all` for every one")
    made.add_argument("--strict", action="store_true", help="let warnings fail, such as a check that couldn't be made")
    made.add_argument("--offline", action="store_true", help="leave out what needs the index: said, not passed over")
    made.add_argument(
        "--osv-url", default="", metavar="URL", help="ask this OSV service for known vulnerabilities, rather than PyPI"
    )
    made.add_argument("--verbose", action="store_true", help="show every finding with its place")
    made.add_argument(
        "--cpu", action="append", default=[], metavar="FEATURE", help="instruction set that every user has; repeatable"
    )
    made.add_argument("--project", type=Path, metavar="DIR", help="audit this project's lock files and workflows, too")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    if options.explain:
        return _explain(options.explain)
    policy_cpu = frozenset(options.cpu)
    if unknown := policy_cpu - isa.FEATURES:
        raise UsageError(f"--cpu {min(unknown)}: no such feature", f"one of: {', '.join(sorted(isa.FEATURES))}")
    with console.Progress() as progress:
        audit = _audit(options, policy_cpu, progress)
    _show(audit, options)
    return int(audit.failed(strict=options.strict))


def _explain(word: str) -> int:
    if word == "all":
        sys.stdout.write(findings.render_markdown())
    else:
        console.out.print(findings.find_code(word).explain(), markup=False)
    return 0


def _audit(options: argparse.Namespace, cpu: frozenset[str], progress: console.Progress) -> Audit:
    subjects = options.subjects or ["dist"]
    folder = options.project or (None if options.subjects else Path())
    wheels, notes = _wheels(subjects, progress)
    reports = _reports(wheels, cpu, progress)
    progress.say("dependencies", "asking the index")
    others = list(_dependencies(reports, offline=options.offline, osv_url=options.osv_url))
    groups = ["dependencies"]
    if folder is not None:
        progress.say("project", "reading lock files and workflows")
        others += project.check(folder)
        groups.append("project")
    return Audit(tuple(reports), tuple(others), tuple(groups), tuple(notes))


def _dependencies(reports: Sequence[FileAudit], *, offline: bool, osv_url: str) -> Iterator[Finding]:
    if any(report.requires for report in reports):
        from wheelworks.audit import dependencies  # the index's client takes a second to import

        yield from dependencies.check_dependencies(reports, offline=offline, osv_url=osv_url)


def _wheels(subjects: Sequence[str], progress: console.Progress) -> tuple[list[Path], list[str]]:
    """The wheels that were asked for, each once; and what to say of other files. Raises UsageError."""
    found: list[Path] = []
    for word in subjects:
        path = Path(word)
        if path.is_dir():
            inside = [one for one in sorted(path.iterdir()) if one.name.endswith(ENDINGS)]
            if not inside:
                raise UsageError(f"{word}: there is no wheel in this folder", "build some: nox -s cross-arm64")
            found += inside
        elif path.is_file():
            found.append(path)
        elif word.endswith(".whl") or word == "dist":
            raise UsageError(f"{word}: no such file or folder", "name wheels, or build some: nox -s cross-arm64")
        else:
            found += index.fetch_release(word, lambda text: progress.say("index", text))
    notes: list[str] = []
    if others := [path for path in found if not path.name.endswith(ENDINGS)]:
        names = ", ".join(path.name for path in others)
        notes = [f"{names}: neither a wheel nor an sdist, so none of these checks is for it"]
    found = [path for path in dict.fromkeys(found) if path.name.endswith(ENDINGS)]
    if not found:
        raise UsageError(
            f"{' '.join(subjects)}: there is no wheel among these", "name wheels, sdists, or their folders"
        )
    return found, notes


def _reports(wheels: Sequence[Path], cpu: frozenset[str], progress: console.Progress) -> list[FileAudit]:
    """Audit all wheels; those of a folder with a manifest by themselves, since it knows their time, and is told."""
    records = {folder: record for folder in {path.parent for path in wheels} if (record := manifest.load(folder))}
    found: dict[Path, FileAudit] = {}
    for folder in (None, *sorted(records)):
        here = [path for path in wheels if (path.parent if path.parent in records else None) == folder]
        epoch = records[folder].source.epoch if folder else None
        reports = inspection.audit_files(here, Policy(cpu, epoch), lambda text: progress.say("wheels", text))
        found.update(zip(here, reports, strict=True))
        if folder:
            _manifest.save(report.add_to_manifest(records[folder], reports), folder)
    return [found[path] for path in wheels]


def _show(audit: Audit, options: argparse.Namespace) -> None:
    if options.json or options.sarif:
        sys.stdout.write((report.to_json(audit) if options.json else report.to_sarif(audit)) + "\n")
        return
    console.out.print(report.make_table(audit))
    if audit.findings:
        console.out.print(report.render_details(audit.findings, everything=options.verbose))
    for note in audit.notes:
        console.note(note)
    errors, warnings = (
        _count(sum(one.severity == kind for one in audit.findings), kind) for kind in ("error", "warning")
    )
    console.out.print(f"{_count(len(audit.reports), 'file')}: {errors}, {warnings}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
