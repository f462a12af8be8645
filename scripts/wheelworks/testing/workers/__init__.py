"""Programs that run test suites, and the JUnit XML files that they write.

They run in an environment or a root file system of their own: they import nothing but the standard library and the
packages that tests need, and run on every CPython from 3.11 on.

A file is a plain JUnit report, written element by element: a ``<testcase>`` for each test that has ended, and a
``<property>`` for what JUnit has no element for: ``collected`` and ``running`` (the name of a test; one that is running
without a later ``<testcase>`` has crashed), ``hook:NAME`` (the status of a hook of ``install()``), ``module:NAME`` (the
file of a loaded module), and ``limit`` (why something couldn't run here, which isn't the fault of the wheel).
"""

from __future__ import annotations

import faulthandler
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

DETAIL = 4000  # characters
_INVALID = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def watch() -> None:
    """Let a crash, and the end of the time limit, write where each thread is (`faulthandler`).

    The limit is given as ``-X wheelworks_limit=SECONDS``: unlike a variable, child processes don't inherit it.
    """
    faulthandler.enable()
    if limit := sys._xoptions.get("wheelworks_limit"):
        faulthandler.dump_traceback_later(float(limit))


class JUnitWriter:
    """Write a JUnit XML file. Each element is written at once, so that a crash loses none."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._began = 0.0
        self._write('<?xml version="1.0" encoding="utf-8"?>\n<testsuite name="wheelworks">')

    def collect(self, tests: Iterable[str]) -> None:
        """Name every test, those of other workers included."""
        self._write_properties(("collected", test) for test in tests)

    def start(self, test: str) -> None:
        """Record that a test begins."""
        self._began = time.monotonic()
        self._write_properties([("running", test)])

    def finish(self, test: str, outcome: str, detail: str = "") -> None:
        """Record that a test has ended: ``passed``, ``failed`` or ``skipped``."""
        seconds = f"{time.monotonic() - self._began:.3f}"
        case = Element("testcase", classname="wheelworks", name=_replace_invalid(test), time=seconds)
        if outcome != "passed":
            tag = "failure" if outcome == "failed" else "skipped"
            SubElement(case, tag).text = _replace_invalid(detail[-DETAIL:])
        self._write(tostring(case, "unicode"))

    def record_hooks(self, status: dict[str, str]) -> None:
        """Record the status of each hook, after ``install()``."""
        self._write_properties((f"hook:{name}", text) for name, text in status.items())

    def record_limit(self, reason: str) -> None:
        """Record why something couldn't run here."""
        self._write_properties([("limit", reason)])

    def close(self, modules: Iterable[str]) -> None:
        """Record the files of those modules that are loaded, and end the file."""
        loaded = {name: sys.modules[name] for name in modules if name in sys.modules}
        self._write_properties((f"module:{name}", str(module.__file__)) for name, module in loaded.items())
        self._write("</testsuite>")

    def _write_properties(self, pairs: Iterable[tuple[str, str]]) -> None:
        append_properties(str(self._path), pairs)

    def _write(self, text: str) -> None:
        _append(str(self._path), text)


def append_properties(path: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Add properties to a file, which may be that of another process."""
    parent = Element("properties")
    for name, value in pairs:
        SubElement(parent, "property", name=_replace_invalid(name), value=_replace_invalid(value))
    _append(path, tostring(parent, "unicode"))


def _append(path: str, text: str) -> None:
    with open(path, "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def _replace_invalid(text: str) -> str:
    """Replace the characters that XML can't have, as pytest does."""
    return _INVALID.sub(lambda match: f"#x{ord(match[0]):02X}", text)
