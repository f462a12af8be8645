"""The screen that ends a command: failures first, then platforms by ABI, the counts, the time, and the page's path.

The text fits 80 columns and, for a release, 24 lines. No word is broken: lines are wrapped between words, and a command
to copy is on a line of its own.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from rich.markup import escape

from wheelworks.core import console
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import write_file
from wheelworks.core.tags import parse_platform, rank_abi
from wheelworks.core.text import escape_invisible
from wheelworks.core.wheel import parse_wheel_name

STDOUT = "-"
_JSON_HELP = "write the result to this file; without a file, print it in place of the summary"
PURE, SDIST = "pure wheel", "sdist"
WHOLE = 50  # lines of failures that are shown with all of their text
BRIEF = 10  # further failures that are shown in a line each
SEVERAL = 3  # files whose number is shown in place of their names
LABEL = 30  # characters of a platform, an ABI, and a title
GAP = 2  # columns between two cells

File = str | tuple[str, str]  # a file's name, or the row and column of one that has none
Outcome = Literal["ok", "warning", "unsupported", "failed", "none"]
_STYLES: Mapping[Outcome, str] = {"ok": "green", "warning": "yellow", "unsupported": "yellow", "failed": "bold red"}
_WORST: Sequence[Outcome] = ("failed", "warning", "unsupported", "ok", "none")


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A failure."""

    what: Annotated[str, Meta(description="The wheel, run or difference; empty where `cause` names it.")]
    cause: Annotated[str, Meta(description="What was seen.")]
    command: Annotated[str, Meta(description="The command that repeats this alone; empty if there is none.")]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`--json FILE.json` writes the result of a command; `--json` alone prints it in place of the summary."""

    schema: Annotated[Literal[1], Meta(description="The version of this format.")]
    command: Annotated[str, Meta(description="The command, such as `build-wheels`.")]
    status: Annotated[int, Meta(description="The exit status: 0 or 1.")]
    seconds: Annotated[float, Meta(description="How long it took.")]
    counts: Annotated[dict[str, int], Meta(description="The counts of the summary's last line.")]
    failures: Annotated[list[FailureRecord], Meta(description="What failed; none if the status is 0.")]
    wheels: Annotated[
        list[dict[str, Any]],
        Meta(description="For each file, `file` and the manifest's part on what the command did with it."),
    ]
    page: Annotated[str, Meta(description="The page that shows it, too; empty where there is none.")]
    details: Annotated[Any, Meta(description="What else the command found, in its own form.")]


def generate_schema() -> dict[str, Any]:
    """Return the format of ``--json`` as JSON Schema."""
    return msgspec.json.schema(Result)


@dataclass(frozen=True)
class Cell:
    """What became of one file: a few words, such as "ok 60 kB"."""

    text: str
    outcome: Outcome = "ok"


@dataclass(frozen=True)
class Failure:
    """What failed, why, what to do, and the command that repeats it alone ("" if there is none)."""

    what: str
    cause: str
    hint: str = ""
    command: str = ""

    @property
    def message(self) -> str:
        """What failed and why; a cause that names what failed does so once."""
        return self.cause if not self.what or self.cause.startswith(self.what) else f"{self.what}: {self.cause}"


@dataclass(frozen=True)
class Summary:
    """The result of a command.

    ``cells`` are its files by name, in no order. ``notes`` are reasons, each with the files that they concern.
    ``counts`` are in the order in which they are shown, those of 0 only with ``zeros``. ``head`` are lines above the
    table, with rich's markup, and ``lines`` those below it. ``wheels`` and ``details`` are for programs.
    """

    command: str
    status: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    title: str = ""
    cells: Mapping[File, Cell] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    head: Sequence[str] = ()
    lines: Sequence[str] = ()
    zeros: bool = False
    page: Path | None = None
    wheels: Sequence[Mapping[str, Any]] = ()
    details: Any = None

    def record(self) -> dict[str, Any]:
        """Return the result for programs."""
        failures = [FailureRecord(what=one.what, cause=one.cause, command=one.command) for one in self.failures]
        result = Result(
            schema=1,
            command=self.command,
            status=self.status,
            seconds=round(self.seconds, 3),
            counts=dict(self.counts),
            failures=failures,
            wheels=[dict(one) for one in self.wheels],
            page=str(self.page or ""),
            details=self.details,
        )
        found: dict[str, Any] = msgspec.to_builtins(result)
        return found


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--json``; without a value, the result is printed in place of the summary."""
    parser.add_argument("--json", nargs="?", type=check_json, const=STDOUT, metavar="FILE.json", help=_JSON_HELP)


def check_json(target: str) -> str:
    """Return a value of ``--json``. Raises UsageError if it is neither ``-`` nor a file's name ending in ``.json``.

    A wheel's name is such a value if ``--json`` without a file precedes it.
    """
    if target == STDOUT:
        return target
    if not target.endswith(".json"):
        raise UsageError(f"--json {target}: the file's name must end in .json", "without a name, --json comes last")
    if not Path(target).parent.is_dir():
        raise UsageError(f"--json {target}: no folder {Path(target).parent}", "create it first")
    return target


def finish(
    summary: Summary, target: str | None = None, *, everything: bool = False, record: Mapping[str, Any] | None = None
) -> int:
    """Print a summary and write it for programs to ``target``: ``-`` is standard output, without the summary.

    ``everything`` shows failures and reasons in full. ``record`` is written in place of the summary's own. Returns the
    exit status.
    """
    if target:
        write_json(format_json(record or summary.record()), target)
    if target == STDOUT:
        return summary.status
    _print_failures(summary.failures, sys.maxsize if everything else WHOLE)
    for line in render(summary, console.out.width, everything=everything):
        console.out.print(line, soft_wrap=True)
    return summary.status


def write_json(text: str, target: str) -> None:
    """Write JSON text where a value of ``--json`` says: to standard output, or to a file."""
    if target == STDOUT:
        console.out.file.write(text)
    else:
        write_file(Path(target), text.encode())


def format_json(record: Any) -> str:
    """Return JSON text of a fixed order, with a line for each value."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=2).decode() + "\n"


def _print_failures(failures: Sequence[Failure], lines: int) -> None:
    """Print failures: whole until there are as many lines, some more in a line each, and the number of the others."""
    brief = 0
    for failure in failures:
        if lines > 0:
            text = failure.message.splitlines()
            if console.err.is_terminal:  # which would break lines inside words
                text = [part for line in text for part in wrap(line, console.err.width - GAP) or [""]]
            cut = [f"... {len(text) - lines} more lines: --verbose shows them"] if len(text) > lines else []
            console.print_error("\n".join([*text[:lines], *cut]), failure.hint)
            if failure.command:
                console.err.print(f"[bold]again:[/] {escape(failure.command)}")
            lines -= len(text) + 2
        elif (brief := brief + 1) <= BRIEF:
            console.print_error(textwrap.shorten(failure.message, 160, placeholder=" ..."))
    if brief > BRIEF:
        console.err.print(f"and {brief - BRIEF} more failures: --verbose shows all of them", markup=False)


def render(summary: Summary, width: int, *, everything: bool = False) -> list[str]:
    """Return the lines below the failures, with rich's markup."""
    found = [*summary.head, *render_cells(summary.cells, width, summary.title)]
    found += [escape(line) for text in summary.lines for line in wrap(text, width)]
    for reason, names in summary.notes.items():
        found += [escape(line) for line in _wrap_note(reason, names, width, everything=everything)]
    return [*found, *render_verdict(summary, width), *([f"page: {escape(str(summary.page))}"] if summary.page else [])]


def _wrap_note(reason: str, names: Sequence[str], width: int, *, everything: bool) -> list[str]:
    where = ", ".join(dict.fromkeys(map(name_cell, names)))
    if len(names) >= SEVERAL and not everything:
        where = f"{len(names)} files"
    text = f"{where}: {reason}" if names else reason
    return wrap(text if everything else textwrap.shorten(text, 2 * width - GAP, placeholder=" ..."), width)


def render_verdict(summary: Summary, width: int) -> list[str]:
    """Return the verdict, the counts that aren't 0, and the time: one line, or two."""
    word, colour = ("FAILED", "red") if summary.status else ("passed", "green")
    counts = ", ".join(format_count(word, number) for word, number in summary.counts.items() if number or summary.zeros)
    lines = wrap(f"{word}: {counts or 'nothing to do'}; {summary.seconds:.1f} s", width)
    return [f"[bold {colour}]{word}[/]{escape(lines[0].removeprefix(word))}", *map(escape, lines[1:])]


def format_count(name: str, number: int) -> str:
    """Return a number and what is counted: "1 wheel" for ``wheels``, "3 not run" for ``not_run``."""
    return f"{number:,} {(name.removesuffix('s') if number == 1 else name).replace('_', ' ')}"


def wrap(text: str, width: int) -> list[str]:
    """Wrap a text between its words; a word that is wider than a line has one for itself."""
    return textwrap.wrap(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def render_cells(cells: Mapping[File, Cell], width: int, title: str = "") -> list[str]:
    """Return a table of files: platforms down, ABIs across; then a line each for the pure wheels and the sdist.

    Columns that don't fit are in a second table below.
    """
    grid: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    alone: dict[str, list[Cell]] = defaultdict(list)
    for file, cell in cells.items():
        platform, abi = locate(file) if isinstance(file, str) else file
        (grid[platform][abi] if abi else alone[platform]).append(cell)
    title = _cut(title)
    columns = sorted({abi for row in grid.values() for abi in row}, key=rank_abi)
    joined = {platform: {abi: _join(found) for abi, found in row.items()} for platform, row in grid.items()}
    label = GAP + max(map(len, [*joined, *alone, title]), default=0)
    rows = [
        line
        for block in _split_columns(columns, joined, width - label)
        for line in _render(joined, block, label, title)
    ]
    return rows + [f"{name:{label}}{_style(_join(alone[name]))}" for name in sorted(alone)]


def _render(
    grid: Mapping[str, Mapping[str, Cell]], columns: Mapping[str, int], label: int, title: str
) -> Iterator[str]:
    heads = "".join(f"{name:{size}}" for name, size in columns.items())
    yield f"[bold]{escape(f'{title:{label}}{heads}'.rstrip())}[/]"
    for platform in sorted(grid):
        cells = [_style(grid[platform].get(name, Cell("-", "none")), size) for name, size in columns.items()]
        yield f"{escape(f'{platform:{label}}')}{''.join(cells)}".rstrip()


def _split_columns(
    columns: Sequence[str], grid: Mapping[str, Mapping[str, Cell]], width: int
) -> Iterator[Mapping[str, int]]:
    """Yield the columns and their widths for each table."""
    block: dict[str, int] = {}
    for name in columns:
        texts = [row[name].text for row in grid.values() if name in row]
        size = GAP + max(map(len, [name, *texts]))
        if block and sum(block.values()) + size - GAP > width:
            yield block
            block = {}
        block[name] = size
    if block:
        yield block


def _style(cell: Cell, width: int = 0) -> str:
    """Return a cell's text in its colour, filled up with spaces."""
    style, spaces = _STYLES.get(cell.outcome, ""), " " * (width - len(cell.text))
    return (f"[{style}]{escape(cell.text)}[/]" if style else escape(cell.text)) + spaces


def _join(cells: Sequence[Cell]) -> Cell:
    """Return one cell for several files of the same platform and ABI: the worst, or their number."""
    worst = min(cells, key=lambda one: _WORST.index(one.outcome))
    return worst if len(cells) == 1 or worst.outcome != "ok" else Cell(f"{len(cells)} ok", "ok")


def locate(file: str) -> tuple[str, str]:
    """Return the row and column of a file; the column is "" for sdists, pure wheels and what isn't a wheel."""
    if file.endswith(".tar.gz"):
        return SDIST, ""
    try:
        name = parse_wheel_name(file)
    except WheelworksError:
        return _cut(file), ""
    if name.platforms == {"any"} and name.abi.endswith("-none"):
        return PURE, ""
    return _cut(name_platform(name.platforms)), _cut(name_abi(name.abi))


def name_cell(file: str) -> str:
    """Return a short name of a file: its platform and ABI, such as "linux aarch64 cp311-abi3"."""
    return " ".join(filter(None, locate(file)))


def name_platform(tags: Iterable[str]) -> str:
    """Return a short name for platform tags; the libc is part of it unless the wheel serves both."""
    known = {tag: parse_platform(tag) for tag in tags}
    found = [platform for platform in known.values() if platform]
    if not found:
        return ", ".join(sorted(known))
    libcs = {platform.libc for platform in found if platform.libc}
    cpus = sorted({cpu for platform in found for cpu in platform.cpus})
    systems = sorted({platform.os for platform in found})
    return " ".join(["/".join(systems), *(libcs if len(libcs) == 1 else ()), "+".join(cpus)])


def name_abi(abi: str) -> str:
    """Return a short name for Python and ABI tags: "cp312" for cp312-cp312, "cp314t" for cp314-cp314t."""
    python, _, rest = abi.partition("-")
    return rest if rest.startswith(python) else abi


def _cut(text: str) -> str:
    shown = escape_invisible(text)
    return shown if len(shown) <= LABEL else f"{shown[: LABEL - 3]}..."
