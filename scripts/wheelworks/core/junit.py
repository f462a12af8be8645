"""JUnit XML, the one format of test results: of pytest, of Tornado's runner and of the workers.

Workers write it element by element (`wheelworks.testing.workers`), pytest at its end. Reading streams, because the code
under test can write anything into these files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

RESULTS_LIMIT = 16 << 20  # bytes: the wheel under test can write anything
# A worker in a root could leave a link to a file of the host, or a pipe. Windows has neither flag, and no such worker.
_PLAIN_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}  # by JUnit's elements


@dataclass
class Results:
    """The results in one or more files.

    ``finished`` has the outcome and detail of each test that ended, ``seconds`` how long it took. ``running`` are the
    tests that began and didn't end, ``modules`` the files of loaded modules, ``hooks`` the status of each hook of
    ``install()``. ``deaths`` tells how workers ended that did not exit with status 0, and ``limits`` what couldn't run
    here and why.
    """

    collected: list[str] = field(default_factory=list)
    finished: dict[str, tuple[str, str]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    modules: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def with_outcome(self, outcome: str) -> list[str]:
        """Return the tests with an outcome, in the order in which they ended."""
        return [test for test, (known, _) in self.finished.items() if known == outcome]

    def outcome_of(self, test: str) -> str:
        """Return a test's outcome; "missing" if it never ended."""
        return self.finished.get(test, ("missing", ""))[0]

    def describe_progress(self) -> str:
        """Return how many tests have ended: "1 of 2 tests, 1 failed"."""
        failed = len(self.with_outcome("failed"))
        return f"{len(self.finished)} of {len(self.collected)} tests" + (f", {failed} failed" if failed else "")


class _JUnitTarget:
    """Take the elements of a JUnit XML file from the parser: as a tree, a hostile file needs 50 times its size."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._test, self._outcome, self._seconds = "", "passed", ""
        self._detail: list[str] = []
        self._inside = False  # an element with a detail

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            self._test, self._outcome, self._detail = _name_test(attributes), "passed", []
            self._seconds = attributes.get("time", "")
        elif tag in _OUTCOMES:
            self._outcome, self._inside = _OUTCOMES[tag], "message" not in attributes
            self._detail = [attributes.get("message", "")]
        elif tag == "property":
            self._add_property(attributes.get("name", ""), attributes.get("value", ""))

    def data(self, text: str) -> None:
        if self._inside:
            self._detail.append(text)

    def end(self, tag: str) -> None:
        self._inside = False
        if tag == "testcase":
            self._results.running.discard(self._test)
            self._results.finished[self._test] = (self._outcome, "".join(self._detail))
            with suppress(ValueError):  # untrusted code may have written the file
                self._results.seconds[self._test] = float(self._seconds or 0)

    def _add_property(self, name: str, value: str) -> None:
        kind, _, key = name.partition(":")
        if kind == "collected":
            self._results.collected.append(value)
        elif kind == "running":
            self._results.running.add(value)
        elif kind == "limit":
            self._results.limits.append(value)
        elif kind in ("hook", "module"):
            (self._results.hooks if kind == "hook" else self._results.modules)[key] = value


def _name_test(attributes: dict[str, str]) -> str:
    """Return a test's name. Workers write whole names; pytest's are unique only with the name of their class."""
    kind, name = attributes.get("classname", ""), attributes.get("name", "")
    return name if kind in ("", "wheelworks") else f"{kind}::{name}"


def read_results(files: Iterable[Path]) -> Results:
    """Return what was written so far. A damaged file counts up to its damage.

    A test's detail is the message of its failure, or else the text.
    """
    results = Results()
    for file in files:
        text = _read_plain_file(file).decode(errors="replace")
        if "<!" in text:  # a document type: entities can grow without limit (and comments, which no worker writes)
            continue
        with suppress(ElementTree.ParseError):  # never closed, since the file of a worker that crashed has no end
            ElementTree.XMLParser(target=_JUnitTarget(results)).feed(text)
    results.collected = list(dict.fromkeys(results.collected))
    return results


def _read_plain_file(path: Path) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | _PLAIN_FILE)
    except OSError:
        return b""
    with os.fdopen(file, "rb") as stream:
        return stream.read(RESULTS_LIMIT) if stat.S_ISREG(os.fstat(file).st_mode) else b""
