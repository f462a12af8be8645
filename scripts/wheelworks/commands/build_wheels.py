"""``build-wheels``: every wheel of a release, and the sdist that they are built from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from wheelworks import console, matrices, plan, targets
from wheelworks.commands.output import work_folder, writable
from wheelworks.cross import project
from wheelworks.cross.source import check, from_sdist

EPILOG = """\
examples:
  nox -s build-wheels                                        this project's sdist and wheels into dist/
  nox -s build-wheels -- --list                              what that would be
  nox -s build-wheels -- --list --json                       the same for a program, such as a CI matrix
  nox -s build-wheels -- tornado-6.6.1.tar.gz --out t        Tornado's
  nox -s build-wheels -- --target win_arm64 --abi cp314t     one wheel

  nox -s build-wheels -- --builder cibuildwheel --out w      this system's, by its own compilers

--list tells the names of a project whose extension calls nothing but CPython, and keeps to the stable ABI where there
is one. Exit status: 0, 1 (a build or a run failed), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s build-wheels --",
        description="Build every wheel of a release, for every platform and ABI, from one sdist, on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)"
    )
    made.add_argument("--target", action="append", default=[], metavar="ID", help="for this target only; repeatable")
    made.add_argument(
        "--abi", action="append", default=[], metavar="ID", help=f"of this ABI only, or {plan.PURE}; repeatable"
    )
    made.add_argument("--out", default="dist", metavar="DIR", help="where the wheels go (default: dist)")
    made.add_argument(
        "--builder",
        choices=["cross", "cibuildwheel"],
        default="cross",
        help="cross: all from here (default); cibuildwheel: this system's, by the official toolchains",
    )
    made.add_argument("--list", action="store_true", help="tell what would be built, and build nothing")
    made.add_argument("--json", action="store_true", help="with --list: for programs")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    source = Path(options.source)
    check(source)
    if options.builder == "cibuildwheel" and not options.list:
        return _by_cibuildwheel(source, options)
    return _list(source, options)


def _by_cibuildwheel(source: Path, options: argparse.Namespace) -> int:
    from wheelworks.commands import by_cibuildwheel  # which the other builder needs nothing of

    wanted = targets.select(options.target) if options.target else targets.all_targets()
    abis = [targets.find_abi(name) for name in options.abi] or targets.all_abis()
    narrowed = bool(options.target or options.abi)
    return by_cibuildwheel.run(source, writable(Path(options.out)), wanted, abis, narrowed=narrowed)


def _list(source: Path, options: argparse.Namespace) -> int:
    with work_folder() as work:
        tree = source if source.is_dir() else from_sdist(source, work / "unpacked").tree
        planned = chosen(project.stem(source), options, pure=project.pure_variables(tree) is not None)
    if options.json:
        print(json.dumps(_described(project.stem(source), planned)))  # noqa: T201  # one line, as CI's outputs are
        return 0
    for name in (f"{project.stem(source)}.tar.gz", *(one.name for one in planned)):
        console.out.print(name, markup=False, soft_wrap=True)
    return 0


def _described(stem: str, planned: Sequence[plan.Planned]) -> dict[str, object]:
    wanted = dict.fromkeys(target for one in planned for target in one.targets)
    rows = {"native": matrices.native(planned), **matrices.official(wanted)}
    return {"sdist": f"{stem}.tar.gz", "wheels": [one.record() for one in planned], "matrices": rows}


def chosen(stem: str, options: argparse.Namespace, *, pure: bool) -> tuple[plan.Planned, ...]:
    """The wheels that the options ask for. Raises UsageError for an unknown target or ABI."""
    wanted = targets.select(options.target) if options.target else targets.all_targets()
    named = [name for name in options.abi if name not in (plan.PURE, "py3-none")]
    abis = {targets.find_abi(name) for name in named} if options.abi else set(targets.all_abis())
    with_pure = pure and (len(named) < len(options.abi) if options.abi else not options.target)
    return plan.wheels(stem, wanted, [abi for abi in targets.all_abis() if abi in abis], pure=with_pure)
