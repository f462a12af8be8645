"""Damage that C could do to its process: leaks, wrong reference counts, races between threads or interpreters."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import BuiltinFunctionType
from typing import Any

import pytest

import tornado_speedups._python
from tests.speedups.calls import CALLS, FRAMES, GAPPED, MASK, Unwilling, call

EACH = pytest.mark.parametrize("name", CALLS)


def test_every_function_is_called(c_extension: Any) -> None:
    functions = {name for name, value in vars(c_extension).items() if isinstance(value, BuiltinFunctionType)}
    assert functions == set(CALLS)


def test_the_calls_succeed_and_fail(c_extension: Any) -> None:
    for name, calls in CALLS.items():
        ways = {_way(getattr(c_extension, name), arguments) for arguments in calls}
        assert {"result", "TypeError"} < ways, name


def _way(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    try:
        function(*arguments)
    except Exception as error:
        return type(error).__name__
    return "result"


IMMORTAL = 1 << 28  # far above any real reference count


@EACH
def test_reference_counts_stay(name: str, native: Any) -> None:
    function = getattr(native, name)
    objects = [argument for arguments in CALLS[name] for argument in arguments]
    objects += [int, object, bytes, list, tuple, None, TypeError, ValueError, BufferError, Unwilling, type(GAPPED)]
    # Code compiled for 3.11 counts references to immortal objects, later interpreters don't (PEP 683).
    # The counts of immortal objects are therefore meaningless.
    objects = [each for each in objects if sys.getrefcount(each) < IMMORTAL]
    call(function, 10)
    before = [sys.getrefcount(each) for each in objects]
    call(function, 300)
    after = [sys.getrefcount(each) for each in objects]
    grown = [(each, new - old) for each, old, new in zip(objects, before, after, strict=True) if abs(new - old) > 100]
    assert grown == []


@EACH
def test_memory_stays(name: str, native: Any) -> None:
    """tracemalloc counts the bytes requested from Python's allocators, so it shows one lost object per round."""
    function = getattr(native, name)
    tracemalloc.start()
    try:
        call(function, 20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        call(function, 100)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100 * 20  # 100 lost objects would take more: each has at least 20 bytes


@EACH
def test_buffers_are_released(name: str, native: Any) -> None:
    call(getattr(native, name), 3)
    for arguments in CALLS[name]:
        for argument in arguments:
            if isinstance(argument, bytearray):
                argument.append(0)  # raises BufferError if the buffer was not released
                assert argument.pop() == 0


def test_threads(native: Any) -> None:
    """Many threads call all functions at once. The results for data of a single thread are correct."""

    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled(), "some module has enabled the GIL: nothing runs at the same time"  # type: ignore[attr-defined,unused-ignore]

    def hammer(_: int) -> None:
        buffer = bytearray(FRAMES)
        for _ in range(50):
            for name in CALLS:
                call(getattr(native, name), 1)
            native.websocket_mask_inplace(MASK, buffer)
            native.websocket_mask_inplace(MASK, buffer)
            assert native.parse_frames(buffer, 0, 9) == expected
            assert native.websocket_mask(MASK, buffer) == masked

    expected = tornado_speedups._python.parse_frames(FRAMES, 0, 9)
    masked = tornado_speedups._python.websocket_mask(MASK, FRAMES)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_threads_that_change_what_is_read(native: Any) -> None:
    """Other threads write to the buffer and resize it. The calls may return any frames, but must not crash."""
    shared, over = bytearray(FRAMES), threading.Event()

    def resize() -> None:
        while not over.is_set():
            try:
                shared.extend(bytes(100_000))
                del shared[len(FRAMES) :]
            except BufferError:
                pass  # a bytearray can't be resized while a function reads it

    changer = threading.Thread(target=resize)
    changer.start()
    try:

        def read(_: int) -> None:
            for _ in range(100):
                frames, end, _ = native.parse_frames(shared, 0, 9)
                assert len(frames) <= 9 and end <= len(FRAMES) + 100_000
                native.websocket_mask_inplace(MASK, shared)
                assert len(native.build_frame(0x82, shared, MASK)) >= len(FRAMES)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
    finally:
        over.set()
        changer.join()


IN_SUBINTERPRETERS = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    import tornado_speedups
    assert tornado_speedups.implementation == "c"
    if sys.version_info >= (3, 13):
        import _interpreters
        from _interpreters import destroy
        def create():
            return _interpreters.create({kind!r})
        def run(interpreter, code):
            error = _interpreters.exec(interpreter, code)
            assert error is None, error.formatted
    else:
        import _xxsubinterpreters
        from _xxsubinterpreters import destroy, run_string as run
        def create():
            return _xxsubinterpreters.create(isolated={kind!r} == "isolated")
    code = '''if True:
        import tornado_speedups
        assert tornado_speedups.implementation == "c"
        for _ in range(100):
            buffer = bytearray(1000)
            assert tornado_speedups.websocket_mask_inplace(b"abcd", buffer) is None
            assert buffer == tornado_speedups.websocket_mask(b"abcd", bytes(1000)) == b"abcd" * 250
            frame = tornado_speedups.build_frame(0x82, buffer, b"abcd")
            assert tornado_speedups.parse_frames(frame, 0, 2) == ([(0x82, bytes(buffer))], len(frame), 2)
            found = tornado_speedups.parse_head(b"GET / HTTP/1.1\\\\r\\\\nhost: a\\\\r\\\\nx-own: b\\\\r\\\\n")
            names = {{"Host": ["a"], "X-Own": ["b"]}}, {{"Host": "a", "X-Own": "b"}}
            assert found == ("GET / HTTP/1.1", *names, "X-Own"), found
            sent = tornado_speedups.serialize_head("HTTP/1.1 200 OK", names[0], b"c")
            assert sent == b"HTTP/1.1 200 OK\\\\r\\\\nHost: a\\\\r\\\\nX-Own: b\\\\r\\\\n\\\\r\\\\nc", sent
    '''
    def live(rounds):
        for _ in range(rounds):
            interpreter = create()
            run(interpreter, code)
            destroy(interpreter)
    together = [create() for _ in range(3)]
    for interpreter in together:
        run(interpreter, code)
    for interpreter in together:
        destroy(interpreter)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(live, [3, 3, 3]))
    assert tornado_speedups.websocket_mask(b"abcd", bytes(1000)) == b"abcd" * 250
    print("all well")
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.usefixtures("c_extension")
def test_subinterpreters(kind: str) -> None:
    code = textwrap.dedent(IN_SUBINTERPRETERS).format(kind=kind)
    env = os.environ | {"TORNADO_SPEEDUPS_EXTENSION": "1"}
    finished = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True)
    assert (finished.stdout.strip(), finished.returncode) == ("all well", 0), finished.stderr
