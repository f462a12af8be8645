"""``release``: every step from a clean tree to a rehearsed release, in a checklist that can be resumed."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path

from wheelworks.cli import _help
from wheelworks.cli._output import writable
from wheelworks.cli.reproduce import select_variations, select_wheels
from wheelworks.core import console
from wheelworks.core.errors import UsageError
from wheelworks.release import publishing, steps

EPILOG = """\
examples:
  nox -s release -- 1.2.0              everything, up to an upload to an index on this machine, which is thrown away
  nox -s release -- 1.2.0 --publish    the same, then the tag v1.2.0 is pushed, and CI publishes what it stands for
  nox -s release -- 1.2.0 --target win_arm64 --abi cp311-abi3 --python 3.13
      a rehearsal of a part

A release that was stopped, at whatever step, goes on there: what is done is kept in DIR/.release.json, and is done
again only where a file is gone since. Nothing but a tag is pushed, by git, and no password or token is read here.
Exit status: 0, 1 (a step failed, or something isn't ready), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s release --",
        description="Make a release: build, audit, test, build again, describe, rehearse.",
        epilog=EPILOG,
        formatter_class=_help.Formatter,
    )
    made.add_argument("version", metavar="X.Y.Z", help="the version, as it stands in pyproject.toml")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--rehearse", action="store_true", help="stop before the tag (the default)")
    how.add_argument("--publish", action="store_true", help="tag it at the end, after the version was typed again")
    made.add_argument("--remote", default="origin", metavar="NAME", help="where the tag goes (default: origin)")
    part = made.add_argument_group("a rehearsal of a part, repeatable")
    part.add_argument("--target", action="append", default=[], metavar="ID", help="of the wheels of this target")
    part.add_argument("--abi", action="append", default=[], metavar="ID", help="of the wheels of this ABI")
    part.add_argument("--python", action="append", default=[], metavar="X.Y", help="tested under this CPython")
    part.add_argument("--tornado", action="append", default=[], metavar="VERSION", help="tested beside this Tornado")
    part.add_argument("--vary", action="append", default=[], metavar="NAME", help="built again with this varied")
    made.add_argument("--out", default="dist", metavar="DIR", help="where the files go (default: dist)")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options, root = parser().parse_args(argv), Path.cwd()
    if not (root / "pyproject.toml").is_file():
        raise UsageError(f"{root}: no project: it has no pyproject.toml", "start it in the project's folder")
    name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    part = _part(options)
    if options.publish and not part.whole:
        raise UsageError("a part can't be published", "leave out --publish, or what confines the rehearsal")
    release = steps.begin_release(
        root, Path(options.out).resolve(), options.version, name, part, publish=options.publish
    )
    if options.publish:
        publishing.check_remote(root, release.version, release.commit, options.remote)
    writable(release.dist)
    _take(release)
    return _publish(release, options.remote) if options.publish else 0


def _part(options: argparse.Namespace) -> steps.ReleaseSubset:
    """What the options confine a rehearsal to. Raises UsageError for what there isn't."""
    select_variations(options.vary)
    return steps.ReleaseSubset(
        select_wheels(options), tuple(options.python), tuple(options.tornado), tuple(options.vary)
    )


def _take(release: steps.Release) -> None:
    outcomes: dict[str, str] = {}
    try:
        with console.Progress() as progress:

            def tell(step: str, what: str) -> None:
                outcomes[step] = what
                progress.say(step, what)

            steps.run_steps(release, steps.STEPS, tell)
    finally:
        _show(outcomes)


def _show(outcomes: dict[str, str]) -> None:
    marks = {"done": "[green]done[/]", "as before": "[green]done before[/]", "under way": "[red]failed[/]"}
    table = console.table("", "step", "what", "")
    for step in steps.STEPS:
        table.add_row(step.name, step.says, marks.get(outcomes.get(step.name, ""), "to do"))
    console.out.print(table)


def _publish(release: steps.Release, remote: str) -> int:
    """Tag the commit and push the tag, once the version was typed again."""
    publishing.check_remote(release.root, release.version, release.commit, remote)
    try:
        typed = input(f"Type the version to publish {release.commit[:12]}: ").strip()
    except EOFError:
        typed = ""
    if typed != release.version:
        raise UsageError(f"{typed or 'nothing'} was typed, not {release.version}: nothing is tagged")
    publishing.push_tag(release.root, release.version, release.commit, remote)
    said = f"tagged v{release.version} and pushed it to {remote}: its release.yml builds, tests and publishes it"
    console.out.print(said, markup=False)
    return 0
