"""Options for all test runs. Slow tests run only with ``--integration``, the slowest only with ``--release``.

pytest reads options only from initial conftest files, so this file also defines the options of the subfolders.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fixtures import commands, downloads, tools

ROOT = Path(__file__).parents[1]
SLOW = ("integration", "exhaustive", "release")
# On a busy machine, any example may take long. Hypothesis's own profile for CI stays the parent.
settings.register_profile("without-deadline", parent=settings(), deadline=None)
settings.load_profile("without-deadline")
collect_ignore = ["projects"]  # projects of their own, whose tests are run by tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wheel",
        action="append",
        default=[],
        metavar="FILE",
        help="also run the functions' tests on the machine code in this wheel, on an emulated CPU; repeatable",
    )
    parser.addoption("--only-wheels", action="store_true", help="leave out every test that runs on no --wheel")
    parser.addoption(
        "--container-cpu",
        action="append",
        default=["x86_64"],
        metavar="CPU",
        help="also build by cibuildwheel for this CPU, under qemu: aarch64; repeatable",
    )
    parser.addoption("--integration", action="store_true", help="also run the slow tests: real builds, real wheels")
    parser.addoption("--release", action="store_true", help="run every test: also those that CI leaves out")
    missing = "fail tests, instead of skipping them, where a program is missing that they need"
    parser.addoption("--all-tools", action="store_true", help=missing)


def pytest_configure(config: pytest.Config) -> None:
    tools.strict = config.getoption("--all-tools")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need what this machine lacks, before their fixtures are made."""
    if item.get_closest_marker("integration") and not tools.strict:
        tools.require("index")  # real builds install their requirements; without an index, these tests would fail
    for marker in item.iter_markers("needs"):
        tools.require(*marker.args)


def pytest_report_header(config: pytest.Config) -> str:
    left_out = ", ".join(_choose_left_out(config)) or "none"
    return f"kinds of tests left out: {left_out} (--integration runs all but release, --release runs all)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {item for item in items if _left_out(item, config)}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def _choose_left_out(config: pytest.Config) -> tuple[str, ...]:
    """Return the markers of the tests that don't run."""
    if config.getoption("--release"):
        return ()
    return ("release",) if config.getoption("--integration") else SLOW


def _left_out(item: pytest.Item, config: pytest.Config) -> bool:
    if config.getoption("--only-wheels"):
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        return parameters.get("speedups") not in config.getoption("--wheel")
    return any(item.get_closest_marker(kind) for kind in _choose_left_out(config))


@pytest.fixture(scope="session")
def wheelworks_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for headers, build environments and libcs. All builds of a run share it, and it starts empty.

    The processes of pytest-xdist share zig's part of it: libcs take minutes, and zig locks what it writes.
    """
    from wheelworks.core.zig import read_zig_version  # the package's own tests run where the suite isn't installed

    cache = tmp_path_factory.mktemp("cache")
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = tmp_path_factory.getbasetemp().parent / "zig"
        shared.mkdir(exist_ok=True)
        (cache / f"zig-{read_zig_version()}").symlink_to(shared)
    return cache


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> downloads.Published:
    """Sdists and wheels from the package index. Each file is downloaded once per run."""
    return downloads.Published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    """The folder with this project's complete release, built from scratch by ``build-wheels``."""
    tools.require("headers")
    out = tmp_path_factory.mktemp("release") / "dist"
    ended = commands.wheelworks("build-wheels", ".", "--no-run", "--out", out, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    return out


@pytest.fixture(scope="session")
def tornado_release(
    tmp_path_factory: pytest.TempPathFactory, published: downloads.Published, wheelworks_cache: Path
) -> Path:
    """The folder with Tornado 6.6.1 wheels for all targets and ABIs, built from its sdist by ``build-wheels``."""
    tools.require("headers")
    out = tmp_path_factory.mktemp("tornado-release")
    words = ("build-wheels", "--no-run", published.sdist("tornado==6.6.1"), "--out", out)
    ended = commands.wheelworks(*words, cache=wheelworks_cache, seconds=900)
    assert ended.status == 0, ended.err
    return out
