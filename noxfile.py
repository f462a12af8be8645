"""The sessions: the one entry point for contributors, CI and release managers.

Each is a docstring, a locked install and one command. ``nox -l`` lists them, ``nox -s NAME -- --help`` explains one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "test-suite"]

ROOT = Path(__file__).parent
UV_OPTIONS = (
    *("--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command=nox -s lock"),
)
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
SCRIPTS = {"PYTHONPATH": str(ROOT / "scripts")}
LOCKS = (
    *("nox", "lock", "build", "wheelworks", "native", "cibuildwheel"),
    *("audit", "release", "report", "test", "lint", "bench", "docs"),
)
CARRIED = ("build", "wheelworks")  # with the suite, wherever it is installed


def install(session: nox.Session, lock: str) -> None:
    """Install a lock file: every file of it by its hash."""
    session.install("--require-hashes", "-r", f"requirements/{lock}.txt")


def wheelworks(session: nox.Session, *words: str) -> None:
    """Run one of the suite's commands; after Ctrl-C it has time to end what it started."""
    session.run("python", "-m", "wheelworks", *words, env=SCRIPTS, interrupt_timeout=10, terminate_timeout=5)


def install_package(session: nox.Session) -> None:
    """Build this machine's wheel of the package and install it."""
    fresh = Path(session.create_tmp(), "wheel")
    shutil.rmtree(fresh, ignore_errors=True)
    wheelworks(session, "host-wheel", "--out", str(fresh))
    # Not session.install(): `nox -R` would skip it, and test the wheel of some earlier run.
    session.run(
        "python", "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", *map(str, fresh.glob("*.whl"))
    )


@nox.session(name="cross-arm64")
def cross_arm64(session: nox.Session) -> None:
    """Build the ARM64 wheels of a folder or an sdist, for Windows, macOS and Linux, and run them here."""
    install(session, "wheelworks")
    wheelworks(session, "cross-arm64", *session.posargs)


@nox.session(name="build-wheels")
def build_wheels(session: nox.Session) -> None:
    """Build every wheel of a release, for every platform and ABI, and its sdist; ``-- --list`` tells which."""
    install(session, "cibuildwheel")
    wheelworks(session, "build-wheels", *session.posargs)


@nox.session(name="test-foreign")
def test_foreign(session: nox.Session) -> None:
    """Run the machine code of wheels of any platform here: on an emulated CPU, or under a real foreign CPython."""
    install(session, "wheelworks")
    wheelworks(session, "test-foreign", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """Compare two sets of wheels of one project: where they install, their files, and what their code does."""
    install(session, "wheelworks")
    wheelworks(session, "compare", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Find what is wrong with wheels of any platform: dist/, a folder, or all files of a release such as a==1.0."""
    install(session, "audit")
    wheelworks(session, "audit", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write what is known of a folder's wheels as one page, dist/report.html; the other sessions do so, too."""
    install(session, "report")
    wheelworks(session, "report", *session.posargs)


@nox.session(name="test-native")
def test_native(session: nox.Session) -> None:
    """Test this machine's wheel under every CPython here: the package's tests, and Tornado's with it off and on."""
    install(session, "wheelworks")
    wheelworks(session, "test-native", *session.posargs)


@nox.session(name="test-autobahn")
def test_autobahn(session: nox.Session) -> None:
    """Run the Autobahn WebSocket test suite against Tornado as server and client, with the speedups off and on."""
    install(session, "wheelworks")
    wheelworks(session, "test-autobahn", *session.posargs)


@nox.session
def reproduce(session: nox.Session) -> None:
    """Build wheels again in other surroundings, compare them to the byte, and name what makes a difference."""
    install(session, "wheelworks")
    wheelworks(session, "reproduce", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Make a release: build, audit, test, build again, describe and rehearse it; ``-- X.Y.Z --publish`` tags it."""
    install(session, "release")
    wheelworks(session, "release", *session.posargs)


@nox.session(name="test-suite")
def test_suite(session: nox.Session) -> None:
    """Test the suite and the package, installed from its wheel: fast tests; ``-- --integration`` adds the slow ones."""
    install(session, "test")
    install_package(session)
    session.run("pytest", *session.posargs, env=SCRIPTS)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the speedups against Tornado without them and against other libraries; ``-- --help`` names the suites."""
    install(session, "bench")
    install_package(session)
    wheelworks(session, "bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build, its reference from the code; every warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "docs", "docs/_build", env=SCRIPTS)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types of all Python here, the lock files and the workflows."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    wheelworks(session, "lint-project", "--strict")
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", *map(str, WORKFLOWS))
    session.run("mypy", "src", "scripts", "tests", "docs", "noxfile.py", "setup.py", "bootstrap.py")


@nox.session
def lock(session: nox.Session) -> None:
    """Write the hashed lock files anew from requirements/*.in; with ``-- --upgrade`` take the newest versions."""
    install(session, "lock")
    for name in LOCKS:
        files = (f"requirements/{name}.in", "-o", f"requirements/{name}.txt")
        session.run("uv", "pip", "compile", *files, *UV_OPTIONS, *session.posargs)
    for name in CARRIED:
        shutil.copyfile(ROOT / "requirements" / f"{name}.txt", ROOT / "scripts/wheelworks/locks" / f"{name}.txt")
