"""``build-wheels``: every wheel of a release, and the sdist that they are built from."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from wheelworks.build import cibuildwheel
from wheelworks.build.context import BuildContext, parse_variables, prepare_context
from wheelworks.build.plan import BuildTask, Wish, plan_tasks
from wheelworks.build.source import read_name_version, read_pure_variables, unpack_source
from wheelworks.build.tags import ask_tags, choose_tags, plan_names
from wheelworks.cli import _building, _page, ci_matrix
from wheelworks.cli._command import create_parser, create_work_folder, ensure_writable
from wheelworks.cli._results import summarize_cibuildwheel
from wheelworks.core import console, manifest, summary, targets
from wheelworks.core.errors import UsageError
from wheelworks.core.files import write_file
from wheelworks.core.project import read_project, read_stated_abis
from wheelworks.core.source_tree import check_source

EPILOG = """\
examples:
  nox -s build-wheels                                        this project's sdist and wheels into dist/
  nox -s build-wheels -- --list                              list these without building them
  nox -s build-wheels -- --list --json                       the list for programs, such as a CI matrix
  nox -s build-wheels -- tornado-6.6.1.tar.gz --out t        Tornado's
  nox -s build-wheels -- --target win_arm64 --abi cp314t     one wheel
  nox -s build-wheels -- ../project --abi cp312 --abi cp313  another project's, for two versions of CPython
  nox -s build-wheels -- ../project --target win_arm64 --prefix win_arm64=DIR
      with libraries that you built for that target: DIR/include, DIR/lib/lib*.a
  nox -s build-wheels -- --builder cibuildwheel --out w      this system's, by its own compilers
  nox -s build-wheels -- --builder cibuildwheel --list       list these without building them

Wheels in DIR with the same source, tools and headers aren't built again, except with --force. Then the modules of each
are imported and called on an emulated CPU, and under a real CPython if that is ready to start, or if the emulated CPU
can't run the wheel. `--tests package` runs all of this package's tests instead: minutes for each CPU under qemu.

Without --abi the wheels are those that the project supports: the tags of [tool.wheelworks] abis, else what its
[tool.cibuildwheel] selects, else the Pythons of Requires-Python and the classifiers. --abi replaces `build` of
[tool.cibuildwheel], and together with --target `skip`, too. A wheel with the stable ABI also serves later Pythons.
--list assumes an extension that calls only CPython: if it calls libc, there is a wheel for each libc.

Exit status: 0, 1 (a build or a run failed), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    purpose = "Build every wheel of a release, for every platform and ABI, from one sdist, on this machine."
    made = create_parser("nox -s build-wheels --", purpose, EPILOG)
    _building.add_options(made)
    add = made.add_argument
    builders = "cross: every platform's (default); cibuildwheel: this system's, by the official toolchains"
    add("--builder", choices=["cross", "cibuildwheel"], default="cross", help=builders)
    add("--force", action="store_true", help="build wheels that are up to date, too")
    add("--list", action="store_true", help="list what would be built, and build nothing")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    if options.show_compiler:
        return _building.show_compiler(options.show_compiler)
    source = Path(options.source)
    check_source(source)
    if options.builder == "cibuildwheel":
        return _use_cibuildwheel(source, options)
    return _list_wheels(source, options) if options.list else _build(options)


def _build(options: argparse.Namespace) -> int:
    def save_sdist(context: BuildContext) -> tuple[Path]:
        return (write_file(context.out / context.sdist.name, context.sdist.read_bytes()),)

    wish = _make_wish(options)
    return _building.build_source(
        "build-wheels", options, lambda tree: _plan(tree, options, wish), save_sdist, force=options.force
    )


def _make_wish(options: argparse.Namespace) -> Wish:
    return _building.make_wish(options, targets.load_targets(), one_abi=False)


def _plan(tree: Path, options: argparse.Namespace, wish: Wish) -> list[BuildTask]:
    """Return the tasks that the options ask for; the pure wheel's comes last."""
    pure = [BuildTask((), None)] if _wants_pure(options) and read_pure_variables(tree) is not None else []
    if set(options.abi) == {targets.PURE}:
        return pure
    return [*plan_tasks(tree, wish), *pure]


def _use_cibuildwheel(source: Path, options: argparse.Namespace) -> int:
    wish = _make_wish(options)
    if options.list and options.json:
        raise UsageError("--list --json is an option of --builder cross", "leave out --json")
    if others := [name for name in ("env", "python", "force", "without", "prefix") if getattr(options, name)]:
        hint = "configure that builder by [tool.cibuildwheel] in the project's pyproject.toml"
        raise UsageError(f"--{others[0]} is an option of --builder cross", hint)
    if options.abi and not wish.abis:
        raise UsageError(f"cibuildwheel makes no {targets.PURE} wheel", "leave --builder out")
    narrowed = bool(options.target or options.abi)
    chosen = cibuildwheel.select_host_targets(wish.targets, narrowed=narrowed)
    with create_work_folder() as work:
        abis = wish.choose_abis(read_project(_open_tree(source, work)))
    variables = cibuildwheel.make_variables(chosen, abis, os.environ, narrowed=narrowed)
    if options.list:
        known = cibuildwheel.map_identifiers(wish.targets, targets.load_abis())
        return _list_identifiers(source, variables, known)
    return _run_cibuildwheel(source, ensure_writable(Path(options.out)), variables, options)


def _run_cibuildwheel(source: Path, out: Path, variables: Mapping[str, str], options: argparse.Namespace) -> int:
    """Build the wheels that the project's settings or ``variables`` say into ``out``."""
    start = time.perf_counter()
    with create_work_folder() as work, console.Progress() as progress:
        update = partial(progress.update, "cibuildwheel")
        sdist = source if source.is_file() else prepare_context(source, work, out, update).sdist
        records = cibuildwheel.run_cibuildwheel(sdist, variables, work, out, update)
        tree, toolchain = unpack_source(sdist, work / "saved"), cibuildwheel.describe_toolchain(os.environ)
        with manifest.lock(out):
            merged = manifest.merge(_page.load_previous(out), tree.record(), toolchain, records)
            _page.save_with_page(manifest.drop_changed(merged, out), out)
    result = summarize_cibuildwheel(tree.record().name, records, out, time.perf_counter() - start)
    return summary.finish(result, options.json)


def _list_identifiers(
    source: Path, variables: Mapping[str, str], known: Mapping[str, tuple[targets.Target, targets.Abi]]
) -> int:
    """Print the wheels that cibuildwheel says it would build, with the ``known`` ones' targets and ABIs."""
    table = console.create_table("", "identifier", "target", "ABI")
    with create_work_folder() as work:
        for name in cibuildwheel.list_identifiers(source, variables, work):
            table.add_row(name, *(one.id for one in known.get(name, ())))  # its settings may have other ABIs
    console.print_table(table)
    return 0


def _open_tree(source: Path, work: Path) -> Path:
    """Return a project's folder, or its sdist unpacked."""
    return source if source.is_dir() else unpack_source(source, work / "unpacked").tree


def _list_wheels(source: Path, options: argparse.Namespace) -> int:
    release, planned = _plan_wheels(source, options)
    if options.json:
        text = json.dumps(_describe_release(release, planned))  # one line, like the outputs of CI's jobs
        summary.write_json(f"{text}\n", options.json)
        return 0
    table = console.create_table("", "wheel", "target", "is run on")
    for wheel in planned:
        ids = "\n".join(target.id for target in wheel.targets) or "any"
        table.add_row(console.wrap_wheel_name(wheel.name), ids, _describe_ways(wheel, options.how))
    console.print_table(table)
    console.out.print(f"{len(planned)} wheels, built from {release}.tar.gz", markup=False)
    return 0


def _plan_wheels(source: Path, options: argparse.Namespace) -> tuple[str, list[targets.PlannedWheel]]:
    """Return the release's name-version and its wheels. If its tags must be asked for, its build is prepared."""
    with create_work_folder() as work, console.Progress() as progress:
        tree = _open_tree(source, work)
        release, tasks = read_name_version(source), _plan(tree, options, _make_wish(options))

        def ask() -> dict[str, str]:
            context = prepare_context(
                source, work / "asked", work, partial(progress.update, "source"), python=options.python,
                variables=parse_variables(options.env), abis=lambda _: _building.list_abis(tasks),
            )  # fmt: skip
            return ask_tags(context, tasks)

        return release, plan_names(release, tasks, choose_tags(tree, read_stated_abis(tree), tasks, ask))


def _describe_release(release: str, planned: Sequence[targets.PlannedWheel]) -> dict[str, object]:
    """Return the list for programs: the wheels, and the jobs of CI."""
    rows = {target.id: target for wheel in planned for target in wheel.targets}
    matrices = {"native": ci_matrix.make_native_rows(planned), **ci_matrix.make_cibuildwheel_rows(rows.values())}
    return {"sdist": f"{release}.tar.gz", "wheels": [wheel.record() for wheel in planned], "matrices": matrices}


def _describe_ways(wheel: targets.PlannedWheel, how: str) -> str:
    if not wheel.targets:
        return "no code to run"
    known = {"emulated": "an emulated CPU", "cpython": "a real CPython"}  # "any": the first that is available
    ways = [text for way, text in known.items() if way in wheel.ways and how in ("any", "ready", "all", way)]
    return "\n".join(ways[:1] if how in ("any", "ready") else ways) or "nothing here"


def _wants_pure(options: argparse.Namespace) -> bool:
    return targets.PURE in options.abi if options.abi else not options.target
