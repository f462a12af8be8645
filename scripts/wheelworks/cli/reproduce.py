"""``reproduce``: build wheels again in changed environments, and compare them byte for byte."""

from __future__ import annotations

import argparse
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import structs
from rich.markup import escape

from wheelworks.build.context import parse_variables
from wheelworks.build.prefixes import parse_prefixes
from wheelworks.cli import _page
from wheelworks.cli._command import create_parser, create_work_folder, ensure_writable, repeat_options
from wheelworks.core import console, index, manifest, summary, targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import write_file
from wheelworks.core.source_tree import check_source
from wheelworks.reproduce import differences, provenance, rebuild, result, source
from wheelworks.reproduce.provenance import PROVENANCE_FILE, ToolchainMismatch
from wheelworks.reproduce.rebuild import BuildRecipe, Rebuilder, Selection
from wheelworks.reproduce.result import ReproductionResult
from wheelworks.reproduce.source import SOURCE_HINT, RebuildSource
from wheelworks.reproduce.variations import VARIATIONS, Variation

_SAME, _DIFFERENT = summary.Cell("same bytes"), summary.Cell("OTHER BYTES", "failed")
EPILOG = """\
examples:
  nox -s reproduce                                        the wheels in dist/, from the sdist in it
  nox -s reproduce -- tornado-6.6.1.tar.gz                build Tornado's sdist twice and compare both builds
  nox -s reproduce -- tornado==6.6.1 --target win_arm64   the wheels that Tornado has published, file by file
  nox -s reproduce -- dist/NAME.whl --vary clock          one wheel, varying the clock only
  nox -s reproduce -- dist --source .                     wheels and sdist in dist/, from this commit
  nox -s reproduce -- x --prefix win_arm64=pre/win_arm64  wheels that were built with this library

The first build varies everything at once. If it differs, further builds vary one thing at a time to find the cause.
A single wheel needs its sdist beside it, or --source. A manifest.json or provenance.json beside it states the
timestamp and the tools of the original build.

If the provenance of a published release names other tools or lock files than those of this checkout, the suite of
the commit that it names builds it, with the packages of that commit's lock file. The commit must be in the history
of this checkout. If it is, the sdist is built again from that commit as well.

Exit status: 0 (same bytes), 1 (other bytes), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    purpose = "Build wheels again from their sdist in changed environments, and compare them byte for byte."
    made = create_parser("nox -s reproduce --", purpose, EPILOG)
    add = made.add_argument
    add("source", nargs="?", default="dist", metavar="SOURCE", help="what to build again (default: dist)")
    how = "build from this sdist (default: the one beside the wheels), or from a project, reproducing its sdist as well"
    add("--source", dest="origin", type=Path, metavar="SDIST|DIR", help=how)
    add("--provenance", type=Path, metavar="FILE", help="the release's provenance (default: the one beside the files)")
    add("--target", action="append", default=[], metavar="ID", help="this target only; repeatable")
    add("--abi", action="append", default=[], metavar="ID", help="this ABI only; repeatable")
    add("--vary", action="append", default=[], metavar="NAME", help="vary this only; repeatable")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="set for the build; repeatable")
    brought = "headers and static libraries with which a target's wheels were built; repeatable"
    add("--prefix", action="append", default=[], metavar="TARGET=DIR", help=brought)
    add("--keep", type=Path, metavar="DIR", help="keep the built files, and diffoscope's report on those that differ")
    add("--verbose", action="store_true", help="print a table of the files and of what was varied, and all differences")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    variations = select_variations(options.vary)
    parse_variables(options.env)
    parse_prefixes(options.prefix)
    if options.keep:
        ensure_writable(options.keep, "--keep")
    try:
        return _reproduce(options, variations)
    except ToolchainMismatch as mismatch:
        return _reproduce_with_recorded_suite(mismatch, argv)


def _reproduce(options: argparse.Namespace, variations: Sequence[Variation]) -> int:
    start = time.perf_counter()
    with create_work_folder() as work:
        with console.Progress(everything=options.verbose) as progress:
            found = _resolve_source(options, work, lambda text: progress.update("source", text))
            progress.finish("source")
            rebuilt = _rebuild(found, work, variations, lambda text: progress.update("reproduce", text))
        place = _record_result(found.folder, rebuilt) if found.folder else None
        if options.keep:
            _keep_files(options.keep, rebuilt)
        if options.verbose and options.json != summary.STDOUT:
            _print_tables(rebuilt)
        result = summarize(options, rebuilt, place, time.perf_counter() - start)
    return summary.finish(result, options.json, everything=options.verbose)


def _reproduce_with_recorded_suite(mismatch: ToolchainMismatch, argv: Sequence[str]) -> int:
    with create_work_folder() as work:
        with console.Progress() as progress:
            suite = rebuild.install_suite(mismatch, work, lambda text: progress.update("tools", text))
        console.print_note(f"built again by the suite of commit {mismatch.recorded.commit}, which the provenance names")
        return suite.run_command(["reproduce", *argv])


def select_variations(names: Sequence[str]) -> tuple[Variation, ...]:
    """Return the variations of these names; all if there are no names. Raises UsageError for an unknown one."""
    known = [one.name for one in VARIATIONS]
    if unknown := sorted(set(names) - set(known)):
        raise UsageError(f"--vary {unknown[0]}: unknown variation", f"one of: {', '.join(known)}")
    return tuple(one for one in VARIATIONS if not names or one.name in names)


def select_wheels(options: argparse.Namespace) -> Selection:
    """Return the selection by --target and --abi. Raises UsageError for an unknown one."""
    rows = targets.select_targets(options.target) if options.target else ()
    abis = [tags for name in options.abi for tags in _list_tags(name)]
    return Selection(tuple(row.id for row in rows), tuple(dict.fromkeys(abis)))


def _list_tags(name: str) -> tuple[str, ...]:
    """Return the Python and ABI tags that a value of ``--abi`` stands for."""
    if name == targets.PURE:
        return (name,)
    abi = targets.find_abi(name)
    if name == f"cp{abi.nodot}":  # whether or not the project uses the stable ABI
        return abi.id, abi.specific
    return (abi.specific,) if name == abi.specific else (abi.id,)


def _resolve_source(options: argparse.Namespace, work: Path, update: Callable[[str], None]) -> RebuildSource:
    origin = options.origin
    if origin and not origin.exists():
        raise UsageError(f"--source {origin}: no such file or folder", "name an sdist (.tar.gz), or a project's folder")
    if options.provenance and not options.provenance.is_file():
        raise UsageError(f"--provenance {options.provenance}: no such file", "name a release's provenance.json")
    is_project = bool(origin) and check_source(origin) == "directory"
    found = _find_source(options, None if is_project else origin, work, update)
    if is_project:
        if not found.files:
            raise UsageError(f"--source {origin}: {options.source} holds no wheels to build from it", SOURCE_HINT)
        found = source.use_project(found, origin, work)
    recipe = found.recipe
    passed_env = (*recipe.passed_env, *options.env)
    prefixes = tuple(map(_resolve_prefix, options.prefix))
    changed = replace(recipe, source=recipe.source.resolve(), passed_env=passed_env, prefixes=prefixes)
    return replace(found, recipe=changed)


def _resolve_prefix(word: str) -> str:
    """Return a word ``TARGET=DIR`` with an absolute folder: each build has a current folder of its own."""
    target, _, folder = word.partition("=")
    return f"{target}={Path(folder).expanduser().absolute()}"


def _find_source(
    options: argparse.Namespace, sdist: Path | None, work: Path, update: Callable[[str], None]
) -> RebuildSource:
    chosen, path = select_wheels(options), Path(options.source)
    if index.is_release(options.source) and not path.exists():
        return _find_published(options, sdist, chosen, work, update)
    if path.is_dir() and not any(path.glob("*.whl")) and check_source(path):
        return RebuildSource({}, BuildRecipe(source.copy_project(path, work), chosen), {})
    if path.is_dir():
        return source.resolve_folder(path, sdist, chosen)
    if path.name.endswith(".tar.gz") and path.is_file():
        return RebuildSource({}, BuildRecipe(path, chosen), {})
    if path.suffix == ".whl" and path.is_file():
        return source.resolve_wheels([path], sdist, Selection(), path.parent)
    raise UsageError(f"{options.source}: no such file or folder", SOURCE_HINT)


def _find_published(
    options: argparse.Namespace, sdist: Path | None, chosen: Selection, work: Path, update: Callable[[str], None]
) -> RebuildSource:
    folder = work / "published"
    wheels, published_sdist = source.download_release(options.source, chosen, folder, update)
    archive = sdist or published_sdist
    if archive is None:
        raise WheelworksError(f"{options.source}: the index has no sdist of it", "name it: --source FILE.tar.gz")
    commit = _check_published(options.provenance, folder, [*wheels, archive])
    found = source.resolve_wheels(wheels, archive, chosen, folder)
    if commit and not options.origin:
        return source.use_project(found, provenance.CHECKOUT, work, commit)
    return found


def _check_published(given: Path | None, folder: Path, files: Sequence[Path]) -> str:
    """Check files against a provenance, given or in their folder. Return its commit; "" if our history lacks it."""
    if given:
        write_file(folder / PROVENANCE_FILE, given.read_bytes())
    recorded = provenance.load_provenance(folder)
    if not recorded:
        return ""
    provenance.check_provenance(recorded, {path.name: path for path in files})
    return recorded.commit if rebuild.is_in_history(recorded.commit) else ""


def _rebuild(
    found: RebuildSource, work: Path, variations: Sequence[Variation], update: Callable[[str], None]
) -> ReproductionResult:
    reasons = {one: one.check() for one in variations}
    possible = [one for one, why in reasons.items() if not why]
    if not possible:
        why = "; ".join(f"{one.name}: {reason}" for one, reason in reasons.items())
        raise WheelworksError(f"none of the variations is possible on this host: {why}")
    unvaried = [one for one, why in reasons.items() if why]
    return result.reproduce_source(found, Rebuilder(found.recipe, work, update), possible, unvaried)


def summarize(
    options: argparse.Namespace, rebuilt: ReproductionResult, place: Path | None, seconds: float
) -> summary.Summary:
    """Return the result as a summary; ``place`` is the page that shows it, too."""
    same = sum(rebuilt.files.values())
    names = [one.name for one in rebuilt.varied]
    lines = [f"varied: {', '.join(names)}", *(f"not varied: {one.name}: {one.check()}" for one in rebuilt.unvaried)]
    records = {name: rebuilt.create_record(name) for name in rebuilt.files}
    return summary.Summary(
        "reproduce",
        0 if rebuilt.reproduced else 1,
        seconds,
        {"files": len(rebuilt.files), "same": same, "different": len(rebuilt.files) - same, "builds": rebuilt.builds},
        cells={name: _SAME if one else _DIFFERENT for name, one in rebuilt.files.items()},
        failures=[_describe_cause(options, cause.name, cause.format_lines()) for cause in rebuilt.causes],
        notes=dict.fromkeys(rebuilt.notes, ()),
        lines=lines,
        page=place,
        wheels=[{"file": name, **msgspec.to_builtins(record)} for name, record in records.items()],
    )


def _describe_cause(options: argparse.Namespace, name: str, lines: Iterable[str]) -> summary.Failure:
    """Return what makes files differ; one of the variations can be repeated alone."""
    variation = name.partition(":")[0]
    words = [options.source, "--vary", variation] if variation in [one.name for one in VARIATIONS] else []
    if words:
        words += ["--source", str(options.origin)] if options.origin else []
        words += repeat_options(options, ("provenance", "target", "abi", "env", "prefix"))
    command = f"nox -s reproduce -- {shlex.join(words)}" if words else ""
    return summary.Failure(name, "\n".join([name, *(f"  {line}" for line in lines)]), "", command)


def _print_tables(rebuilt: ReproductionResult) -> None:
    varied = console.create_table("", "varied", "how")
    for one in rebuilt.varied:
        varied.add_row(one.name, escape(one.describe()))
    for one in rebuilt.unvaried:
        varied.add_row(one.name, f"[yellow]not varied:[/] {escape(one.check())}")
    console.print_table(varied)
    table = console.create_table("", "file", "built again")
    for name, same in rebuilt.files.items():
        shown = console.wrap_wheel_name(name) if name.endswith(".whl") else name
        table.add_row(shown, "[green]the same bytes[/]" if same else "[red]other bytes[/]")
    table.caption = f"{rebuilt.builds} builds"
    console.print_table(table)


def _record_result(folder: Path, rebuilt: ReproductionResult) -> Path | None:
    """Add the result to a folder's manifest and page. Return the page; None for a folder without a manifest."""

    def add(record: manifest.Manifest) -> manifest.Manifest:
        create = rebuilt.create_record
        wheels = [structs.replace(one, reproduced=create(one.file) or one.reproduced) for one in record.wheels]
        return structs.replace(record, wheels=wheels)

    return _page.update(folder, add)


def _keep_files(folder: Path, rebuilt: ReproductionResult) -> None:
    for name, path in rebuilt.build.files.items():
        shutil.copyfile(path, folder / name)
    for name, (first, second) in rebuilt.differing_pairs.items():
        if not (report := differences.run_diffoscope(first, second)):
            console.print_note("diffoscope isn't installed: no report on what differs inside the members")
            break
        write_file(folder / f"{name}.diffoscope.txt", report.encode("utf-8", "replace"))
