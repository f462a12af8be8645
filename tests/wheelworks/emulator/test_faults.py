"""Seeded faults are found on every platform, each with the right name and location."""

from __future__ import annotations

import pytest
from wheelworks.core.errors import Unsupported
from wheelworks.emulator import RunLimits, load
from wheelworks.emulator.faults import Fault

from tests.fixtures.builds import ARM64, PLATFORMS, build

pytestmark = pytest.mark.integration

LIMITS = RunLimits(instructions=3_000_000, seconds=60)
INPUT = b"hello, world" * 4 + b"123"
# The kind of each fault, and whether it has a location: an instruction caused it, not a wrong count after the call.
FAULTS = {
    "borrowed_none": ("over-decref", False),
    "buffer_not_released": ("buffer-not-released", False),
    "dropped_argument": ("over-decref", True),
    "dropped_result": ("use-after-free", False),
    "dropped_twice": ("over-decref", True),
    "endless_calls": ("timeout", True),
    "endless_loop": ("timeout", True),
    "endless_recursion": ("stack-overflow", True),
    "error_with_result": ("error-with-result", False),
    "freed_twice": ("invalid-free", True),
    "leaked_argument": ("reference-leak", False),
    "leaked_reference": ("reference-leak", False),
    "load_before_input": ("heap-buffer-overflow-read", True),
    "load_past_input": ("heap-buffer-overflow-read", True),
    "lost_memory": ("memory-leak", False),
    "not_an_object": ("not-an-object", False),
    "null_call": ("null-call", False),
    "null_item": ("bad-api-use", False),
    "null_pointer": ("null-pointer", True),
    "null_without_error": ("null-without-error", False),
    "store_past_result": ("heap-buffer-overflow-write", True),
    "use_after_call": ("use-after-free", True),
    "use_after_free": ("use-after-free", True),
    "variadic_convention": ("wrong-output-size", True),
    "wild_jump": ("jump-outside-module", False),
    "write_constant": ("write-to-code", True),
    "write_immutable": ("write-to-immutable", True),
}
LLP64 = ("win_arm64", "win_amd64")


def finding(fault: str, platform: str, optimise: str = "-O2", data: bytes = INPUT) -> Fault:
    module = load(build(f"faults/{fault}.c", platform, optimise=optimise), limits=LIMITS)
    try:
        for _ in range(2):  # some faults show only in the second call
            module.run(data)
    except Fault as caught:
        return caught
    pytest.fail(f"no fault was found in {fault} on {platform}")


@pytest.mark.parametrize("platform", ARM64)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found_by_name(fault: str, platform: str) -> None:
    found = finding(fault, platform)
    name, placed = FAULTS[fault]
    assert found.kind == name
    assert found.function == "run"
    assert found.arguments.startswith("b'hello, world")
    if placed:
        assert found.address
        assert "+0x" in found.where


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if name not in ARM64])
def test_the_same_faults_are_found_on_other_cpus(platform: str) -> None:
    found = {fault: finding(fault, platform).kind for fault in FAULTS}
    assert found == {fault: name for fault, (name, _) in FAULTS.items()}


@pytest.mark.parametrize("platform", ARM64)
def test_faults_of_unoptimised_code_are_found_too(platform: str) -> None:
    unsure = {"variadic_convention"}  # unoptimised code may leave values on the stack that look like the arguments
    found = {fault: finding(fault, platform, "-O0").kind for fault in FAULTS if fault not in unsure}
    assert found == {fault: name for fault, (name, _) in FAULTS.items() if fault not in unsure}


@pytest.mark.parametrize("size", [0, 1, 7, 8, 51, 239, 240, 241, 254, 255, 256, 257, 300, 4095, 4096, 65537])
def test_bounds_are_exact_for_every_size(size: int) -> None:
    data = bytes(size)
    stored = finding("store_past_result", "linux_aarch64", data=data)
    assert (stored.kind, f"{size}, 1 past the end" in stored.what) == ("heap-buffer-overflow-write", True)
    loaded = finding("load_before_input", "linux_aarch64", data=data)
    assert (loaded.kind, "1 before the start" in loaded.what) == ("heap-buffer-overflow-read", True)
    if size:
        assert finding("write_immutable", "linux_aarch64", data=data).kind == "write-to-immutable"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_long_as_length_is_found_where_long_is_short(platform: str) -> None:
    module = load(build("faults/long_for_length.c", platform))
    if platform in LLP64:
        with pytest.raises(Fault) as caught:
            module.run(INPUT)
        assert caught.value.kind == "wrong-output-size"
    else:
        assert module.run(INPUT) == 2 * len(INPUT)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_long_as_pointer_is_found_where_long_is_short(platform: str) -> None:
    module = load(build("faults/long_for_pointer.c", platform))
    if platform in LLP64:
        with pytest.raises(Fault) as caught:
            module.run(INPUT)
        assert caught.value.kind in ("null-pointer", "wild-pointer")
    else:
        assert module.run(INPUT) == INPUT[0]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_misaligned_access_is_found_where_the_cpu_forbids_it(platform: str) -> None:
    sse = ("-msse2",) if platform in ("win32", "linux_i686") else ()
    module = load(build("faults/misaligned_vector.c", platform, *sse))
    if any(cpu in platform for cpu in ("x86", "amd64", "win32", "i686", "armv7l")):
        with pytest.raises(Fault, match="misaligned-access"):
            module.run(INPUT)
    else:
        assert module.run(INPUT) == int.from_bytes(INPUT[1:9], "big" if "s390x" in platform else "little")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_misaligned_atomics_are_found_where_the_cpu_forbids_them(platform: str) -> None:
    inline = ("-mno-outline-atomics",) if platform in ARM64 else ()
    module = load(build("faults/misaligned_atomic.c", platform, *inline))
    assert [module.run(offset) for offset in (0, 8, 48)] == [12, 12, 12]
    x86 = platform in ("win_amd64", "win32", "macosx_10_15_x86_64", "linux_x86_64", "linux_i686")
    for offset in (4, 13):  # the access at 13 crosses a 16-byte boundary
        if x86:
            assert module.run(offset) == 12
        else:
            with pytest.raises(Fault, match="is not a multiple of 8") as caught:
                module.run(offset)
            assert caught.value.kind == "misaligned-access"


@pytest.mark.parametrize("platform", ARM64)
def test_misaligned_acquiring_and_releasing_is_found_though_unicorn_lets_it_pass(platform: str) -> None:
    module = load(build("faults/misaligned_atomic.c", platform, "-DONE_WAY"))
    assert module.run(8) == 12
    with pytest.raises(Fault, match=r"misaligned-access: .* is not a multiple of 8"):
        module.run(13)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_references_of_free_threaded_builds(platform: str) -> None:
    module = load(build("free_threaded.c", platform, abi="cpython-314t"))
    assert str(module.abi_.python) == "CPython 3.14t"
    assert module.run(0) is None
    for wrong, name in [(1, "reference-leak"), (2, "over-decref"), (3, "over-decref")]:
        with pytest.raises(Fault) as caught:
            module.run(wrong)
        assert caught.value.kind == name


@pytest.mark.parametrize("platform", ARM64)
def test_a_wrong_tail_gives_wrong_bytes_from_the_tail_on(platform: str) -> None:
    module = load(build("faults/wrong_tail.c", platform))
    wrong = [size for size in range(64) if module.run(bytes(size)) != (b"\1\2\3\4" * 16)[:size]]
    assert wrong == [size for size in range(17, 64) if size % 16]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_not_answered_is_no_fault_of_the_code(platform: str) -> None:
    module = load(build("faults/calls_unanswered.c", platform))
    with pytest.raises(Unsupported, match="it calls PyEval_GetBuiltins"):
        module.run(INPUT)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_reference_kept_in_a_variable_is_not_lost(platform: str) -> None:
    module = load(build("faults/kept_reference.c", platform))
    assert [module.run(INPUT) for _ in range(3)] == ["kept"] * 3


@pytest.mark.parametrize("platform", PLATFORMS)
def test_memory_has_an_end(platform: str) -> None:
    assert load(build("faults/no_end_of_memory.c", platform)).run(INPUT) == 6


def test_the_module_starts_afresh_after_a_fault() -> None:
    module = load(build("faults/use_after_call.c", "linux_aarch64"))
    for _ in range(3):
        assert module.run(b"first") == -1
        with pytest.raises(Fault, match="use-after-free"):
            module.run(b"second")


def test_a_finding_names_cause_place_and_arguments() -> None:
    text = str(finding("store_past_result", "linux_aarch64", data=b"abc"))
    assert text.startswith(
        "heap-buffer-overflow-write: writes 1 bytes at offset 3, 1 past the end of a new bytes object"
    )
    assert "at run+0x" in text
    assert text.endswith("in run(b'abc')")
