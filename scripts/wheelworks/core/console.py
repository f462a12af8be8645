"""The terminal: a console for results, one for progress; plain text where the output isn't a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


FIRST_PAUSE = 30.0  # seconds between the first two lines of progress in a log
LONGEST_PAUSE = 300.0
_WIDE = 10_000  # columns: more than any table has


class Progress:
    """The running tasks, a line for each: redrawn on a terminal.

    A log gets the first line, and then one of them now and then: after 30 s, 60 s, 2 minutes, at last every 5 minutes.
    With ``everything`` it gets all. ``clock`` returns seconds.
    """

    def __init__(self, *, everything: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines: dict[str, str] = {}
        self._finished: set[str] = set()
        self._lock = threading.Lock()
        self._everything, self._clock = everything, clock
        self._pause, self._next = FIRST_PAUSE, clock()
        # Not err.is_terminal: FORCE_COLOR makes that true of a log, where colours are wanted, but no moving cursor.
        live = sys.stderr.isatty() and err.is_interactive
        self._live = Live(console=err, transient=True, refresh_per_second=8) if live else None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, name: str, text: str) -> None:
        """Show what a task is doing now."""
        with self._lock:
            if name in self._finished or self._lines.get(name) == text:
                return
            self._lines[name] = text
            if self._live:
                self._live.update(self._draw())
            elif self._is_due():
                done = f" ({len(self._finished)} done)" if len(self._finished) > 1 else ""
                err.print(f"{name}: {text}{done}", markup=False)

    def finish(self, name: str) -> None:
        """Remove a task's line for good."""
        with self._lock:
            self._finished.add(name)
            self._lines.pop(name, None)
            if self._live:
                self._live.update(self._draw())

    def _is_due(self) -> bool:
        """Return whether a log gets a line now."""
        now = self._clock()
        if self._everything or now < self._next:
            return self._everything
        self._next, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return True

    def _draw(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        for name, text in self._lines.items():
            grid.add_row(Spinner("dots"), f"[bold]{escape(name)}[/]", escape(text))
        return grid


def create_table(title: str, *columns: str) -> Table:
    """Return an empty table in the style of all commands. The first column, a name, is never wrapped."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def print_table(table: Table) -> None:
    """Print a table; where it would have to break words, each row as a name with the other cells below it."""
    if out.measure(table, options=out.options.update(width=_WIDE)).minimum <= out.width:
        out.print(table)
        return
    others = table.columns[1:]
    cells = [[str(cell).replace("\n", ", ") for cell in column.cells] for column in others]
    for number, name in enumerate(map(str, table.columns[0].cells)):
        whole = name.replace("\n", "")
        out.print(whole if len(whole) <= out.width else name, soft_wrap=True)
        text = "; ".join(f"{column.header}: {found[number]}" for column, found in zip(others, cells, strict=True))
        out.print(Padding(text, (0, 0, 0, 2)))
    if table.caption:
        out.print(table.caption)


def wrap_wheel_name(file: str) -> str:
    """Wrap a wheel's file name over several lines, broken between its parts, for a narrow terminal."""
    head, python, abi, platforms = file.rsplit("-", 3)
    return f"{head}-\n{python}-{abi}-\n" + platforms.removesuffix(".whl").replace(".", ".\n") + ".whl"


def print_note(message: str) -> None:
    """Print something that isn't a failure, but that the user should know."""
    err.print(f"[bold]note:[/] {escape(message)}")


def print_error(message: str, hint: str = "") -> None:
    """Print a failure: what is wrong, then what to do."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        err.print(f"[bold]hint:[/] {escape(hint)}")
