"""What the C could do to its process: leak, count references wrongly, get mixed up by threads and interpreters."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import pytest
import tornado.util

MASK = b"\x37\xfa\x21\x3d"
GAPPED = memoryview(b"1.2.3.4.")[::2]

# One call for each way through the C, arguments of every kind in both places.
CALLS: list[tuple[Any, ...]] = [
    (MASK, bytes(100)),
    (bytearray(MASK), memoryview(bytes(100))),
    ("abcd", "text that isn't cached é"),
    (MASK,),
    (MASK, bytes(100), 1),
    (bytearray(MASK), object()),
    (object(), bytes(100)),
    (bytearray(b"abc"), bytearray(100)),
    (bytearray(MASK), GAPPED),
    (GAPPED, bytearray(100)),
    (bytearray(MASK), "\ud800"),
]


def call_all(function: Any, times: int) -> None:
    for _ in range(times):
        for arguments in CALLS:
            try:
                function(*arguments)
            except (TypeError, ValueError, BufferError):
                pass


def test_reference_counts_stay(native: Any) -> None:
    objects = [argument for arguments in CALLS for argument in arguments]
    objects += [int, object, TypeError, ValueError, BufferError, type(GAPPED)]
    call_all(native.websocket_mask, 10)
    before = [sys.getrefcount(each) for each in objects]
    call_all(native.websocket_mask, 1000)
    after = [sys.getrefcount(each) for each in objects]
    grown = [(each, new - old) for each, old, new in zip(objects, before, after, strict=True) if new - old > 100]
    assert grown == []


def test_memory_stays(native: Any) -> None:
    call_all(native.websocket_mask, 200)
    before = sys.getallocatedblocks()
    call_all(native.websocket_mask, 2000)
    assert sys.getallocatedblocks() - before < 500


def test_threads(native: Any) -> None:
    shared = bytearray(range(256)) * 17
    expected = tornado.util._websocket_mask_python(MASK, bytes(shared))

    def mask_often(_: int) -> bool:
        return all(native.websocket_mask(MASK, shared) == expected for _ in range(500))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(mask_often, range(8)))


IN_SUBINTERPRETERS = """
    import sys
    import tornado_speedups
    assert tornado_speedups.implementation == "c"
    if sys.version_info >= (3, 13):
        import _interpreters
        created = [_interpreters.create({kind!r}) for _ in range(3)]
        destroy = _interpreters.destroy
        def run(interpreter, code):
            error = _interpreters.exec(interpreter, code)
            assert error is None, error.formatted
    else:
        import _xxsubinterpreters
        created = [_xxsubinterpreters.create(isolated={kind!r} == "isolated") for _ in range(3)]
        run, destroy = _xxsubinterpreters.run_string, _xxsubinterpreters.destroy
    code = '''if True:
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import tornado_speedups
        masked = tornado_speedups.websocket_mask(b"abcd", bytes(1000))
        assert masked == b"abcd" * 250, masked
        found = (tornado_speedups.implementation, [str(each.message)[:28] for each in caught])
        assert found == {found!r}, found
    '''
    for interpreter in created:
        run(interpreter, code)
    for interpreter in created:
        destroy(interpreter)
    assert tornado_speedups.websocket_mask(b"abcd", bytes(1000)) == b"abcd" * 250
    print("all well")
"""

# An extension for the stable ABI of 3.11 cannot carry the slot of 3.12 that admits it to interpreters with
# a GIL of their own (3.11 refuses slots that it doesn't know): Python takes over there, and says so.
NO_SLOT = ("python", ["tornado_speedups uses Python"[:28]])
OWN_GIL = sys.version_info >= (3, 12) and not sysconfig.get_config_var("Py_GIL_DISABLED")


def has_slot() -> bool:
    """Whether the installed extension is one for 3.15 and later, which carries the slot."""
    return "-abi3t-" in (metadata.distribution("tornado-speedups").read_text("WHEEL") or "")


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.usefixtures("c_extension")
def test_subinterpreters(kind: str) -> None:
    found = NO_SLOT if kind == "isolated" and OWN_GIL and not has_slot() else ("c", [])
    code = textwrap.dedent(IN_SUBINTERPRETERS).format(kind=kind, found=found)
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (finished.stdout.strip(), finished.returncode) == ("all well", 0), finished.stderr
