"""The Nox sessions: the entry point for contributors, CI and release managers.

A session is a docstring, a locked install and one command. ``nox -l`` lists the sessions, ``nox -s NAME -- --help``
explains one. Sessions with the same lock file share an environment, which bootstrap.py keeps; Nox's own would be
deleted under a running session by the next one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # the program nox, unlike python -m nox, doesn't have it
import bootstrap  # noqa: E402

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test-suite"]

UV_OPTIONS = (
    *("--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command=nox -s lock"),
)
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
SCRIPTS = {"PYTHONPATH": str(ROOT / "scripts")}
LOCKS = (
    *("nox", "lock", "build", "wheelworks", "native", "cibuildwheel"),
    *("audit", "release", "report", "test", "bench", "applications", "docs"),
)
COPIED = ("build", "wheelworks")  # into the suite, which needs them wherever it is installed


def install(session: nox.Session, lock: str, wheel: Path | None = None) -> None:
    """Use the environment of a lock file, which is installed, each file's hash checked, if it is missing or old."""
    environments = session.cache_dir.parent.resolve()
    create = [sys.executable, "-m", "virtualenv", "--quiet"]
    try:
        folder = bootstrap.keep_environment(ROOT / "requirements" / f"{lock}.txt", environments, create, wheel)
    except bootstrap.InstallError as error:
        session.error("{}\nhint: {}".format(*error.args))
    programs = str(bootstrap.get_program(folder).parent)
    session.env.update(VIRTUAL_ENV=str(folder), PATH=os.pathsep.join([programs, os.environ.get("PATH", "")]))


def install_with_package(session: nox.Session, lock: str) -> None:
    """Use the environment of a lock file, with this machine's wheel of the package as the sources are now."""
    install(session, lock)
    if {"-h", "--help"} & set(session.posargs):
        return
    with tempfile.TemporaryDirectory() as fresh:
        wheelworks(session, "host-wheel", "--out", fresh)
        [wheel] = Path(fresh).glob("*.whl")
        install(session, lock, wheel)


def run(session: nox.Session, program: str, *words: str, **options: Any) -> None:
    """Run a program of the session's environment."""
    path = bootstrap.get_program(Path(str(session.env["VIRTUAL_ENV"])), program)
    session.run(os.path.relpath(path, ROOT), *words, **options)


def wheelworks(session: nox.Session, *words: str) -> None:
    """Run one of the suite's commands. After Ctrl-C it has time to stop the programs that it started."""
    run(session, "python", "-m", "wheelworks", *words, env=SCRIPTS, interrupt_timeout=10, terminate_timeout=5)


@nox.session(name="cross-arm64")
def cross_arm64(session: nox.Session) -> None:
    """Build a project's ARM64 wheels for Windows, macOS and Linux, and run them here."""
    install(session, "wheelworks")
    wheelworks(session, "cross-arm64", *session.posargs)


@nox.session(name="build-wheels")
def build_wheels(session: nox.Session) -> None:
    """Build the sdist and the wheels of a release, for every platform and ABI; ``-- --list`` lists them."""
    install(session, "cibuildwheel" if any("cibuildwheel" in word for word in session.posargs) else "wheelworks")
    wheelworks(session, "build-wheels", *session.posargs)


@nox.session(name="test-foreign")
def test_foreign(session: nox.Session) -> None:
    """Run the machine code of any platform's wheels, on an emulated CPU or under a real CPython."""
    install(session, "wheelworks")
    wheelworks(session, "test-foreign", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """Compare two sets of wheels of one project: targets, files, metadata, exports and behaviour."""
    install(session, "wheelworks")
    wheelworks(session, "compare", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Audit wheels and sdists of any platform: dist/, a folder, or a release such as a==1.0."""
    install(session, "audit")
    wheelworks(session, "audit", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write dist/report.html, one page about a folder's wheels; the other sessions write it too."""
    install(session, "report")
    wheelworks(session, "report", *session.posargs)


@nox.session(name="test-native")
def test_native(session: nox.Session) -> None:
    """Test this machine's wheel under every CPython here: the package's tests, and Tornado's with and without it."""
    install(session, "wheelworks")
    wheelworks(session, "test-native", *session.posargs)


@nox.session(name="test-autobahn")
def test_autobahn(session: nox.Session) -> None:
    """Run the Autobahn WebSocket test suite on Tornado as server and client, with and without the speedups."""
    install(session, "wheelworks")
    wheelworks(session, "test-autobahn", *session.posargs)


@nox.session(name="test-frameworks")
def test_frameworks(session: nox.Session) -> None:
    """Run the tests of projects that use Tornado, such as Bokeh and jupyter_server, with and without the speedups."""
    install(session, "wheelworks")
    wheelworks(session, "test-frameworks", *session.posargs)


@nox.session
def reproduce(session: nox.Session) -> None:
    """Rebuild wheels in a varied environment, compare the bytes, and name the cause of a difference."""
    install(session, "wheelworks")
    wheelworks(session, "reproduce", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Make a release: build, audit, test, reproduce and rehearse it; ``-- X.Y.Z --publish`` tags it."""
    install(session, "release")
    wheelworks(session, "release", *session.posargs)


@nox.session(name="test-suite")
def test_suite(session: nox.Session) -> None:
    """Test the suite, and the package as installed; ``-- --integration`` adds the slow tests, ``--release`` all."""
    install_with_package(session, "test")
    run(session, "pytest", *(session.posargs or ["-n", "auto", "--dist", "loadfile"]), env=SCRIPTS)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the speedups against Tornado and other libraries; ``-- --help`` lists the suites."""
    install_with_package(session, "applications" if "applications" in session.posargs else "bench")
    wheelworks(session, "bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build, with the reference from the code; warnings are errors."""
    install(session, "docs")
    bootstrap.wait_for_turn(ROOT / "docs/_build")
    run(session, "sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "docs", "docs/_build", env=SCRIPTS)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types of the Python code, the lock files and the workflows."""
    install(session, "test")
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    wheelworks(session, "lint-project", "--strict")
    run(session, "check-jsonschema", "--builtin-schema=vendor.github-workflows", *map(str, WORKFLOWS))
    run(session, "mypy", "src", "scripts", "tests", "docs", "noxfile.py", "setup.py", "bootstrap.py")


@nox.session
def lock(session: nox.Session) -> None:
    """Write the hashed lock files from requirements/*.in; ``-- --upgrade`` takes the newest versions."""
    install(session, "lock")
    bootstrap.wait_for_turn(ROOT / "requirements")
    for name in LOCKS:
        files = (f"requirements/{name}.in", "-o", f"requirements/{name}.txt")
        run(session, "uv", "pip", "compile", *files, *UV_OPTIONS, *session.posargs)
    for source in sorted(ROOT.glob("scripts/wheelworks/testing/frameworks/*.in")):
        files = (os.path.relpath(source, ROOT), "-o", os.path.relpath(source.with_suffix(".txt"), ROOT))
        run(session, "uv", "pip", "compile", *files, *UV_OPTIONS, *session.posargs)
    for name in COPIED:
        shutil.copyfile(ROOT / "requirements" / f"{name}.txt", ROOT / "scripts/wheelworks/locks" / f"{name}.txt")
