"""The C API, called from compiled C. It behaves the same on every platform and with every calling convention."""

from __future__ import annotations

import itertools
import resource
import time
from typing import Any

import pytest
from wheelworks.emulator import EmulatedModule, load
from wheelworks.emulator.faults import Fault

from tests.fixtures.builds import PLATFORMS, build

pytestmark = pytest.mark.integration


@pytest.fixture(params=PLATFORMS)
def module(request: pytest.FixtureRequest) -> EmulatedModule:
    return load(build("api.c", request.param))


def test_numbers_of_every_size_are_parsed_and_built(module: EmulatedModule) -> None:
    given = (200, -300, -70000, -(2**31), -(2**63), -(2**31), 2**32 - 1, 2**32 - 1, 2**64 - 1, 1.5, 2.25, [1])
    assert module.parse_numbers(*given) == (*given[:-1], 1)


@pytest.mark.parametrize("place", range(9))
def test_numbers_that_do_not_fit_raise(module: EmulatedModule, place: int) -> None:
    given: list[Any] = [1] * 12
    given[place] = 1 << 70
    unchecked = place in (6, 7, 8)  # I, k and K keep the low bits without checking for overflow
    if unchecked:
        assert module.parse_numbers(*given)[place] == 0
    else:
        with pytest.raises(OverflowError):
            module.parse_numbers(*given)


def test_wrong_arguments_raise_as_in_c(module: EmulatedModule) -> None:
    with pytest.raises(TypeError, match=r"parse_numbers\(\) takes exactly 12 arguments \(2 given\)"):
        module.parse_numbers(1, 2)
    with pytest.raises(TypeError, match=r"missing required argument 'first' \(pos 1\)"):
        module.parse_keywords()
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        module.parse_numbers(a=1)
    with pytest.raises(TypeError, match=r"no_arguments\(\) takes no arguments \(1 given\)"):
        module.no_arguments(1)
    with pytest.raises(TypeError, match="exactly one argument"):
        module.keep()


def test_keywords_are_parsed(module: EmulatedModule) -> None:
    assert module.parse_keywords(1, "abc", third=b"x") == (1, "abc", b"x")
    assert module.parse_keywords(first=(1, 2)) == ((1, 2), "default", None)


def test_writable_buffers_are_changed_in_place(module: EmulatedModule) -> None:
    target = bytearray(b"abcdef")
    assert module.parse_buffers(b"\1\2\3", target) == 3
    assert target == b"```def"
    assert module.parse_buffers(memoryview(b"\1\2\3\4")[1:3], memoryview(target)[3:5]) == 2
    assert target == b"```fff"
    with pytest.raises(TypeError, match="read-write bytes-like"):
        module.parse_buffers(b"a", b"b")


def test_overlapping_buffers_overlap_in_emulated_memory(module: EmulatedModule) -> None:
    target = bytearray(b"\1\2\4\10")
    assert module.parse_buffers(memoryview(target)[:3], target) == 3
    assert target == b"\0\0\0\10"


@pytest.mark.parametrize("step", [1, 3, -1, -2])
def test_strided_buffers(module: EmulatedModule, step: int) -> None:
    values = bytes(range(20))[::step]
    assert module.strided_sum(memoryview(bytes(range(20)))[::step]) == (sum(values), int(step == 1), "B", 1)


def test_fastcall_with_keywords(module: EmulatedModule) -> None:
    assert module.fastcall(1, 2, a=3, b="x") == {"a": 3, "b": "x", "positional": 2}
    assert module.fastcall() == {"positional": 0}


def test_module_state_and_constants(module: EmulatedModule) -> None:
    assert [module.no_arguments() for _ in range(3)] == [101, 102, 103]
    assert module.LIMIT == 1 << 40
    assert module.VERSION == 0x030B  # the version of the stable ABI that the module was built for
    assert module.NAME == "fixture"
    assert module.parse_numbers.__doc__ == "Numbers of every size."


def test_objects_kept_in_module_state_are_the_same_objects(module: EmulatedModule) -> None:
    values = [object(), [1], "text", b"bytes", None]
    assert module.keep(values[0]) is None
    for before, after in itertools.pairwise(values):
        assert module.keep(after) is before


@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)) * 2])
def test_containers(module: EmulatedModule, data: bytes) -> None:
    items = [data[i : i + 1] for i in range(len(data))]
    expected = {"list": list(data), "tuple": tuple(items), "dict": dict(zip(items, data, strict=True))}
    assert module.containers(data) == expected


def test_exceptions(module: EmulatedModule) -> None:
    for argument, error, text in [
        ("x", TypeError, "'str' object cannot be interpreted as an integer"),
        (2**70, LookupError, f"text -5 -6 {1 << 40} ff c%|   42|42   |00042|abc|{2**70}"),
        (0, StopIteration, ""),
        (1, KeyError, "1"),
        (2, ValueError, "first"),
    ]:
        with pytest.raises(error) as caught:
            module.errors(argument)
        assert str(caught.value) == text


def test_text(module: EmulatedModule) -> None:
    text = "häß\0€\U0001f40d"
    size = len(text.encode())
    assert module.text(text) == (text, text.encode(), f"<{text}|{size}|{text.encode()!r}>")
    with pytest.raises(UnicodeEncodeError):
        module.text("\udc80")


def test_calls_back_into_python_and_its_exceptions(module: EmulatedModule) -> None:
    assert module.call_back(lambda value: value * 2, 21) == 84
    with pytest.raises(ZeroDivisionError):
        module.call_back(lambda value: value / 0, 21)
    assert module.call_back(module.fastcall, 5) == {"positional": 1}


def test_memory_blocks_and_growing_arrays(module: EmulatedModule) -> None:
    assert module.blocks(b"hello" * 100) == b"olleh" * 100
    array = bytearray(b"12")
    assert module.grow(array) is array
    assert array == b"12xyz"


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if "armv7l" not in name])
def test_floating_point_arguments_and_results(platform: str) -> None:
    module = load(build("api.c", platform))
    assert module.numbers(-3.75) == (-7.5, -3 << 33, 2**64 - 1, -0.9375)
    with pytest.raises(TypeError, match="must be real number, not str"):
        module.numbers("x")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_single_phase_initialisation(platform: str) -> None:
    module = load(build("api.c", platform, "-DSINGLE_PHASE"))
    assert (module.SINGLE, module.no_arguments(), module.definition_.state_size > 0) == (1, 101, True)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_module_export_by_slots(platform: str) -> None:
    module = load(build("slots.c", platform, abi="abi3t"))
    assert str(module.abi_.python) == "CPython 3.15t stable ABI"
    assert (module.definition_.name, module.definition_.doc) == ("fixture", "made of slots")
    assert [module.count(None) for _ in range(3)] == [41, 42, 43]


def test_the_old_parser_refuses_lengths_before_3_13() -> None:
    module = load(build("faults/unclean_lengths.c", "linux_aarch64"))
    with pytest.raises(SystemError, match="PY_SSIZE_T_CLEAN"):
        module.run(b"abc")


def test_a_fault_in_a_nested_call_is_found() -> None:
    module = load(build("api.c", "linux_aarch64"))
    broken = load(build("faults/load_before_input.c", "linux_aarch64"))
    with pytest.raises(Fault, match="heap-buffer-overflow-read"):
        module.call_back(broken.run, b"abc")


@pytest.mark.parametrize("platform", ["win_arm64", "macosx_11_0_arm64", "linux_aarch64"])
def test_loading_and_one_call_take_less_than_a_tenth_of_a_second(platform: str) -> None:
    path = build("api.c", platform)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        load(path).no_arguments()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


def test_hundreds_of_modules_do_not_add_up() -> None:
    path = build("api.c", "linux_aarch64")
    load(path).no_arguments()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        load(path).no_arguments()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_many_calls_do_not_add_up() -> None:
    module = load(build("faults/wrong_tail.c", "linux_aarch64"))
    data = bytes(1 << 20)
    module.run(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):  # together several times the size of the heap's arena
        assert len(module.run(data)) == len(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 << 10  # KiB
