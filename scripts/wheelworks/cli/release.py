"""``release``: run every step from a clean tree to a rehearsed release, as a checklist that can be resumed."""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from wheelworks.cli._command import create_parser, ensure_writable
from wheelworks.cli.reproduce import select_variations, select_wheels
from wheelworks.core import console, summary, targets
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import wait_for_turn
from wheelworks.core.summary import Failure
from wheelworks.release import publishing, steps
from wheelworks.release.steps import Release, ReleaseSubset
from wheelworks.report import page

EPILOG = """\
examples:
  nox -s release -- 1.2.0              everything, up to an upload to a temporary index on this machine
  nox -s release -- 1.2.0 --publish    the same, then push the tag v1.2.0, which CI builds and publishes
  nox -s release -- 1.2.0 --skip test-frameworks
      rehearse it without the tests of other projects, a quarter of an hour
  nox -s release -- 1.2.0 --target win_arm64 --abi cp311-abi3 --python 3.13
      rehearse a part of the release

A release that was stopped continues at the step where it was: the finished steps are recorded in DIR/.release.json,
and run again only if a file is missing since. A second release that writes to the same folder waits for the first.
Only a tag is pushed, by git; no password or token is read here.
Exit status: 0, 1 (a step failed, or something isn't ready), 2 (wrong use)."""

# The words and colours of the states of steps.
_MARKS = {
    "done": ("done", "green"),
    "done before": ("done before", "green"),
    "skipped": ("skipped", "yellow"),
    "running": ("FAILED", "bold red"),
}
COUNTED = ("done", "done_before", "skipped", "to_do")

# In the folder of the release, whose own lock is that of its manifest, which the steps take.
LOCK_FILE = ".release.lock"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    made = create_parser(
        "nox -s release --", "Make a release: build, audit, test, reproduce, describe and rehearse it.", EPILOG
    )
    made.add_argument("version", metavar="X.Y.Z", help="the version, as in pyproject.toml")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--rehearse", action="store_true", help="stop before the tag (the default)")
    how.add_argument("--publish", action="store_true", help="finally tag it, after asking for the version again")
    made.add_argument("--remote", default="origin", metavar="NAME", help="push the tag there (default: origin)")
    part = made.add_argument_group("rehearse a part of the release; repeatable")
    part.add_argument("--target", action="append", default=[], metavar="ID", help="the wheels of this target")
    part.add_argument("--abi", action="append", default=[], metavar="ID", help="the wheels of this ABI")
    part.add_argument("--python", action="append", default=[], metavar="X.Y", help="test with this CPython")
    part.add_argument("--tornado", action="append", default=[], metavar="VERSION", help="test with this Tornado")
    part.add_argument("--vary", action="append", default=[], metavar="NAME", help="vary this when building again")
    part.add_argument("--skip", action="append", default=[], choices=steps.SKIPPABLE, help="leave this step out")
    made.add_argument("--out", default="dist", metavar="DIR", help="the folder for the files (default: dist)")
    summary.add_json_option(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status. Raises WheelworksError."""
    options, root = parser().parse_args(argv), Path.cwd()
    if not (root / "pyproject.toml").is_file():
        raise UsageError(f"{root}: not a project: it has no pyproject.toml", "run it in the project's folder")
    name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    select_variations(options.vary)  # raises UsageError for an unknown one
    tests = tuple(options.python), tuple(options.tornado)
    subset = ReleaseSubset(select_wheels(options), *tests, tuple(options.vary), tuple(options.skip))
    if options.publish and subset != ReleaseSubset():
        raise UsageError("a part of a release can't be published", "leave out --publish, or the limiting options")
    release = _prepare(options, root, name, subset)
    ensure_writable(release.dist)
    with wait_for_turn(release.dist / LOCK_FILE, lambda: _report_wait(release.dist)) as waited:
        if waited:  # the checkout may be another one now
            release = _prepare(options, root, name, subset)
        if status := _run_steps(release, options.json):
            return status
        return _publish(release, options.remote) if options.publish else 0


def _prepare(options: argparse.Namespace, root: Path, name: str, subset: ReleaseSubset) -> Release:
    """Check what must be true before the first step. Raises WheelworksError."""
    commit = publishing.check_preconditions(root, options.version, publish=options.publish)
    if options.publish:
        publishing.check_remote(root, options.version, commit, options.remote)
    stem = targets.format_name_version(name, options.version)
    return Release(root, Path(options.out).resolve(), options.version, commit, stem, subset)


def _report_wait(folder: Path) -> None:
    console.print_note(f"waiting for another release that writes to {folder}")


def _run_steps(release: Release, target: str | None) -> int:
    """Run the steps and print the checklist; return the exit status.

    The result is written to ``target``, the value of ``--json``.
    """
    states: dict[str, str] = {}
    failures: list[Failure] = []
    start = time.perf_counter()
    try:
        with console.Progress() as progress:

            def update(step: str, state: str) -> None:
                states[step] = state
                progress.update(step, state)

            steps.run_steps(release, steps.STEPS, update)
    except WheelworksError as error:
        step = next((name for name, state in states.items() if state == "running"), "")
        failures = [Failure(step, error.message, error.hint, f"nox -s release -- {release.version}")]
    finally:
        result = summarize_steps(states, failures, time.perf_counter() - start, release.dist / page.FILE)
        status = summary.finish(result, target)
    return status


def summarize_steps(
    states: Mapping[str, str], failures: Sequence[Failure], seconds: float, place: Path
) -> summary.Summary:
    """Return the checklist as a summary; ``place`` is where the page may be."""
    marks = {step.name: _MARKS.get(states.get(step.name, ""), ("to do", "dim")) for step in steps.STEPS}
    found = [text for text, _ in marks.values()]
    return summary.Summary(
        "release",
        int(not set(found) <= {"done", "done before", "skipped"}),
        seconds,
        {"steps": len(found), **{name: found.count(name.replace("_", " ")) for name in COUNTED}},
        head=[f"[{marks[one.name][1]}]{marks[one.name][0]:13}[/]{one.name:17}{one.summary}" for one in steps.STEPS],
        failures=failures,
        page=place if place.is_file() else None,
        details=[{"step": one.name, "state": marks[one.name][0]} for one in steps.STEPS],
    )


def _publish(release: Release, remote: str) -> int:
    publishing.check_remote(release.root, release.version, release.commit, remote)
    try:
        typed = input(f"Type the version to publish {release.commit[:12]}: ").strip()
    except EOFError:
        typed = ""
    if typed != release.version:
        raise UsageError(f"{typed or 'nothing'} was typed, not {release.version}: nothing is tagged")
    publishing.push_tag(release.root, release.version, release.commit, remote)
    text = f"tagged v{release.version} and pushed it to {remote}: its release.yml builds, tests and publishes it"
    console.out.print(text, markup=False)
    return 0
