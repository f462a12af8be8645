"""The options of every test run, and the rule that slow tests are left out unless ``--integration`` is given.

pytest reads options from initial conftest files only, so that those of the folders below stand here too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures import downloads

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wheel",
        action="append",
        default=[],
        metavar="FILE",
        help="also run the functions' tests on the machine code in this wheel, on an emulated CPU; repeatable",
    )
    parser.addoption("--integration", action="store_true", help="also run the slow tests: real builds, real wheels")


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--integration"):
        return "kinds of tests: fast, integration"
    return "kinds of tests: fast; 1 kind left out: integration (real builds, real wheels): --integration runs it too"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--integration"):
        return
    slow = [item for item in items if item.get_closest_marker("integration")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def wheelworks_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that all builds of this run share, empty at its start: headers, build environments, libcs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> downloads.Published:
    """Sdists and wheels as the index serves them, each downloaded once a run."""
    return downloads.Published(tmp_path_factory.mktemp("published"))
