"""``reproduce``: build again in other surroundings, compare to the byte, and name what made a difference."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs
from rich.markup import escape

from wheelworks.build.context import parse_variables
from wheelworks.build.source import check_source
from wheelworks.cli import _help, _manifest
from wheelworks.cli._output import work_folder, writable
from wheelworks.core import console, index, manifest, plan, targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.reproduce import provenance, rebuild, result, source
from wheelworks.reproduce.rebuild import Rebuilder, Selection
from wheelworks.reproduce.result import ReproductionResult
from wheelworks.reproduce.source import RebuildSource
from wheelworks.reproduce.variations import VARIATIONS, Variation

EPILOG = """\
examples:
  nox -s reproduce                                        the wheels in dist/, from the sdist in it
  nox -s reproduce -- tornado-6.6.1.tar.gz                Tornado's, twice: the builds must agree
  nox -s reproduce -- tornado==6.6.1 --target win_arm64   the wheels that Tornado has published, file by file
  nox -s reproduce -- dist/NAME.whl --vary clock          one wheel, with another clock only
  nox -s reproduce -- dist --source .                     wheels and sdist in dist/, from this commit

First everything is varied at once. If that makes a difference, one thing at a time, to name the culprit. A wheel by
itself needs the sdist beside it, or --source; a manifest.json or provenance.json beside it tells when it was made and
with what. Where the provenance of a published release names other tools or lock files than this checkout has, the suite
of the commit that it names builds it, with the packages of that commit's lock file; it must be in this one's history.
Where it is, the sdist is made again from that commit, too.
Exit status: 0 (the same bytes), 1 (others), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s reproduce --",
        description="Build wheels again from the sdist in other surroundings, and compare them to the byte.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    add = made.add_argument
    add("source", nargs="?", default="dist", metavar="SOURCE", help="what to build again (default: dist)")
    how = "what to build it from: an sdist (default: the one beside), or a project, whose sdist must be the same, too"
    add("--source", dest="origin", type=Path, metavar="SDIST|DIR", help=how)
    add("--provenance", type=Path, metavar="FILE", help="of a published release (default: what lies beside it)")
    add("--target", action="append", default=[], metavar="ID", help="this target only; repeatable")
    add("--abi", action="append", default=[], metavar="ID", help="this ABI only; repeatable")
    add("--vary", action="append", default=[], metavar="NAME", help="vary this only; repeatable")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="as it was when the wheels were built")
    add("--keep", type=Path, metavar="DIR", help="keep what was built, and diffoscope's report where it is installed")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    variations = select_variations(options.vary)
    parse_variables(options.env)
    if options.keep:
        writable(options.keep)
    try:
        return _reproduce(options, variations)
    except provenance.ToolchainMismatch as others:
        return _by_its_own_tools(others, argv)


def _reproduce(options: argparse.Namespace, variations: Sequence[Variation]) -> int:
    with work_folder() as work:
        with console.Progress() as progress:
            subject = resolve_source(options, work, lambda text: progress.say("source", text))
            progress.done("source")
            conclusion = _conclude(subject, work, variations, progress)
        _show(conclusion)
        if subject.folder:
            _record(subject.folder, conclusion)
        if options.keep:
            _keep(options.keep, conclusion)
    return 0 if conclusion.reproduced else 1


def _by_its_own_tools(others: provenance.ToolchainMismatch, argv: Sequence[str]) -> int:
    """Run the same command of the suite that the release was built with."""
    with work_folder() as work:
        with console.Progress() as progress:
            suite = rebuild.install_suite(others, work, lambda text: progress.say("tools", text))
        console.note(f"built again by the suite of commit {others.stated.commit}, which the provenance names")
        return suite.run(["reproduce", *argv])


def select_variations(names: Sequence[str]) -> tuple[Variation, ...]:
    """The variations of these names; all where none is named. Raises UsageError."""
    known = [one.name for one in VARIATIONS]
    if unknown := sorted(set(names) - set(known)):
        raise UsageError(f"--vary {unknown[0]}: there is no such variation", f"one of: {', '.join(known)}")
    return tuple(one for one in VARIATIONS if not names or one.name in names)


def resolve_source(options: argparse.Namespace, work: Path, say: result.Say) -> RebuildSource:
    """What SOURCE stands for. Raises UsageError, WheelworksError."""
    origin, told = options.origin, options.provenance
    if origin and not origin.exists():
        raise UsageError(f"--source {origin}: no such file or folder", "name an sdist (.tar.gz), or a project's folder")
    if told and not told.is_file():
        raise UsageError(f"--provenance {told}: no such file", "name a release's provenance.json")
    is_project = bool(origin) and check_source(origin) == "directory"
    found = _found(options, None if is_project else origin, work, say)
    if is_project:
        if not found.files:
            raise UsageError(
                f"--source {origin}: {options.source} holds no wheels to build from it", source.SOURCE_HINT
            )
        found = source.use_project(found, origin, work)
    recipe = replace(found.recipe, source=found.recipe.source.resolve())
    return replace(found, recipe=replace(recipe, seen=(*recipe.seen, *options.env)))


def _found(options: argparse.Namespace, sdist: Path | None, work: Path, say: result.Say) -> RebuildSource:
    chosen, path = select_wheels(options), Path(options.source)
    if index.is_release(options.source) and not path.exists():
        return _published(options, sdist, chosen, work, say)
    if path.is_dir() and not any(path.glob("*.whl")) and check_source(path):
        return source.resolve_project(path, chosen, work)
    if path.is_dir():
        return source.resolve_folder(path, sdist, chosen)
    if path.name.endswith(".tar.gz") and path.is_file():
        return source.resolve_sdist(path, chosen)
    if path.suffix == ".whl" and path.is_file():
        return source.resolve_wheel(path, sdist)
    raise UsageError(f"{options.source}: no such file or folder", source.SOURCE_HINT)


def _published(
    options: argparse.Namespace, sdist: Path | None, chosen: Selection, work: Path, say: result.Say
) -> RebuildSource:
    folder = work / "published"
    wheels, theirs = source.download_release(options.source, chosen, folder, say)
    archive = sdist or theirs
    if archive is None:
        raise WheelworksError(f"{options.source}: the index has no sdist of it", "name it: --source FILE.tar.gz")
    commit = _commit(options.provenance, folder, [*wheels, archive])
    found = source.resolve_wheels(wheels, archive, chosen, folder)
    if commit and not options.origin:
        return source.use_project(found, provenance.CHECKOUT, work, commit)
    return found


def _commit(given: Path | None, folder: Path, files: Sequence[Path]) -> str:
    """Hold files against the provenance beside them, or one that was given; the commit that it names, if we have it."""
    if given:
        manifest.write(folder / provenance.PROVENANCE_FILE, given.read_bytes())
    stated = provenance.load_provenance(folder)
    if not stated:
        return ""
    provenance.check_provenance(stated, {path.name: path for path in files})
    return stated.commit if rebuild.is_in_history(stated.commit) else ""


def select_wheels(options: argparse.Namespace) -> Selection:
    """The targets and ABIs that the options name. Raises UsageError for an unknown one."""
    rows = targets.select(options.target) if options.target else ()
    abis = [name if name == plan.PURE else targets.find_abi(name).id for name in options.abi]
    return Selection(tuple(row.id for row in rows), tuple(dict.fromkeys(abis)))


def _conclude(
    subject: RebuildSource, work: Path, variations: Sequence[Variation], progress: console.Progress
) -> ReproductionResult:
    possible = [one for one in variations if not one.missing()]
    if not possible:
        why = "; ".join(f"{one.name}: {one.missing()}" for one in variations)
        raise WheelworksError(f"nothing of what was asked for can be varied here: {why}")
    builder = Rebuilder(subject.recipe, work, lambda text: progress.say("reproduce", text))
    return result.reproduce_source(subject, builder, possible, [one for one in variations if one.missing()])


def _show(conclusion: ReproductionResult) -> None:
    for line in conclusion.notes:
        console.note(line)
    varied = console.table("", "varied", "how")
    for one in conclusion.varied:
        varied.add_row(one.name, escape(one.how()))
    for one in conclusion.unvaried:
        varied.add_row(one.name, f"[yellow]not varied:[/] {escape(one.missing())}")
    console.out.print(varied)
    table = console.table("", "file", "built again")
    for name, same in conclusion.files.items():
        shown = console.folded(name) if name.endswith(".whl") else name
        table.add_row(shown, "[green]the same bytes[/]" if same else "[red]other bytes[/]")
    table.caption = f"{conclusion.builds} builds"
    console.out.print(table)
    for cause in conclusion.causes:
        console.error(f"{cause.name}", "")
        for line in cause.lines():
            console.err.print(f"  {line}", markup=False)


def _record(folder: Path, conclusion: ReproductionResult) -> None:
    """Add what came of it to the folder's manifest."""
    record = manifest.load(folder)
    if record is not None:
        wheels = [
            structs.replace(wheel, reproduced=conclusion.record(wheel.file) or wheel.reproduced)
            for wheel in record.wheels
        ]
        _manifest.save(structs.replace(record, wheels=wheels), folder)


def _keep(folder: Path, conclusion: ReproductionResult) -> None:
    """Copy what was built under all variations, and what diffoscope says of each file that differs."""
    for name, path in conclusion.build.files.items():
        shutil.copyfile(path, folder / name)
    for name, (first, second) in find_differing_pairs(conclusion).items():
        if report := result.run_diffoscope(first, second):
            manifest.write(folder / f"{name}.diffoscope.txt", report.encode("utf-8", "replace"))


def find_differing_pairs(conclusion: ReproductionResult) -> Mapping[str, tuple[Path, Path]]:
    """The files that differ and are there on both sides."""
    built = conclusion.build.files
    return {
        name: (path, built[name])
        for name, path in conclusion.reference.items()
        if name in built and path.read_bytes() != built[name].read_bytes()
    }
