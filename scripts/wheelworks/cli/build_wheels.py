"""``build-wheels``: every wheel of a release, and the sdist that they are built from."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from wheelworks.build import context
from wheelworks.build.context import BuildContext
from wheelworks.build.source import check_source, read_name_version, read_pure_variables, unpack_source
from wheelworks.build.tasks import BuildTask, make_tasks
from wheelworks.cli import _building, _help, ci_matrix
from wheelworks.cli._output import work_folder, writable
from wheelworks.core import console, plan, targets
from wheelworks.core.errors import UsageError

EPILOG = """\
examples:
  nox -s build-wheels                                        this project's sdist and wheels into dist/
  nox -s build-wheels -- --list                              what that would be
  nox -s build-wheels -- --list --json                       the same for a program, such as a CI matrix
  nox -s build-wheels -- tornado-6.6.1.tar.gz --out t        Tornado's
  nox -s build-wheels -- --target win_arm64 --abi cp314t     one wheel
  nox -s build-wheels -- --builder cibuildwheel --out w      this system's, by its own compilers
  nox -s build-wheels -- --builder cibuildwheel --list       what that would be

A wheel that DIR holds already, made of just the same source, tools and headers, is left as it is; --force builds it
again. At the end the machine code of each is run on an emulated CPU, or under a real CPython where there is none.
--list tells the wheels of a project whose extension calls nothing but CPython, and keeps to the stable ABI where there
is one. Exit status: 0, 1 (a build or a run failed), 2 (wrong use)."""

# The first that there is for a wheel will do, unless all are asked for.
WAYS = {"emulated": "an emulated CPU", "cpython": "a real CPython"}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s build-wheels --",
        description="Build every wheel of a release, for every platform and ABI, from one sdist, on this machine.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    _building.add_options(made)
    made.add_argument(
        "--abi", action="append", default=[], metavar="ID", help=f"of this ABI only, or {plan.PURE}; repeatable"
    )
    made.add_argument(
        "--builder",
        choices=["cross", "cibuildwheel"],
        default="cross",
        help="cross: all from here (default); cibuildwheel: this system's, by the official toolchains",
    )
    made.add_argument(
        "--how", choices=["emulated", "all"], default="emulated", help="run them on what: all adds CPython under qemu"
    )
    made.add_argument("--force", action="store_true", help="build what is there already, too")
    made.add_argument("--list", action="store_true", help="tell what would be built, and build nothing")
    made.add_argument("--json", action="store_true", help="with --list: for programs")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    source = Path(options.source)
    check_source(source)
    if options.json and not options.list:
        raise UsageError("--json is a form of --list", "add --list")
    if options.builder == "cibuildwheel":
        return _by_cibuildwheel(source, options)
    return _list(source, options) if options.list else _build(source, options)


def _build(source: Path, options: argparse.Namespace) -> int:
    start, extra = time.perf_counter(), context.parse_variables(options.env)
    rows, abis = targets.select(options.target) or targets.all_targets(), _abis(options)
    out = writable(Path(options.out))
    with work_folder() as work, console.Progress() as progress:
        say = lambda text: progress.say("source", text)  # noqa: E731
        shop = context.prepare_context(source, work, out, extra, options.python, say, abis)
        progress.done("source")
        shop.publish_sdist()
        wanted = [*make_tasks(rows, abis), *_pure(shop, options)]
        outcomes = _building.build(shop, wanted, progress, force=options.force)
        if options.verbose:
            _building.explain(shop, wanted)
    there = _building.conclude(shop, outcomes, time.perf_counter() - start)
    status = 0 if len(there) == len(outcomes) else 1
    return (
        status
        if options.no_run or not there
        else max(status, _building.run_release(shop, there, everywhere=options.how == "all"))
    )


def _pure(shop: BuildContext, options: argparse.Namespace) -> list[BuildTask]:
    return [BuildTask((), None)] if _wants_pure(options) and shop.pure_variables() is not None else []


def _by_cibuildwheel(source: Path, options: argparse.Namespace) -> int:
    from wheelworks.cli import _cibuildwheel  # which the other builder needs nothing of

    wanted, abis = targets.select(options.target) or targets.all_targets(), _abis(options)
    if others := [name for name in ("env", "python", "force", "json") if getattr(options, name)]:
        hint = "[tool.cibuildwheel] in the project's pyproject.toml is where that builder's settings stand"
        raise UsageError(f"--{others[0]} is an option of --builder cross", hint)
    if not abis:
        raise UsageError(f"cibuildwheel makes no {plan.PURE} wheel", "leave --builder out")
    narrowed = bool(options.target or options.abi)
    if options.list:
        return _cibuildwheel.tell(source, wanted, abis, narrowed=narrowed)
    return _cibuildwheel.run(source, writable(Path(options.out)), wanted, abis, narrowed=narrowed)


def _list(source: Path, options: argparse.Namespace) -> int:
    with work_folder() as work:
        tree = source if source.is_dir() else unpack_source(source, work / "unpacked").tree
        planned = chosen(read_name_version(source), options, pure=read_pure_variables(tree) is not None)
    if options.json:
        print(json.dumps(_described(read_name_version(source), planned)))  # noqa: T201  # one line, as CI's outputs are
        return 0
    console.out.print(_table(planned, everywhere=options.how == "all"))
    console.out.print(f"{len(planned)} wheels, built from {read_name_version(source)}.tar.gz", markup=False)
    return 0


def _table(planned: Sequence[plan.Planned], *, everywhere: bool) -> object:
    made = console.table("", "wheel", "target", "is run on")
    for one in planned:
        ids = "\n".join(target.id for target in one.targets) or "any"
        made.add_row(console.folded(one.name), ids, _run_on(one, everywhere=everywhere))
    return made


def _run_on(one: plan.Planned, *, everywhere: bool) -> str:
    if not one.targets:
        return "no code to run"
    ways = [way for way in WAYS if way in one.ways]
    return "\n".join(WAYS[way] for way in (ways if everywhere else ways[:1])) or "nothing here"


def _described(stem: str, planned: Sequence[plan.Planned]) -> dict[str, object]:
    wanted = dict.fromkeys(target for one in planned for target in one.targets)
    rows = {"native": ci_matrix.native(planned), **ci_matrix.official(wanted)}
    return {"sdist": f"{stem}.tar.gz", "wheels": [one.record() for one in planned], "matrices": rows}


def chosen(stem: str, options: argparse.Namespace, *, pure: bool) -> tuple[plan.Planned, ...]:
    """The wheels that the options ask for. Raises UsageError for an unknown target or ABI."""
    rows = targets.select(options.target) or targets.all_targets()
    return plan.wheels(stem, rows, _abis(options), pure=pure and _wants_pure(options))


def _abis(options: argparse.Namespace) -> list[targets.Abi]:
    named = {targets.find_abi(name) for name in options.abi if name != plan.PURE}
    return [abi for abi in targets.all_abis() if abi in named or not options.abi]


def _wants_pure(options: argparse.Namespace) -> bool:
    return plan.PURE in options.abi if options.abi else not options.target
