"""Build wheels, tell what came of it, and run them: what ``cross-arm64`` and ``build-wheels`` share."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wheelworks.build import builder, crossenv, driver
from wheelworks.build.context import BuildContext
from wheelworks.build.tasks import BuildResult, BuildTask, Built, Failed, UpToDate
from wheelworks.cli import _manifest
from wheelworks.core import console, manifest
from wheelworks.core.targets import family_of

if TYPE_CHECKING:
    from wheelworks.cli import _running
    from wheelworks.core.verdict import Verdict


def add_options(made: argparse.ArgumentParser) -> None:
    """The options of every command that builds."""
    made.add_argument(
        "source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)"
    )
    made.add_argument("--target", action="append", default=[], metavar="ID", help="for this target only; repeatable")
    made.add_argument("--out", default="dist", metavar="DIR", help="where the wheels go (default: dist)")
    made.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable that the project's build sees; repeatable",
    )
    made.add_argument(
        "--python", default="", metavar="PATH", help="the CPython 3.11 whose headers are used (default: found)"
    )
    made.add_argument("--no-run", action="store_true", help="don't run what was built")
    made.add_argument("--verbose", action="store_true", help="print each target's settings and compiler commands")


def build(
    shop: BuildContext, jobs: Sequence[BuildTask], progress: console.Progress, *, force: bool
) -> list[BuildResult]:
    """Do jobs, and tell of their progress meanwhile."""
    finished, left = threading.Event(), set(jobs)

    def watch() -> None:
        while not finished.wait(0.2):
            for job in [job for job in jobs if job in left]:
                if sentence := driver.describe_progress(_events(shop, job)):
                    progress.say(str(job), sentence)

    def done(job: BuildTask) -> None:
        left.discard(job)
        progress.done(str(job))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return builder.run_tasks(shop, jobs, done, force=force)
    finally:
        finished.set()
        watcher.join()


def _events(shop: BuildContext, job: BuildTask) -> list[driver.Event]:
    if job.abi is None:
        return []
    logs = (crossenv.log_path(row, job.abi, shop.work) for row in family_of(job.rows[0]))
    return [event for log in logs for event in driver.read_log(log)]


def conclude(shop: BuildContext, outcomes: Sequence[BuildResult], seconds: float) -> list[Built | UpToDate]:
    """Write the manifest and tell what was built in so many seconds, and what was not; returns the wheels there are."""
    there = [outcome for outcome in outcomes if not isinstance(outcome, Failed)]
    _save_manifest(shop, there)
    if built := [one for one in there if isinstance(one, Built)]:
        console.out.print(_table(shop, built, seconds))
    if kept := len(there) - len(built):
        console.out.print(f"{kept} of the wheels were there already, made of just the same", markup=False)
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            console.error(outcome.error.message, outcome.error.hint)
    return there


def run(shop: BuildContext, there: Sequence[Built | UpToDate]) -> int:
    """Run wheels, with the package's tests where it is this package; returns the exit status."""
    # Not before: the emulator takes a second to import, which a wrong option should not wait for.
    from wheelworks.cli import _running

    wheels = [one.file for one in there]
    with console.Progress() as progress:
        verdicts = _running.run_wheels(wheels, "all", _tests(wheels), [_running.FLOOR], progress.say)
    _note_runs(shop, verdicts)
    _running.show_verdicts(verdicts)
    return _running.exit_status(wheels, verdicts)


def run_release(shop: BuildContext, there: Sequence[Built | UpToDate], *, everywhere: bool) -> int:
    """Run the wheels of a release on the emulated CPU; the others, or ``everywhere`` all that can be, under CPython.

    Returns the exit status. What there is no way for is told, and no failure; the pure wheel has no code to run.
    """
    from wheelworks.cli import _running

    ways = {one.file: _running.choose_engines(one.file) for one in there if one.record.targets}
    emulated = [wheel for wheel in ways if "emulated" in ways[wheel]]
    real = [wheel for wheel in ways if wheel not in emulated or (everywhere and "cpython" in ways[wheel])]
    tests = _tests(list(ways)) if everywhere else "smoke"
    with console.Progress() as progress:
        verdicts = _running.run_wheels(emulated, "emulated", _tests(emulated), [], progress.say)
        verdicts += [_running.run_under_oldest_cpython(wheel, tests, progress.say) for wheel in real]
    _note_runs(shop, verdicts)
    _running.show_verdicts(verdicts)
    return _running.exit_status([wheel for wheel in ways if ways[wheel]], verdicts)


def _tests(wheels: Sequence[Path]) -> _running.Tests:
    from wheelworks.emulator.wheel_tests import is_own_package

    return "package" if all(map(is_own_package, wheels)) else "smoke"


def _note_runs(shop: BuildContext, verdicts: Sequence[Verdict]) -> None:
    """Put what running has shown into the folder's manifest."""
    record = manifest.load(shop.out)
    assert record is not None  # it was written a moment ago
    wheels = [
        replace(
            wheel,
            runs=[verdict.record() for verdict in verdicts if verdict.wheel == wheel.file] or wheel.runs,
        )
        for wheel in record.wheels
    ]
    _manifest.save(replace(record, wheels=wheels), shop.out)


def _save_manifest(shop: BuildContext, there: Sequence[Built | UpToDate]) -> None:
    """Write what there is to the folder's manifest, and tell of wheels there that it doesn't know."""
    old = _manifest.previous(shop.out)
    merged = manifest.existing(
        manifest.merge(old, shop.source.record(), shop.toolchain(), [one.record for one in there]), shop.out
    )
    _manifest.save(merged, shop.out)
    known = {wheel.file for wheel in merged.wheels}
    if strangers := {path.name for path in shop.out.glob("*.whl")} - known:
        console.err.print(f"note: {shop.out}/ also holds {len(strangers)} wheels of other builds", markup=False)


def _table(shop: BuildContext, built: Sequence[Built], seconds: float) -> object:
    compiling = driver.count_busy_seconds(span for one in built for span in one.compilation.spans)
    made = console.table("", "wheel", "size", "the binary imports", "seconds")
    for one in built:
        imports = "\n".join(dict.fromkeys(asks(extension) for extension in one.record.extensions))
        made.add_row(console.folded(one.file.name), f"{one.record.size / 1000:.1f} kB", imports, f"{one.seconds:.1f}")
    versions = ", ".join(headers.release for headers in shop.headers.values())
    tools = f"headers of CPython {versions}, zig {shop.toolchain().ziglang}"
    times = f"{seconds:.1f} s in all, {compiling:.2f} s of them compiling and linking"
    made.caption = f"{shop.source.name}, {tools}\n{times}"
    return made


def asks(extension: manifest.ExtensionRecord) -> str:
    """What a binary asks of its surroundings, in a line."""
    imports = extension.imports
    pythons = sum(name.startswith(("Py", "_Py")) for names in imports.values() for name in names)
    names = (name.rsplit("/", 1)[-1] for name in imports if name)
    libraries = dict.fromkeys("UCRT" if name.startswith("api-ms-win-crt-") else name for name in names)
    return f"{', '.join(libraries) or 'no library'}\n{pythons} symbols of CPython"


def explain(shop: BuildContext, jobs: Sequence[BuildTask]) -> None:
    """Print each job's settings and compiler commands, ready to paste."""
    for job in jobs:
        for row in job.rows[:1]:
            console.err.print(f"{job}: compiler target {row.compiler}, sysconfig {row.platform}", markup=False)
        for event in _events(shop, job):
            if "command" in event:
                console.err.print(f"  {event['command']}", markup=False)
            for word in event.get("dropped", ()) if "command" in event else ():
                console.err.print(f"  left out, it is the host's: {word}", markup=False)
