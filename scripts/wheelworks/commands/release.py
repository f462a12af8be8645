"""``release``: every step from a clean tree to a rehearsed release, in a checklist that can be resumed."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path

from wheelworks import console
from wheelworks.commands import helping
from wheelworks.commands.output import writable
from wheelworks.errors import UsageError
from wheelworks.release import preconditions, steps

EPILOG = """\
examples:
  nox -s release -- 1.2.0              everything, up to an upload to an index on this machine, which is thrown away
  nox -s release -- 1.2.0 --publish    the same, then the tag v1.2.0, which CI publishes once it is pushed

A release that was stopped, at whatever step, goes on there: what is done is kept in DIR/.release.json, and is done
again only where a file has changed since. Nothing is ever pushed from here, and no password or token is read.
Exit status: 0, 1 (a step failed, or something isn't ready), 2 (wrong use)."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s release --",
        description="Make a release: build, audit, test, build again, describe, rehearse.",
        epilog=EPILOG,
        formatter_class=helping.Formatter,
    )
    made.add_argument("version", metavar="X.Y.Z", help="the version, as it stands in pyproject.toml")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--rehearse", action="store_true", help="stop before the tag (the default)")
    how.add_argument("--publish", action="store_true", help="tag it at the end, after the version was typed again")
    made.add_argument("--out", default="dist", metavar="DIR", help="where the files go (default: dist)")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options, root = parser().parse_args(argv), Path.cwd()
    if not (root / "pyproject.toml").is_file():
        raise UsageError(f"{root}: no project: it has no pyproject.toml", "start it in the project's folder")
    name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    release = steps.begin(root, Path(options.out).resolve(), options.version, name)
    writable(release.dist)
    outcomes: dict[str, str] = {}
    try:
        with console.Progress() as progress:

            def tell(step: str, what: str) -> None:
                outcomes[step] = what
                progress.say(step, what)

            steps.go(release, steps.STEPS, tell)
    finally:
        _show(outcomes)
    return _publish(release) if options.publish else 0


def _show(outcomes: dict[str, str]) -> None:
    marks = {"done": "[green]done[/]", "as before": "[green]done before[/]", "under way": "[red]failed[/]"}
    table = console.table("", "step", "what", "")
    for step in steps.STEPS:
        table.add_row(step.name, step.says, marks.get(outcomes.get(step.name, ""), "to do"))
    console.out.print(table)


def _publish(release: steps.Release) -> int:
    """Tag the commit, once the version was typed again; pushing the tag is for people to do."""
    try:
        typed = input(f"Type the version to tag {release.commit[:12]}: ").strip()
    except EOFError:
        typed = ""
    if typed != release.version:
        raise UsageError(f"{typed or 'nothing'} was typed, not {release.version}: nothing is tagged")
    preconditions.git(release.root, "tag", "--annotate", f"v{release.version}", "-m", release.version, release.commit)
    console.out.print(f"tagged v{release.version}; to publish it: git push origin v{release.version}", markup=False)
    return 0
