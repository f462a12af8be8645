"""A project's own tests, run by real workers under this Python: the results, crashes, and proofs that C code ran."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelworks.core.junit import Results
from wheelworks.core.verdict import Verdict
from wheelworks.testing.commands import split_command
from wheelworks.testing.project import ProjectTests
from wheelworks.testing.project_results import Judge
from wheelworks.testing.project_source import ProjectFiles, split_project
from wheelworks.testing.project_suite import ProjectRunner, ProjectSuite, take_crash
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE, SuiteResults, Task, Worker

PROJECT = Path(__file__).parents[2] / "projects" / "tallies"
MODULE = "tallies._speedups"
WHEEL = Path("tallies-1.0-cp311-abi3-linux_x86_64.whl")
LIMIT = 120.0  # seconds
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.name == "nt", reason="its extension is compiled for POSIX"),
]

Run = Callable[..., Verdict]


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's extension, compiled for this Python."""
    file = tmp_path_factory.mktemp("extension") / "_speedups.abi3.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-fno-sanitize=undefined"]
    command += [f"-I{sysconfig.get_path('include')}", "-DPy_LIMITED_API=0x030b0000", "-Wl,--allow-shlib-undefined"]
    subprocess.run([*command, PROJECT / "tallies/_speedups.c", "-o", file], check=True, timeout=300)
    return file


@pytest.fixture
def site(tmp_path: Path, extension: Path) -> Path:
    """A site-packages folder with the project's wheel and the workers."""
    folder = tmp_path / "site"
    shutil.copytree(WORKERS, folder / WORKERS_PACKAGE)
    (folder / "tallies").mkdir()
    shutil.copy(PROJECT / "tallies/__init__.py", folder / "tallies")
    shutil.copy(extension, folder / "tallies")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the project, to which a test adds files."""
    return Path(shutil.copytree(PROJECT, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def run(tmp_path: Path, site: Path, source: Path) -> Run:
    """A function that runs a test command and judges the results."""

    def run_command(
        command: str = "pytest {project}/tests",
        *,
        files: ProjectFiles | None = None,
        expected: dict[str, str] | None = None,
        limit: float = LIMIT,
        **options: object,
    ) -> Verdict:
        def prepare(task: Task) -> Worker:
            folder = tmp_path / task.name
            folder.mkdir()
            results = folder / "results.xml"
            words: list[str | Path] = [sys.executable, "-m", f"{WORKERS_PACKAGE}.{task.program}", results]
            environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
            return Worker(words, environment, folder, results, tmp_path / f"{task.name}.log")

        settings = {"environment": {"TALLIES_LIMIT": "64"}, **options}
        tests = dataclasses.replace(ProjectTests(tuple(split_command(command)), "the command"), **settings)  # type: ignore[arg-type]
        split = files or split_project(source, ["tallies/__init__.py", "tallies/_speedups.abi3.so"])
        split.copy_added(site)
        suite = ProjectSuite(tests, split, WHEEL, (MODULE,))
        runner = ProjectRunner(suite, prepare, limit, lambda text: None)
        judge = Judge((MODULE,), ("tallies",), (str(site),), expected or {})
        return judge.decide(Verdict(WHEEL.name, "here", "unsupported"), runner.run(), tests.origin)

    return run_command


def test_all_tests_pass(run: Run) -> None:
    verdict = run()
    assert (verdict.outcome, verdict.checks) == ("passed", 6), verdict
    assert verdict.why == "the command: 6 of 8 tests passed; skipped: 2"


def test_the_tests_run_from_a_folder_with_their_sources_only(run: Run, source: Path) -> None:
    (source / "tests/test_here.py").write_text("import os\ndef test_here(): assert os.listdir() == ['tests']\n")
    assert run("pytest tests", sources=("tests",)).checks == 7


def test_a_fallback_to_python_is_a_failure(run: Run, site: Path) -> None:
    (site / "tallies/_speedups.abi3.so").write_bytes(b"no library")
    verdict = run()
    assert verdict.outcome == "failed"
    assert f"the extension was never loaded, so that the tests ran without it: {MODULE}" in verdict.findings
    assert any(finding.startswith(f"import {MODULE} failed:\nImportError") for finding in verdict.findings)


def test_a_source_that_shadows_the_wheel_is_a_failure(run: Run, source: Path) -> None:
    kept = tuple(path.relative_to(source).as_posix() for path in source.rglob("*.py"))
    verdict = run("cd {project} && pytest tests", files=ProjectFiles(source, kept))
    assert verdict.outcome == "failed"
    assert any("not from the wheel: the source shadows it" in finding for finding in verdict.findings)
    assert any("never loaded" in finding for finding in verdict.findings)


def test_a_crash_loses_no_other_result(run: Run, source: Path) -> None:
    crash = "import tallies\ndef test_crash(): tallies.count_bits(b'crash')\ndef test_after(): pass\n"
    (source / "tests/test_a.py").write_text(crash)
    verdict = run()
    assert (verdict.outcome, verdict.checks) == ("failed", 7)
    [finding] = verdict.findings
    assert finding.startswith("tests/test_a.py::test_crash failed:\nthe worker died of SIGSEGV")
    assert "Fatal Python error: Segmentation fault" in finding and "test_a.py" in finding.partition("Fatal")[2]


@pytest.mark.parametrize("words", ["no such call", ""])
def test_a_limit_of_this_machine_is_no_crash(run: Run, source: Path, words: str) -> None:
    line = f"wheelworks: unsupported: {words}\n" if words else ""
    text = f"import os\ndef test_limit():\n    os.write(2, {line.encode()!r})\n    os._exit(99)\n"
    (source / "tests/test_a.py").write_text(text)
    verdict = run()
    assert (verdict.outcome, verdict.checks) == ("unsupported", 6), verdict
    assert (words or "without a reason") in verdict.why and "tests/test_a.py::test_limit" in verdict.why


def test_a_library_that_the_root_lacks_is_no_failure_of_the_wheel(run: Run, source: Path) -> None:
    error = "libx.so.6: cannot open shared object file: No such file or directory"
    (source / "tests/test_a.py").write_text(f"raise ImportError({error!r})\n")
    verdict = run()
    assert verdict.outcome == "unsupported" and "libx.so.6" in verdict.why


def test_a_failure_can_be_expected(run: Run, source: Path) -> None:
    (source / "tests/test_a.py").write_text("def test_wrong(): assert False\n")
    verdict = run()
    assert verdict.outcome == "failed" and verdict.findings[0].startswith("tests/test_a.py::test_wrong failed:\n")


def test_an_expected_failure(run: Run, source: Path) -> None:
    (source / "tests/test_a.py").write_text("def test_wrong(): assert False\n")
    verdict = run(expected={"tests/test_a.py::test_wrong": "no such thing here"})
    assert verdict.outcome == "passed" and "expected failures: 1: no such thing here (1)" in verdict.why


def test_a_test_that_fails_once_runs_again(run: Run, source: Path, tmp_path: Path) -> None:
    text = f"import pathlib\nplace = pathlib.Path({str(tmp_path / 'ran')!r})\n"
    text += "def test_once():\n    first = not place.exists()\n    place.touch()\n    assert not first\n"
    (source / "tests/test_a.py").write_text(text)
    verdict = run()
    assert verdict.outcome == "passed" and "second try, alone: tests/test_a.py::test_once" in verdict.why


def test_a_missing_requirement_is_no_failure_of_the_wheel(run: Run, source: Path) -> None:
    (source / "tests/test_a.py").write_text("import missing_here\n")
    verdict = run()
    assert verdict.outcome == "unsupported"
    assert verdict.why.startswith("the tests need missing_here, which isn't installed: --test-requires")


def test_a_missing_requirement_of_conftest(run: Run, source: Path) -> None:
    (source / "tests/conftest.py").write_text("import missing_here\n")
    verdict = run()
    assert verdict.outcome == "unsupported" and "missing_here" in verdict.why


def test_a_missing_plugin_is_no_failure_of_the_wheel(run: Run) -> None:
    verdict = run("pytest --no-such-option {project}/tests")
    assert verdict.outcome == "unsupported" and "unrecognized arguments: --no-such-option" in verdict.why


def test_a_path_that_is_not_there_is_no_failure_of_the_wheel(run: Run) -> None:
    verdict = run("pytest none")
    assert verdict.outcome == "unsupported" and "ERROR: file or directory not found: none" in verdict.why


def test_a_missing_module_of_the_wheel_is_a_failure(run: Run, source: Path) -> None:
    (source / "tests/test_a.py").write_text("import tallies.missing\n")
    assert run().outcome == "failed"


def test_no_tests_prove_nothing(run: Run) -> None:
    verdict = run("pytest {project}/tests -k nothing")
    assert verdict.outcome == "unsupported" and "has run no test" in verdict.why


@pytest.mark.parametrize(
    "command",
    [
        "python -m unittest discover -s {project}/tests -p 'unit_*.py'",
        "python -c 'import tallies; assert tallies.is_fast()'",
        "python -c 'import tallies, os; os._exit(0)'",
        f"{sys.executable} -c 'import tallies' | cat",
    ],
)
def test_another_command_is_one_test(run: Run, command: str) -> None:
    verdict = run(command)
    assert (verdict.outcome, verdict.checks) == ("passed", 1), verdict


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python -c 'import tallies; tallies.missing'", "it ended with exit status 1"),
        ("python -c 'import tallies; tallies.count_bits(b\"crash\")'", "it died of signal 11"),
        ("python -c 'print(1)'", "the extension was never loaded"),
    ],
)
def test_another_command_fails(run: Run, command: str, words: str) -> None:
    verdict = run(command)
    assert verdict.outcome == "failed" and any(words in finding for finding in verdict.findings), verdict


def test_a_program_that_is_not_here_is_no_failure_of_the_wheel(run: Run) -> None:
    verdict = run("no-such-program --all")
    assert verdict.outcome == "unsupported" and "needs the program no-such-program" in verdict.why


def test_several_steps(run: Run) -> None:
    verdict = run("pytest {project}/tests -k sizes && python -c 'import tallies' && pytest {project}/tests -k counts")
    assert (verdict.outcome, verdict.checks) == ("passed", 5), verdict


def test_tests_inside_of_the_package_run_in_the_installed_one(run: Run, source: Path) -> None:
    (source / "tallies/tests").mkdir()
    (source / "tallies/tests/__init__.py").touch()
    text = "from .. import is_fast\ndef test_inside(): assert is_fast()\n"
    (source / "tallies/tests/test_inside.py").write_text(text)
    for command in ("pytest {project}/tallies/tests", "cd {project} && pytest tallies/tests"):
        assert run(command).outcome == "passed"
        for folder in source.parent.glob("step*"):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()


def test_a_hang_is_a_finding(run: Run, source: Path) -> None:
    (source / "tests/test_a.py").write_text("import time\ndef test_hang(): time.sleep(600)\n")
    verdict = run(limit=10.0)
    assert verdict.outcome == "failed"
    assert "tests/test_a.py::test_hang failed:\nthe worker did not end within 10 s" in verdict.findings[0]


def test_a_run_out_of_time_is_no_evidence() -> None:
    """Neither the test that was running has failed, nor those that never ran."""
    found = Results(["a", "b", "c"], {"a": ("passed", "")}, running={"b"}, limits=["the time limit is over"])
    assert take_crash(found) == [] and found.limits == ["the time limit is over"]
    judge = Judge(["tallies._speedups"], ["tallies"], ["/site"], {})
    verdict = judge.decide(Verdict("x.whl", "here", "unsupported"), SuiteResults(found), "pytest")
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert verdict.why == "the time limit is over; pytest: 1 of 3 tests passed"
