"""The terminal: one console for results, one for progress; plain text where nobody is watching."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Progress:
    """What is being done, one line for each name: redrawn on a terminal, written once each into a log."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._done: set[str] = set()
        self._lock = threading.Lock()
        # Not err.is_terminal: FORCE_COLOR makes that true of a log, where colours are wanted, but no moving cursor.
        watched = sys.stderr.isatty() and err.is_interactive
        self._live = Live(console=err, transient=True, refresh_per_second=8) if watched else None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, name: str, text: str) -> None:
        """``name`` is doing ``text`` now."""
        with self._lock:
            if name in self._done or self._lines.get(name) == text:
                return
            self._lines[name] = text
            if self._live:
                self._live.update(self._drawn())
            else:
                err.print(f"{name}: {text}", markup=False)

    def done(self, name: str) -> None:
        """``name`` has nothing more to do."""
        with self._lock:
            self._done.add(name)
            self._lines.pop(name, None)
            if self._live:
                self._live.update(self._drawn())

    def _drawn(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        for name, text in self._lines.items():
            grid.add_row(Spinner("dots"), f"[bold]{escape(name)}[/]", escape(text))
        return grid


def table(title: str, *columns: str) -> Table:
    """An empty table in the one style that we have."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def folded(file: str) -> str:
    """A wheel's name over several lines, broken where its parts end, for a narrow terminal."""
    head, python, abi, platforms = file.rsplit("-", 3)
    return f"{head}-\n{python}-{abi}-\n" + platforms.removesuffix(".whl").replace(".", ".\n") + ".whl"


def note(message: str) -> None:
    """Tell of something that is no failure, but should be known."""
    err.print(f"[bold]note:[/] {escape(message)}")


def error(message: str, hint: str = "") -> None:
    """Tell of a failure: what is wrong, then what to do."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        err.print(f"[bold]try:[/] {escape(hint)}")
