"""Run one step of a project's test command, or import extension modules that the tests have never loaded.

``python -m wheelworks_workers.project RESULTS``. The folder of RESULTS has ``step.json``, an object with:

- ``kind``: ``pytest`` (run in this process, with a plugin that writes each test's result), ``python``, ``program`` or
  ``shell`` (a child process, whose exit status is the one test), or ``imports`` (each module is a test);
- ``words``, ``folder``, ``variables``: the command, the folder that it starts in, its environment variables;
- ``title``: the name of the one test; ``wheel``: the wheel's file;
- ``only``, ``skip``: names of tests; ``packages``: the wheel's packages whose files are recorded;
- ``moved``: folders of the project that are in the site-packages folder instead: its packages.

The project's files are in the subfolder ``project``. They have none of the wheel's packages, so that only the installed
ones can be imported.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from . import JUnitWriter, extensions, watch

SITE = Path(__file__).resolve().parents[1]
DETAIL = 4000  # bytes


def fill_placeholders(word: str, values: dict[str, str]) -> str:
    """Replace cibuildwheel's ``{project}``, ``{package}`` and ``{wheel}``; ``#{project}`` stays as ``{project}``."""
    for name, value in values.items():
        word = re.sub(rf"(?<!#)\{{{name}\}}", lambda _, value=value: value, word)  # type: ignore[misc]
        word = word.replace(f"#{{{name}}}", f"{{{name}}}")
    return word


def find_moved(word: str, moved: dict[str, str], project: Path, site: Path, folder: Path) -> str:
    """Return a path into a package of the project as that into the installed package, other words as they are."""
    path, colons, rest = word.partition("::")
    try:
        relative = Path(os.path.normpath(folder / path)).relative_to(project).as_posix()
    except ValueError:
        return word
    for source, installed in moved.items():
        if relative == source or relative.startswith(f"{source}/"):
            return f"{site / (installed + relative.removeprefix(source))}{colons}{rest}"
    return word


class Tee:
    """A stream that keeps the last text that was written to another, where pytest says why it can't start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text = stream, ""

    def write(self, text: str) -> int:
        """Write text to the stream, and keep it."""
        self._text = (self._text + text)[-DETAIL:]
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def find_error(self) -> str:
        """Return the line that names an error: of pytest, or of an exception in a file conftest.py."""
        lines = [re.sub(r"^E\s+", "", line).strip() for line in self._text.splitlines() if line.strip()]
        named = [line for line in lines if re.match(r"(ERROR: \S|\w*Error: )", line)]
        wrong = [line for line in lines if "error: " in line]  # argparse's
        return (wrong or named or lines or ["it doesn't say why"])[-1]


class StepRunner:
    """Runs the step of ``step.json`` in the folder of the results."""

    def __init__(self, path: str) -> None:
        self.results = JUnitWriter(path)
        self.path, self.job = path, Path(path).resolve().parent
        self.step: dict[str, Any] = json.loads((self.job / "step.json").read_text(encoding="utf-8"))
        project = str(self.job / "project")
        self.values = {"project": project, "package": project, "wheel": self.step["wheel"]}
        self.folder = self.job / fill_placeholders(self.step["folder"], self.values)

    def run(self) -> int:
        """Run the step. Return the exit status: not 0 only for an error that the results don't explain."""
        for name, value in self.step["variables"].items():
            os.environ[name] = os.path.expandvars(fill_placeholders(value, self.values))
        try:
            os.chdir(self.folder)
        except OSError as error:
            self.results.record_limit(f"the test command can't start in {self.step['folder']}: {error.strerror}")
            return 0
        sys.path[0] = str(self.folder)  # as `python -m pytest` does; it was the folder of the results
        kind = self.step["kind"]
        if kind == "imports":
            return self.run_imports()
        return self.run_pytest() if kind == "pytest" else self.run_program(kind)

    def words(self) -> list[str]:
        """Return the command's words, with placeholders, variables and moved folders replaced."""
        project, moved = self.job / "project", self.step["moved"]
        filled = [os.path.expandvars(fill_placeholders(word, self.values)) for word in self.step["words"]]
        return [find_moved(word, moved, project, SITE, self.folder) for word in filled]

    def run_imports(self) -> int:
        """Import modules. One that needs a package which isn't installed is skipped."""
        for name in self.step["words"]:
            test = f"import {name}"
            if test in self.step["skip"]:
                continue
            self.results.start(test)
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                own = str(error.name).partition(".")[0] in self.step["packages"]
                self.results.finish(test, "failed" if own else "skipped", str(error))
            except BaseException as error:  # a wheel's code may raise anything
                self.results.finish(test, "failed", f"{type(error).__name__}: {error}")
            else:
                self.results.finish(test, "passed")
        return 0

    def run_pytest(self) -> int:
        """Run pytest in this process. An exit status that means wrong use is a limit, not a failure of the wheel."""
        try:
            import pytest

            from .pytest_reporter import EXPLAINED, Reporter
        except ModuleNotFoundError as error:
            self.results.record_limit(f"the tests need {error.name}, which isn't installed")
            return 0
        extensions.record_extensions(self.path)
        options = self.pytest_options()  # before the reporter puts empty modules in place of plugins
        reporter = Reporter(
            self.results, self.step["only"], self.step["skip"], [self.job / "project", self.folder, SITE]
        )
        with contextlib.redirect_stderr(Tee(sys.stderr)) as errors:
            try:
                code = pytest.main([*self.words(), *options], [reporter])
            except Exception as error:  # of pytest or a plugin, before any test
                self.results.record_limit(f"pytest can't start: {type(error).__name__}: {error}")
                return 0
        extensions.record_packages(self.path, self.step["packages"])
        if code == pytest.ExitCode.USAGE_ERROR:
            self.results.record_limit(f"pytest can't start: {errors.find_error()}")
            return 0
        # Tests that can't be collected interrupt a run: they are in the results.
        return 0 if code in (*EXPLAINED, pytest.ExitCode.INTERRUPTED) else int(code)

    def pytest_options(self) -> list[str]:
        """Return the options that win over the project's: no cache, no parallel runs, all tests even if some fail.

        Only Python's own streams are captured, so that the last words of C code get into the log.
        """
        options = ["-p", "no:cacheprovider", f"--basetemp={self.job / 'tmp'}", "--capture=sys"]
        if find_spec("xdist"):
            options.append("-n0")
        return [*options, "--maxfail=0", "--continue-on-collection-errors"]

    def run_program(self, kind: str) -> int:
        """Run a child process; its exit status is the one test."""
        command, title = self.find_program(kind, self.words()), self.step["title"]
        if not command:
            return 0
        self.results.collect([title])
        self.results.start(title)
        variables = {**os.environ, **extensions.make_variables(self.path, self.step["packages"])}
        log = self.job / "program.log"
        with log.open("wb") as file:
            status = subprocess.run(
                command, env=variables, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        output = log.read_bytes()[-DETAIL:].decode(errors="replace")
        sys.stdout.write(output)
        detail = f"it {'died of signal' if status < 0 else 'ended with exit status'} {abs(status)}\n{output}"
        self.results.finish(title, "failed" if status else "passed", detail if status else "")
        return 0

    def find_program(self, kind: str, words: list[str]) -> list[str]:
        """Return the command line of a child process; an empty one, and a limit, where it can't be started here."""
        if kind == "python":
            return [sys.executable, *words]
        if kind == "shell":
            words = ["sh", "-c", *words]
        if shutil.which(words[0]):
            return words
        for script in entry_points(group="console_scripts", name=words[0]):  # wheels are unpacked without scripts
            code = f"import sys; from {script.module} import {script.attr} as main; sys.argv[0] = {script.name!r}"
            return [sys.executable, "-c", f"{code}; sys.exit(main())", *words[1:]]
        self.results.record_limit(
            f"the test command needs the program {words[0]}, which isn't here: {self.step['title']}"
        )
        return []


def main() -> None:
    """Run the step of the folder that the argument is in."""
    watch()
    runner = StepRunner(sys.argv[1])
    status = runner.run()
    runner.results.close([])
    sys.exit(status)


if __name__ == "__main__":
    main()
