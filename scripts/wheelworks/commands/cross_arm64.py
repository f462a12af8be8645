"""``cross-arm64``: the ARM64 wheels of a project, built here."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wheelworks import console, manifest, targets
from wheelworks.commands.output import work_folder, writable
from wheelworks.cross import builder, doors, environment, report, workshop
from wheelworks.cross.source import check
from wheelworks.cross.workshop import Workshop
from wheelworks.errors import WheelworksError
from wheelworks.targets import Target

if TYPE_CHECKING:
    from wheelworks.execute.verdict import Verdict

EPILOG = """\
examples:
  nox -s cross-arm64                                      this project's wheels into dist/
  nox -s cross-arm64 -- tornado-6.6.1.tar.gz --out t      Tornado's, from its sdist
  nox -s cross-arm64 -- ../project --target win_arm64     one target of another project
  nox -s cross-arm64 -- . --env TORNADO_EXTENSION=1       with a variable for the project's build
  nox -s cross-arm64 -- --no-run                          build only

A wheel appears in DIR only when it is whole and verified; then its machine code is run, on an emulated CPU and, for
Linux where qemu is installed, under a real CPython. Exit status: 0, 1 (a build or a run failed), 2 (wrong use).
The environment of the build is the same everywhere: CC, CFLAGS and the like don't reach it; --env does."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="nox -s cross-arm64 --",
        description="Build a project's ARM64 wheels, for Windows, macOS and Linux, and run them, on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)"
    )
    made.add_argument("--target", action="append", default=[], metavar="ID", help="build this target only; repeatable")
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
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    start = time.perf_counter()
    options = parser().parse_args(argv)
    chosen = targets.select(options.target) if options.target else targets.with_cpu("aarch64")
    extra = environment.parse(options.env)
    source = Path(options.source)
    check(source)
    out = writable(Path(options.out))
    with work_folder() as work, console.Progress() as progress:
        shop = workshop.prepare(source, work, out, extra, options.python, lambda text: progress.say("source", text))
        progress.done("source")
        outcomes = _build(shop, chosen, progress)
        if options.verbose:
            _explain(shop, chosen)
    built = _conclude(shop, outcomes, time.perf_counter() - start)
    status = 0 if len(built) == len(outcomes) else 1
    return status if options.no_run or not built else max(status, _run(shop, built))


def _build(shop: Workshop, chosen: Sequence[Target], progress: console.Progress) -> list[builder.Outcome]:
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.1):
            for target in targets.all_targets():
                if sentence := report.latest(report.read(doors.log_of(target, shop.work))):
                    progress.say(target.id, sentence)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for target in chosen:
            progress.say(target.id, "asking the build backend")
        return builder.build(shop, chosen, lambda outcome: _tell(outcome, progress))
    finally:
        finished.set()
        watcher.join()


def _tell(outcome: builder.Outcome, progress: console.Progress) -> None:
    names = outcome.record["targets"] if isinstance(outcome, builder.Built) else [outcome.target.id]
    for name in names:
        progress.done(name)


def _conclude(shop: Workshop, outcomes: Sequence[builder.Outcome], seconds: float) -> list[builder.Built]:
    """Write the manifest and tell what was built in so many seconds, and what was not; returns what was."""
    built = [outcome for outcome in outcomes if isinstance(outcome, builder.Built)]
    save_manifest(shop, built)
    if built:
        console.out.print(_table(shop, built, seconds))
    for outcome in outcomes:
        if isinstance(outcome, builder.Failed):
            console.error(outcome.error.message, outcome.error.hint)
    return built


def _run(shop: Workshop, built: Sequence[builder.Built]) -> int:
    """Run what was built, with the package's tests where it is this package; returns the exit status."""
    # Not before: the emulator takes a second to import, which a wrong option should not wait for.
    from wheelworks.commands import running
    from wheelworks.execute.package import is_the_package

    wheels = [one.file for one in built]
    tests: running.Tests = "package" if all(map(is_the_package, wheels)) else "smoke"
    with console.Progress() as progress:
        verdicts = running.run(wheels, "all", tests, [running.FLOOR], progress.say)
    manifest.save(_with_runs(manifest.load(shop.out), verdicts), shop.out)
    running.show(verdicts)
    return running.exit_code(wheels, verdicts)


def _with_runs(record: manifest.Record | None, verdicts: Sequence[Verdict]) -> manifest.Record:
    assert record is not None  # it was written a moment ago
    wheels = [
        {
            **wheel,
            "runs": [verdict.record() for verdict in verdicts if verdict.wheel == wheel["file"]]
            or wheel.get("runs", []),
        }
        for wheel in record["wheels"]
    ]
    return {**record, "wheels": wheels}


def save_manifest(shop: Workshop, built: Sequence[builder.Built]) -> manifest.Record:
    """Write what was built to the folder's manifest, and tell of wheels there that it doesn't know."""
    source = {
        "name": shop.source.name,
        "kind": shop.source.kind,
        "tree_sha256": shop.source.sha256,
        "archive_sha256": shop.source.archive_sha256,
        "commit": shop.source.commit,
        "dirty": shop.source.dirty,
        "epoch": shop.source.epoch,
    }
    old = _old_manifest(shop.out)
    merged = manifest.existing(manifest.merge(old, source, shop.toolchain(), [one.record for one in built]), shop.out)
    manifest.save(merged, shop.out)
    known = {wheel["file"] for wheel in merged["wheels"]}
    if strangers := {path.name for path in shop.out.glob("*.whl")} - known:
        console.err.print(f"note: {shop.out}/ also holds {len(strangers)} wheels of other builds", markup=False)
    return merged


def _old_manifest(out: Path) -> manifest.Record | None:
    try:
        return manifest.load(out)
    except WheelworksError as error:
        console.err.print(f"{error.message}: replaced", markup=False)
        return None


def _table(shop: Workshop, built: Sequence[builder.Built], seconds: float) -> object:
    compiling = report.elapsed(span for one in built for span in one.compilation.spans)
    made = console.table("", "wheel", "size", "the binary imports", "seconds")
    for one in built:
        imports = "\n".join(dict.fromkeys(asks(extension) for extension in one.record["extensions"]))
        made.add_row(
            console.folded(one.file.name), f"{one.record['size'] / 1000:.1f} kB", imports, f"{one.seconds:.1f}"
        )
    tools = f"CPython {shop.python.version} headers, zig {shop.toolchain()['ziglang']}"
    times = f"{seconds:.1f} s in all, {compiling:.2f} s of them compiling and linking"
    made.caption = f"{shop.source.name}, {tools}\n{times}"
    return made


def asks(extension: manifest.Record) -> str:
    """What a binary asks of its surroundings, in a line."""
    imports = extension["imports"]
    pythons = sum(name.startswith(("Py", "_Py")) for names in imports.values() for name in names)
    names = (name.rsplit("/", 1)[-1] for name in imports if name)
    libraries = dict.fromkeys("UCRT" if name.startswith("api-ms-win-crt-") else name for name in names)
    return f"{', '.join(libraries) or 'no library'}\n{pythons} symbols of CPython"


def _explain(shop: Workshop, chosen: Sequence[Target]) -> None:
    for target in chosen:
        console.err.print(f"{target.id}: compiler target {target.compiler}, sysconfig {target.platform}", markup=False)
        for event in report.read(doors.log_of(target, shop.work)):
            if "command" in event:
                console.err.print(f"  {event['command']}", markup=False)
            for word in event.get("dropped", ()) if "command" in event else ():
                console.err.print(f"  left out, it is the host's: {word}", markup=False)
