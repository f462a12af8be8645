"""Binaries that are damaged or lack what CPython needs, on the emulated CPU."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheelworks.core.errors import WheelworksError
from wheelworks.core.formats import read_image
from wheelworks.core.image import BadImage
from wheelworks.emulator import RunLimits
from wheelworks.emulator.extension import EmulatedModule, ExtensionModule

from tests.fixtures.builds import build

pytestmark = pytest.mark.integration

FORMATS = {"win_arm64": ".pyd", "win32": ".pyd", "macosx_11_0_arm64": ".abi3.so", "linux_aarch64": ".abi3.so",
           "linux_s390x": ".abi3.so", "linux_armv7l": ".abi3.so"}  # fmt: skip
SECONDS = 8.0  # the constructors, the import and a call may each take one second


def test_a_binary_without_init_function() -> None:
    data = build("faults/kept_reference.c", "linux_aarch64").read_bytes()
    with pytest.raises(BadImage, match="exports no PyInit_other"):
        EmulatedModule(read_image(data, "x"), ExtensionModule("other.abi3.so", data), RunLimits())


@pytest.mark.parametrize("platform", FORMATS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_binary_is_a_clear_error_or_runs_in_bounds(platform: str, data: st.DataObject) -> None:
    content = bytearray(build("api.c", platform).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    places = st.one_of(st.integers(0, 511), st.integers(0, max(len(content) - 1, 0)))
    words = st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0"])
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(places)
        content[place : place + 4] = data.draw(st.one_of(words, st.binary(min_size=1, max_size=4)))
    started = time.monotonic()
    name = f"fixture{FORMATS[platform]}"
    try:
        module = EmulatedModule(read_image(bytes(content), name), ExtensionModule(name, b""), RunLimits(2_000_000, 1.0))
    except WheelworksError:
        pass  # a clear error
    else:
        with suppress(WheelworksError, TypeError):  # the function may have another name, or take arguments
            getattr(module, "no_arguments", int)()
    assert time.monotonic() - started < SECONDS
