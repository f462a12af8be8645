"""Build wheels, print the results, and run the wheels: shared by ``cross-arm64`` and ``build-wheels``."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wheelworks.build import crossenv, log
from wheelworks.build.arguments import explain_dropped
from wheelworks.build.builder import BuildResult, Built, Failed, run_tasks
from wheelworks.build.context import BuildContext, parse_variables, prepare_context
from wheelworks.build.driver import Event
from wheelworks.build.plan import BuildTask, Wish
from wheelworks.build.prefixes import check_targets, format_compiler, parse_prefixes
from wheelworks.cli import _page
from wheelworks.cli._command import create_work_folder, ensure_writable
from wheelworks.cli._results import Build, summarize_build
from wheelworks.core import console, manifest, process, summary
from wheelworks.core.errors import UsageError
from wheelworks.core.targets import PURE, Abi, Target, find_abi, find_target, load_abis, select_targets

if TYPE_CHECKING:
    from rich.table import Table

    from wheelworks.core.verdict import Verdict

MAX_ERROR = 2000  # characters of a failed build's error that the manifest keeps


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that builds."""
    add = parser.add_argument
    add("source", nargs="?", default=".", metavar="SOURCE", help="a project's folder or sdist (default: .)")
    add("--target", action="append", default=[], metavar="ID", help="for this target only; repeatable")
    add("--out", default="dist", metavar="DIR", help="folder for the wheels (default: dist)")
    abi = "for this ABI only, such as cp312, cp314t, abi3; repeatable (default: those that the project supports)"
    add("--abi", action="append", default=[], metavar="ID", help=abi)
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for the build; repeatable")
    brought = "headers and static libraries for a target: DIR/include, DIR/lib; repeatable"
    add("--prefix", action="append", default=[], metavar="TARGET=DIR", help=brought)
    compiler = "print the compiler for building a library, as shell commands, and build nothing"
    add("--show-compiler", metavar="ID", help=compiler)
    ignored = "ignore this option of the project's [tool.cibuildwheel]; repeatable"
    add("--without", action="append", default=[], metavar="OPTION", help=ignored)
    add("--python", default="", metavar="PATH", help="the CPython 3.11 whose headers are used (default: found)")
    add(
        "--allow-missing",
        action="append",
        default=[],
        metavar="MODULE",
        help="a declared extension that wheels may lack",
    )
    add("--no-run", action="store_true", help="don't run the built wheels")
    tests = "import each module and call it (default), or run all tests of this package"
    add("--tests", choices=["smoke", "package"], default="smoke", help=tests)
    engines = (
        "run them on an emulated CPU, under a real CPython, by all, or by any: CPython where it must be; default: "
    )
    engines += "ready, which is any, and CPython where its root is in the cache"
    add("--how", choices=["ready", "any", "emulated", "cpython", "all"], default="ready", help=engines)
    add("--verbose", action="store_true", help="print tables, each target's settings and every command")
    summary.add_json_option(parser)


def build_source(
    command: str,
    options: argparse.Namespace,
    plan: Callable[[Path], list[BuildTask]],
    prepared: Callable[[BuildContext], tuple[Path, ...]] = lambda context: (),
    *,
    force: bool,
) -> int:
    """Build the tasks that ``plan`` returns for the source's tree, run the wheels, and print the results.

    ``prepared`` is called before the first build, and returns the sdist if it has written it. Returns the exit status.
    """
    if options.verbose:
        process.print_commands()
    start, variables, out = time.perf_counter(), parse_variables(options.env), ensure_writable(Path(options.out))
    with create_work_folder() as work, console.Progress(everything=options.verbose) as progress:
        update = partial(progress.update, "source")
        context = prepare_context(
            Path(options.source), work, out, update, variables=variables, python=options.python,
            abis=lambda tree: list_abis(plan(tree)), allowed_missing=options.allow_missing,
        )  # fmt: skip
        progress.finish("source")
        check_tests(options, context.source.name)
        sdists = prepared(context)
        tasks = plan(context.source.tree)
        with _report_progress(context, tasks, progress) as done:
            results = run_tasks(context, tasks, done, force=force)
        if options.verbose:
            _print_commands(context, tasks)
    build = Build(command, options, context.source.name, results, sdists)
    _save_manifest(context, build, tasks)
    if options.verbose and options.json != summary.STDOUT:
        _print_table(context, results, time.perf_counter() - start)
    return _run_build(build, start)


def check_tests(options: argparse.Namespace, name: str) -> None:
    """Raise UsageError, before anything is built, for ``--tests package`` on another project's NAME-VERSION."""
    if options.tests == "package" and not options.no_run:
        from wheelworks.emulator.wheel_tests import DISTRIBUTION  # it takes a second to import

        if name.rpartition("-")[0] != DISTRIBUTION:
            hint = (
                "run a project's own tests on its wheels: nox -s test-foreign -- WHEEL --tests project --source SDIST"
            )
            raise UsageError(f"{name}: --tests package runs the tests of {DISTRIBUTION}", hint)


def _run_build(build: Build, start: float) -> int:
    """Run the wheels of a build that began at ``start``, and print the summary; return the exit status."""
    verdicts: list[Verdict] = []
    status = int(bool(build.failed))
    if build.wheels and not build.options.no_run:
        verdicts, found = run_wheels([wheel.file for wheel in build.wheels], build.options)
        status = max(status, found)
    result = summarize_build(build, verdicts, status, time.perf_counter() - start)
    return summary.finish(result, build.options.json, everything=build.options.verbose)


def show_compiler(name: str) -> int:
    """Print a target's compiler, for a shell to evaluate; return the exit status. Raises UsageError."""
    sys.stdout.write(format_compiler(find_target(name)))
    return 0


def list_abis(tasks: Sequence[BuildTask]) -> list[Abi]:
    """Return the ABIs of tasks, each once."""
    return list(dict.fromkeys(task.abi for task in tasks if task.abi))


def make_wish(options: argparse.Namespace, among: Sequence[Target], *, one_abi: bool) -> Wish:
    """Return what the options ask for: ``among`` these targets if they name none. Raises UsageError for unknown names.

    With ``one_abi``, one of the project's ABIs is built if they name none.
    """
    wanted, prefixes = select_targets(options.target) or among, parse_prefixes(options.prefix)
    check_targets(prefixes, wanted)
    named = {find_abi(name) for name in options.abi if name != PURE}
    return Wish(
        targets=wanted,
        abis=[abi for abi in load_abis() if abi in named],
        named=bool(options.target),
        without=options.without,
        one_abi=one_abi,
        prefixes=prefixes,
        variables=parse_variables(options.env),
    )


@contextmanager
def _report_progress(
    context: BuildContext, tasks: Sequence[BuildTask], progress: console.Progress
) -> Iterator[Callable[[BuildTask], None]]:
    """Show what each task's compiler is doing, until the function that is yielded is called for it."""
    finished, left = threading.Event(), set(tasks)

    def watch() -> None:
        while not finished.wait(0.2):
            for task in [task for task in tasks if task in left]:
                if text := log.describe_progress(_read_events(context, task)):
                    progress.update(str(task), text)

    def done(task: BuildTask) -> None:
        left.discard(task)
        progress.finish(str(task))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield done
    finally:
        finished.set()
        watcher.join()


def _read_events(context: BuildContext, task: BuildTask) -> list[Event]:
    if task.abi is None:
        return []
    logs = (crossenv.log_path(target, task.abi, context.work) for target in task.family)
    return [event for file in logs for event in log.read_log(file)]


def _print_commands(context: BuildContext, tasks: Sequence[BuildTask]) -> None:
    """Print each task's settings and compiler commands, ready to paste."""
    for task in tasks:
        for target in task.targets[:1]:
            console.err.print(f"{task}: compiler target {target.compiler}, sysconfig {target.platform}", markup=False)
        for event in (event for event in _read_events(context, task) if "command" in event):
            console.err.print(f"  {event['command']}", markup=False)
            for word in event.get("dropped", ()):
                console.err.print(f"  left out: {word} ({explain_dropped(word)})", markup=False)
            for file in event.get("translated", ()):
                console.err.print(f"  translated: {file} (its requests for CPU features, for clang)", markup=False)


def _save_manifest(context: BuildContext, build: Build, tasks: Sequence[BuildTask]) -> None:
    """Add wheels and failures to the folder's manifest, and report wheels in the folder that it doesn't list."""
    out, records = context.out, [wheel.record for wheel in build.wheels]
    failures = [_record_failure(failed) for failed in build.failed]
    tried = {(name, _name_abi(task)) for task in tasks for name in _name_targets(task) or [""]}
    with manifest.lock(out):
        old, source, tools = _page.load_previous(out), context.source.record(), context.toolchain()
        merged = manifest.merge(old, source, tools, records, failures, tried)
        merged = manifest.drop_changed(merged, out)
        _page.save_with_page(merged, out)
    if unknown := {path.name for path in out.glob("*.whl")} - {record.file for record in merged.wheels}:
        console.print_note(f"{out}/ also holds {summary.format_count('wheels', len(unknown))} of other builds")


def _record_failure(failed: Failed) -> manifest.FailureRecord:
    """Return a failure without the command line, which names this machine's folders."""
    error = failed.error.message.partition("\nthe command was:")[0]
    task = failed.task
    return manifest.FailureRecord(
        targets=_name_targets(task), abi=_name_abi(task), error=error[:MAX_ERROR], hint=failed.error.hint
    )


def _name_targets(task: BuildTask) -> list[str]:
    return [target.id for target in task.targets]


def _name_abi(task: BuildTask) -> str:
    return task.abi.id if task.abi else PURE.removesuffix("-any")


def _print_table(context: BuildContext, results: Sequence[BuildResult], seconds: float) -> None:
    if built := [result for result in results if isinstance(result, Built)]:
        console.print_table(_make_table(context, built, seconds))


def _make_table(context: BuildContext, built: Sequence[Built], seconds: float) -> Table:
    table = console.create_table("", "wheel", "size", "the binary imports", "seconds")
    for wheel in built:
        imports = "\n".join(dict.fromkeys(map(_describe_imports, wheel.record.extensions)))
        size = f"{wheel.record.size / 1000:.1f} kB"
        table.add_row(console.wrap_wheel_name(wheel.file.name), size, imports, f"{wheel.seconds:.1f}")
    compiling = log.count_busy_seconds(span for wheel in built for span in wheel.compilation.spans)
    versions = ", ".join(headers.release for headers in context.headers.values())
    tools = f"headers of CPython {versions}, zig {context.toolchain().ziglang}"
    times = f"{seconds:.1f} s in all, {compiling:.2f} s of them compiling and linking"
    table.caption = f"{context.source.name}, {tools}\n{times}"
    return table


def _describe_imports(extension: manifest.ExtensionRecord) -> str:
    symbols = [symbol for names in extension.imports.values() for symbol in names]
    names = (name.rsplit("/", 1)[-1] for name in extension.imports if name)
    libraries = dict.fromkeys("UCRT" if name.startswith("api-ms-win-crt-") else name for name in names)
    count = sum(symbol.startswith(("Py", "_Py")) for symbol in symbols)
    return f"{', '.join(libraries) or 'no library'}\n{count} symbols of CPython"


def run_wheels(wheels: Sequence[Path], options: argparse.Namespace) -> tuple[list[Verdict], int]:
    """Run wheels by the tests and engines of the options; return the verdicts and the exit status.

    Wheels that nothing here can run are reported, and don't fail the command; pure wheels have no code to run.
    """
    from wheelworks.cli import _running  # it takes a second to import, for which a wrong option shouldn't wait

    native = [wheel for wheel in wheels if _running.has_machine_code(wheel)]
    chosen = _running.Options(options.how, options.tests, oldest=True)
    _running.check_options(native, chosen)
    hashes = _page.hash_wheels(wheels)
    with console.Progress(everything=options.verbose) as progress:
        verdicts = _running.run_wheels(native, chosen, progress.update)
    verdicts += import_natively(wheels)
    _page.record_runs(hashes, verdicts)
    if options.verbose and options.json != summary.STDOUT:
        _running.show_verdicts(verdicts)
    runnable = [wheel for wheel in native if _running.choose_engines(wheel, chosen)]
    return verdicts, _running.exit_status(runnable, verdicts)


def import_natively(wheels: Sequence[Path]) -> list[Verdict]:
    """Import wheels of one version of CPython under that CPython, where this machine has it."""
    from wheelworks.testing.native_import import import_wheels

    with create_work_folder() as work, console.Progress() as progress:
        return import_wheels(wheels, work, progress.update)
