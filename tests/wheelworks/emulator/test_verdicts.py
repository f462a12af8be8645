"""A wheel is called failed with evidence only: what isn't emulated, or isn't a module, makes it unsupported."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import lief
import pytest
from wheelworks.core.image import MAX_FILE
from wheelworks.core.verdict import Verdict
from wheelworks.emulator import RunLimits, load
from wheelworks.emulator.wheel_tests import smoke_test

from tests.fixtures.builds import build
from tests.fixtures.executables import make_universal

pytestmark = pytest.mark.integration
WINDOWS_64 = ("win_arm64", "win_amd64")


def run(folder: Path, tag: str, **members: bytes) -> Verdict:
    """Smoke-test a wheel with these members; "__" in a name stands for a dot."""
    path = folder / f"fixture-1-cp311-abi3-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"fixture/{name.replace('__', '.')}", data)
    return smoke_test(path)


def run_source(folder: Path, source: str, tag: str, *defines: str, entry: str = "") -> Verdict:
    return run(folder, tag, fixture__pyd=build(f"startup/{source}", tag, *defines, entry=entry).read_bytes())


# -- binaries that are no modules


@pytest.mark.parametrize("tag", ["win_arm64", "win32", "macosx_11_0_arm64", "linux_aarch64"])
def test_a_library_that_only_looks_like_a_module(tag: str, tmp_path: Path) -> None:
    verdict = run(tmp_path, tag, fixture__pyd=build("startup/library.c", tag).read_bytes())
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert verdict.why.startswith("fixture/fixture.pyd isn't a Python module: programs load it by ctypes or cffi")


def test_a_library_beside_a_module_is_left_alone(tmp_path: Path) -> None:
    library, module = build("startup/library.c", "linux_aarch64"), build("api.c", "linux_aarch64")
    verdict = run(tmp_path, "linux_aarch64", libhelp__so=library.read_bytes(), fixture__abi3__so=module.read_bytes())
    assert (verdict.outcome, verdict.why) == ("passed", "")


def test_a_library_for_another_cpu_than_the_tags_is_no_finding(tmp_path: Path) -> None:
    """Debuggers bring libraries for the processes that they attach to, of any CPU."""
    module, other = build("api.c", "linux_aarch64"), build("startup/library.c", "linux_x86_64")
    verdict = run(tmp_path, "linux_aarch64", attach__so=other.read_bytes(), fixture__abi3__so=module.read_bytes())
    assert verdict.outcome == "passed"


# -- start-up code of Windows


@pytest.mark.parametrize("tag", WINDOWS_64)
def test_start_up_code_runs_before_the_import(tag: str, tmp_path: Path) -> None:
    verdict = run_source(tmp_path, "entry.c", tag, entry="start_library")
    assert (verdict.outcome, verdict.why) == ("passed", "")


def test_a_fault_after_the_start_up_code_has_run_is_a_finding(tmp_path: Path) -> None:
    verdict = run_source(tmp_path, "entry.c", "win_arm64", "-DREADS_NULL", entry="start_library")
    assert verdict.outcome == "failed"
    assert verdict.findings[0].startswith("null-pointer: reads")


@pytest.mark.parametrize(
    ("define", "why"),
    [
        ("-DCALLS_UNKNOWN", "it calls PyEval_GetBuiltins, which isn't emulated"),
        ("-DREFUSES", "DllMain reported failure"),
    ],
)
def test_a_fault_without_start_up_code_proves_nothing(define: str, why: str, tmp_path: Path) -> None:
    verdict = run_source(tmp_path, "entry.c", "win_arm64", define, entry="start_library")
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert f"its start-up code can't be run ({why}), and without it: null-pointer" in verdict.why


def test_a_module_that_works_without_its_start_up_code_passes(tmp_path: Path) -> None:
    verdict = run_source(tmp_path, "entry.c", "win_arm64", "-DCALLS_UNKNOWN", "-DNEEDS_NOTHING", entry="start_library")
    assert verdict.outcome == "passed"


@pytest.mark.parametrize("tag", WINDOWS_64)
def test_thread_local_variables_of_windows(tag: str) -> None:
    module = load(build("startup/thread_local.c", tag, "-fno-emulated-tls", entry="start_library"))
    assert module.not_started_ == ""
    assert [module.count(), module.count()] == [80101, 90201]


def test_a_definition_on_the_heap(tmp_path: Path) -> None:
    """As orjson has: its module is created by what PyInit returns, wherever that is."""
    verdict = run_source(tmp_path, "heap_definition.c", "win_arm64")
    assert (verdict.outcome, verdict.why) == ("passed", "")


# -- imports, instructions, exceptions, time and size


def test_an_import_by_ordinal_is_no_fault(tmp_path: Path) -> None:
    plain = build("faults/calls_unanswered.c", "win_arm64").read_bytes()
    parsed = lief.PE.parse(plain)
    assert isinstance(parsed, lief.PE.Binary)
    entry = next(entry for entry in parsed.imports[0].entries if entry.name == "PyEval_GetBuiltins")
    changed = plain.replace(struct.pack("<Q", entry.data), struct.pack("<Q", 1 << 63 | 7))
    assert changed != plain
    assert run(tmp_path, "win_arm64", fixture__pyd=changed).outcome == "passed"


def test_an_instruction_that_only_the_emulated_cpu_lacks(tmp_path: Path) -> None:
    source = "startup/instruction.c"
    binary = build(source, "linux_x86_64", '-DINSTRUCTION="vpaddd %ymm0, %ymm0, %ymm0"', "-mavx2")
    verdict = run(tmp_path, "linux_x86_64", fixture__abi3__so=binary.read_bytes())
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert "it executes the instruction vpaddd, which the emulated CPU doesn't have" in verdict.why


@pytest.mark.parametrize("tag", ["linux_x86_64", "linux_aarch64", "linux_i686"])
def test_a_trap_is_a_finding(tag: str, tmp_path: Path) -> None:
    verdict = run(tmp_path, tag, fixture__abi3__so=build("startup/instruction.c", tag).read_bytes())
    assert verdict.outcome == "failed"
    assert verdict.findings[0].startswith("illegal-instruction")


def test_an_exception_that_the_emulated_api_raises_is_no_finding(tmp_path: Path) -> None:
    verdict = run_source(tmp_path, "missing_attribute.c", "win_arm64")
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert "its import ends with AttributeError" in verdict.why


def test_a_slow_machine_is_no_finding() -> None:
    module = load(build("faults/endless_loop.c", "linux_aarch64"), limits=RunLimits(1 << 40, 0.2))
    with pytest.raises(Exception, match=r"still runs after 0\.2 s: this machine is too slow"):
        module.run(b"")


def test_files_that_are_too_large(tmp_path: Path) -> None:
    verdict = run(tmp_path, "win_arm64", fixture__pyd=bytes(MAX_FILE + 1))
    assert (verdict.outcome, verdict.findings) == ("unsupported", ())
    assert "holds more than 64 MiB" in verdict.why


# -- tags


@pytest.mark.parametrize("complete", [True, False])
def test_every_tag_of_a_universal_wheel_needs_its_code(complete: bool, tmp_path: Path) -> None:
    parts = {"aarch64": build("api.c", "macosx_11_0_arm64").read_bytes()}
    if complete:
        parts["x86_64"] = build("api.c", "macosx_10_15_x86_64").read_bytes()
    tags = "macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2"
    verdict = run(tmp_path, tags, fixture__abi3__so=make_universal(parts))
    assert verdict.outcome == ("passed" if complete else "failed")
    assert complete or "for aarch64 macos, but the wheel is tagged macosx_10_15_universal2" in verdict.findings[0]
