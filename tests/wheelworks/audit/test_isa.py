"""Test which instruction set an instruction belongs to, for single instructions and for compiled C."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import capstone
import pytest
from wheelworks.audit import disassembly, isa
from wheelworks.audit.code import check_baseline
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.wheel import ArchiveEntry, AuditedWheel, NativeFile
from wheelworks.core import binary
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import wheels
from tests.fixtures.binaries import elf, elf32, pe
from tests.fixtures.executables import PE_BASE, SECTION, Content, make_pe

X86 = {
    "f30f58c1": "",  # addss
    "660fefc0": "",  # pxor
    "f30fbcc0": "",  # tzcnt, which older CPUs run as bsf
    "f30f1efa": "",  # endbr64
    "f20fd0c1": "sse3",  # addsubps
    "660f3800c1": "ssse3",  # pshufb
    "660f3817c1": "sse4.1",  # ptest
    "f20f38f1c1": "sse4.2",  # crc32
    "f30fb8c1": "popcnt",
    "f30fbdc1": "lzcnt",
    "c5f877": "avx",  # vzeroupper
    "c5f5fec2": "avx2",  # vpaddd ymm
    "c4e27598c2": "fma",  # vfmadd132ps
    "62f17548fec2": "avx512",  # vpaddd zmm
    "c4e278f7c1": "bmi1",  # bextr
    "c4e27bf5c1": "bmi2",  # pdep
    "660f38dcc1": "aes",
    "480fc70f": "cx16",
}
ARM = {
    "1f2003d5": "",  # nop
    "3f2303d5": "",  # paciasp, a hint
    "2000028b": "",  # add
    "207c5f88": "",  # ldxr
    "2000e1f8": "lse",  # ldaddal
    "2000e0b8": "lse",
    "20c0bfb8": "rcpc",  # ldapr
    "2094824e": "dotprod",  # sdot
    "20a4824e": "i8mm",  # smmla
    "20004004": "sve",  # add z0.h, p0/m
    "2048284e": "aes",
    "2040c21a": "crc",
    "ff0b5fd6": "pauth",  # retaa
    "7f4403d5": "sme",  # smstop za
    "000020e1": "sme",  # str za[w12, 0]
}


THUMB = {
    "c0ef5100": "neon",  # vmov.i32 q8
    "90fbf1f0": "idiv",  # sdiv
    "a1ee002a": "vfpv4",  # vfma.f32 s
    "30ee011a": "",  # vadd.f32 s2
    "30ee010b": "",  # vadd.f64 d0
    "00ef010d": "neon",  # vadd.f32 d0, a vector of two floats
    "70ee a00b".replace(" ", ""): "d32",  # vadd.f64 d16
    "d0e8af0f": "armv8",  # lda
}
POWER = {
    "1222a37c": "power9",  # modud
    "00400005": "power10",  # xxspltiw's prefix
    "00000006": "power10",  # paddi's
    "1422637c": "",  # add
    "00000000": "",
    "41000900": "",  # data: a traceback table
    "88fbffff": "",  # data: a small negative number, which decodes as xsnmaddqp
}
Z = {
    "e70000030045": "vx",  # vrepib
    "e7002010300e": "vx",  # vst with a hint, which capstone doesn't know
    "ec1400bb0059": "zec12",  # risbgn
    "b9e51044": "z15",  # ncrk
    "b9e21024": "",  # locgr, which the z196 has
    "18ff": "",
}
RISCV = {
    "5777160c": "rvv",
    "33a5c520": "zba",  # sh1add
    "33f5c540": "zbb",  # andn
    "13d5856b": "zbb",  # rev8
    "3395c528": "zbs",  # bset
    "33d5c50e": "zicond",  # czero.eqz
    "5385c504": "zfh",  # fadd.h
    "3385c502": "",  # mul
    "0145": "",  # c.li
}
MACHINES = {
    "x86_64": (X86, capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (ARM, capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN),
    "arm": (THUMB, capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_V8),
    "powerpc64le": (POWER, capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN),
    "s390x": (Z, capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
    "riscv64": (RISCV, capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
}
CASES = [(machine, code, feature) for machine, (codes, *_) in MACHINES.items() for code, feature in codes.items()]


def test_what_asks_the_cpu() -> None:
    for machine, code in {"riscv64": "13052010", "s390x": "b2b0f0a0", "aarch64": "000638d5"}.items():
        [found] = capstone.Cs(*MACHINES[machine][1:]).disasm_lite(bytes.fromhex(code), 0)
        assert isa.queries_cpu(machine, *found[2:]), found
        assert not any(isa.queries_cpu(other, *found[2:]) for other in MACHINES if other != machine)


@pytest.mark.parametrize(("machine", "code", "feature"), CASES)
def test_the_set_of_an_instruction(machine: str, code: str, feature: str) -> None:
    decoder = capstone.Cs(*MACHINES[machine][1:])
    found = [one[2:] for one in decoder.disasm_lite(bytes.fromhex(code), 0)] or [("", code)]
    assert [isa.find_feature(machine, *one) for one in found] == [feature]
    assert feature in isa.FEATURES | {""}


# C for which a compiler uses newer instructions on every architecture when it may use more than the baseline.
SOURCE = """
typedef unsigned char byte;
typedef unsigned long long wide;
int helper(int a, int b) { return a / b; }
static double fused(double a, double b, double c) { return a * b + c; }
static wide rest(wide a, wide b) { return b ? (a % b) + (a & ~b) + (wide)__builtin_ctzll(a) : 0; }
static void mask(byte *restrict to, const byte *restrict from, long size) {
    for (long i = 0; i < size; i++) to[i] ^= from[i] + 3;
}
static int chosen(int x) {
    switch (x) { case 0: return helper(x, 3); case 1: return 88; case 2: return helper(5, x); case 3: return -1;
                 case 4: return x * x; case 5: return 17; case 6: return x ^ 9; default: return 0; }
}
void *PyInit_sample(byte *to, const byte *from, long size, double *d) {
    mask(to, from, size);
    d[0] = fused(d[0], d[1], d[2]) + (double)chosen((int)size);
    return (void *)(unsigned long)rest((wide)size, (wide)*from);
}
"""
LINUX = {
    "manylinux_2_17_armv7l": ("arm-linux-gnueabihf.2.17", "generic+v7a+vfp3d16-neon-d32", "cortex_a15"),
    "manylinux_2_31_armv7l": ("thumb-linux-gnueabihf.2.17", "generic+v7a+vfp3d16-neon-d32", "cortex_a15"),
    "manylinux_2_19_ppc64le": ("powerpc64le-linux-gnu.2.19", "baseline", "pwr9"),
    "manylinux_2_34_ppc64le": ("powerpc64le-linux-gnu.2.19", "pwr8", "pwr10"),
    "manylinux_2_17_s390x": ("s390x-linux-gnu.2.17", "z196", "z13"),
    "manylinux_2_28_s390x": ("s390x-linux-gnu.2.17", "arch8", "z16"),
    "manylinux_2_31_riscv64": ("riscv64-linux-gnu.2.31", "baseline", "baseline+v"),
    "manylinux_2_39_riscv64": ("riscv64-linux-gnu.2.31", "baseline", "baseline+zba+zbb+zicond"),
}


@pytest.mark.integration
@pytest.mark.parametrize("tag", LINUX)
def test_what_a_compiler_makes_of_c_for_the_baseline_and_above(tag: str, tmp_path: Path) -> None:
    target, low, high = LINUX[tag]
    for model, expected in ((low, set()), (high, {"W201"})):
        found = {one.code for one in inspect_wheel(_compiled(tmp_path, tag, target, model)).findings}
        assert found & {"W201", "W202"} == expected, model


def _compiled(folder: Path, tag: str, target: str, model: str, text: str = SOURCE) -> Path:
    source, made = folder / "sample.c", folder / "sample.so"
    source.write_text(text)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={model}", "-O3", "-shared", "-s"]
    command += ["-nostdlib", "-ffp-contract=fast", "-fno-sanitize=undefined", "-o", str(made), str(source)]
    subprocess.run(command, check=True)
    return wheels.wheel(folder, f"cp311-abi3-{tag}", {"sample.abi3.so": made.read_bytes()})


@pytest.mark.integration
def test_a_module_that_asks_is_not_an_error(tmp_path: Path) -> None:
    """Code that chooses its instructions at run time calls getauxval()."""
    asking = SOURCE.replace("{\n    mask", "{\n    if (!getauxval(16)) return to;\n    mask")
    assert asking != SOURCE
    text = "unsigned long getauxval(unsigned long);" + asking
    wheel = _compiled(tmp_path, "manylinux_2_19_ppc64le", "powerpc64le-linux-gnu.2.19", "pwr9", text)
    assert {one.code for one in inspect_wheel(wheel).findings} & {"W201", "W202"} == {"W202"}


GUARDED = {
    "outlined atomics": ("10024039500000342000e1f8", "ldrb w16, [x16]; cbz w16; ldaddal"),
    "stack tags": ("a8c35b3848000036080920d9", "ldurb w8, [x29, #-0x44]; tbz w8, #0; stg x8, [x8]"),
    "matrix state": ("b0d03bd5500000b47f4403d5", "mrs x16, tpidr2_el0; cbz x16; smstop za"),
}
NOPS = "1f2003d5" * 20


@pytest.mark.parametrize("code", [code for code, _ in GUARDED.values()], ids=list(GUARDED))
def test_what_run_time_libraries_guard_by_a_flag_is_information(code: str) -> None:
    assert _audit_aarch64(NOPS + code + NOPS) == ["W202"]
    assert _audit_aarch64(NOPS + code[-8:] + NOPS) == ["W201"]
    assert _audit_aarch64(NOPS + code + NOPS * 3 + code[-8:] + NOPS) == ["W201"]


@pytest.mark.integration
@pytest.mark.parametrize(("register", "code"), [("r0", "W202"), ("r1", "W201")])
def test_what_the_unwinder_does_for_code_that_did_it_before_is_information(
    register: str, code: str, tmp_path: Path
) -> None:
    """It is a function of libunwind; a compiler's code has the array elsewhere, or leaves these registers alone."""
    assembly = f".fpu vfpv3\\n vldmia {register}, {{d16-d31}}\\n bx lr"
    text = f'__attribute__((naked)) void *PyInit_sample(void) {{ __asm__("{assembly}"); }}\n'
    target, model = "arm-linux-gnueabihf.2.17", "generic+v7a+vfp3d16-neon-d32"
    wheel = _compiled(tmp_path, "manylinux_2_17_armv7l", target, model, text)
    assert {one.code for one in inspect_wheel(wheel).findings} & {"W201", "W202"} == {code}


def test_a_package_may_ask_the_cpu_in_a_module_of_its_own() -> None:
    code = NOPS + GUARDED["outlined atomics"][0][-8:] + NOPS
    assert _audit_aarch64(code, "sample/_cpu_features.abi3.so") == ["W202"]
    assert _audit_aarch64(code, "sample/_other.abi3.so") == ["W201"]


# What Microsoft's C runtime does at the start: CPUID, two CPU families, 1 and 2 in the variable at 0x1800.
MSVC_START = "0fa225f03fff0f3dc0060100c705ea07000001000000c705e007000002000000c3"
PMAXUD = "660f383fdc"


@pytest.mark.parametrize(
    ("guard", "code"),
    [
        ("833df9030000027c05", "W202"),  # cmp dword ptr [rip + 0x3f9], 2; jl
        ("8b05fa03000083f8027c05", "W202"),  # mov eax, dword ptr [rip + 0x3fa]; cmp eax, 2; jl
        ("833dfd030000027c05", "W201"),  # another variable
        ("", "W201"),
    ],
)
def test_what_microsofts_compiler_guards_by_its_run_time_librarys_variable(guard: str, code: str) -> None:
    text = bytes.fromhex(MSVC_START).ljust(0x400, b"\xcc") + bytes.fromhex(f"{guard}{PMAXUD}c3")
    table = struct.pack("<IIIIII", 0x1000, 0x1000 + len(bytes.fromhex(MSVC_START)), 0, 0x1400, 0x1000 + len(text), 0)
    assert _audit(pe(text.ljust(0x900, b"\xcc"), table), "win_amd64") == [code]


def test_code_that_was_not_compared_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = bytes.fromhex(NOPS)
    assert _audit(elf(code, machine=258), "manylinux_2_36_loongarch64") == ["W203"]
    assert _audit(elf(code, machine=183), "manylinux_2_17_aarch64") == []
    monkeypatch.setattr(disassembly, "MOST_INSTRUCTIONS", 19)
    assert _audit(elf(code, machine=183), "manylinux_2_17_aarch64") == ["W203"]


def test_code_of_32_bit_arm_that_nothing_refers_to_is_named() -> None:
    code = bytes.fromhex("1eff2fe1" + "00f020e3" * 20)  # bx lr; nop
    assert _audit(elf32(code, 40), "manylinux_2_17_armv7l") == ["W203"]


@pytest.mark.parametrize(("pointer", "found"), [(0, []), (PE_BASE + SECTION, ["W203"])])
def test_a_dll_with_code_for_emulated_processes_too_is_named(pointer: int, found: list[str]) -> None:
    content = Content(SECTION)
    content.add(b"\xc0\x03\x5f\xd6")
    settings = content.add(struct.pack("<I196xQ112x", 0x140, pointer))  # CHPEMetadataPointer
    assert _audit(make_pe(bytes(content.data), {10: (settings, 0x140)}), "win_arm64") == found


def _audit_aarch64(code: str, another: str = "") -> list[str]:
    return _audit(elf(bytes.fromhex(code), machine=183), "manylinux_2_17_aarch64", another)


def _audit(data: bytes, platform: str, another: str = "") -> list[str]:
    """Return the findings about the instructions of a wheel for a platform, whose module is this binary."""
    name = f"sample-1.0-cp311-abi3-{platform}.whl"
    audited = AuditedWheel(name, parse_wheel_name(name), (ArchiveEntry(another, 1, 0),), DEFAULT_POLICY)
    found: list[str] = []
    for parsed, facts, machines in binary.parts(data):
        native = NativeFile(audited, "sample/_native.abi3.so", b"", parsed, facts, machines)
        found += [one.code for one in check_baseline(native)]
    return found
