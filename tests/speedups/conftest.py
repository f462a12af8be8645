"""Fixtures that run each function's tests on every implementation: Python, C, and the wheels given by ``--wheel``.

The tests import the installed package, never the checkout. They fail if the C extension is missing, unless
TORNADO_SPEEDUPS_EXTENSION=0 requests tests without it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tornado.util
from tornado.websocket import WebSocketProtocol13

import tornado_speedups
from tests.speedups.bindings import MODULES, bound
from tornado_speedups.websocket.protocol import FastWebSocketProtocol13

SOURCE_TREE = Path(__file__).resolve().parents[2]
NATIVE = ("python", "c")


def pytest_configure() -> None:
    # resolve() follows links, so an editable install counts as the checkout.
    location = Path(tornado_speedups.__file__).resolve()
    if location.is_relative_to(SOURCE_TREE / "src"):
        raise pytest.UsageError(f"tornado_speedups is imported from the checkout ({location}): install a built wheel")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "speedups" in metafunc.fixturenames:
        names = [*NATIVE, *metafunc.config.getoption("--wheel", [])]
        ids = [Path(name).name for name in names]
        metafunc.parametrize("speedups", names, ids=ids, indirect=True, scope="session")
    if "native" in metafunc.fixturenames:
        metafunc.parametrize("native", NATIVE, indirect=True, scope="session")


@pytest.fixture(scope="session")
def speedups(request: pytest.FixtureRequest) -> Any:
    """The functions of one implementation: Python, C, or a wheel."""
    return _load(request.param)


@pytest.fixture(scope="session")
def native(request: pytest.FixtureRequest) -> Any:
    """The functions of one implementation that runs in this process: Python or C."""
    return _load(request.param)


@pytest.fixture(scope="session")
def c_extension() -> Any:
    """The C functions, for tests that apply only to C."""
    return _load("c")


@pytest.fixture(params=[WebSocketProtocol13, FastWebSocketProtocol13])
def protocol(request: pytest.FixtureRequest) -> Any:
    """The class of WebSocket connections: Tornado's own, or the fast one."""
    return request.param


@pytest.fixture
def stock_tornado() -> Iterator[list[Any]]:
    """The functions that Tornado binds before the test. The speedups are uninstalled after it: they are bound again."""
    stock = bound()
    yield stock
    tornado_speedups.uninstall()
    assert bound() == stock


@pytest.fixture
def tornado_in_python(stock_tornado: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Tornado masks in Python, which install() replaces with Python too. Return its function."""
    for module in MODULES:
        monkeypatch.setattr(module, "_websocket_mask", tornado.util._websocket_mask_python)
    yield tornado.util._websocket_mask_python
    tornado_speedups.uninstall()


@pytest.fixture(autouse=True)
def garbage_of_the_test() -> Iterator[None]:
    """Collect what a test has left: asyncio logs something about it, which a later test may compare with Tornado's."""
    yield
    gc.collect(1)  # a whole collection takes 30 times as long


@pytest.fixture(scope="module", autouse=True)
def garbage_of_the_file() -> Iterator[None]:
    """Collect what the tests of a file have left in the oldest generation."""
    yield
    gc.collect()


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Leave out of garbage collections what exists before the test: collecting takes a tenth of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def installed() -> Iterator[None]:
    """The speedups are installed during the test."""
    tornado_speedups.install()
    yield
    tornado_speedups.uninstall()


def _load(name: str) -> Any:
    if name == "python":
        return import_module("tornado_speedups._python")
    if name == "c":
        return _load_c()
    return import_module("wheelworks.emulator").load(Path(name))


def _load_c() -> Any:
    if os.environ.get("TORNADO_SPEEDUPS_EXTENSION") == "0":
        pytest.skip("TORNADO_SPEEDUPS_EXTENSION=0")
    try:
        return import_module("tornado_speedups._speedups")
    except ImportError as error:
        pytest.fail(f"the C extension is missing: {error}; TORNADO_SPEEDUPS_EXTENSION=0 tests without it")
