"""Check machine code: which instruction sets it needs of the CPU, and whether it queries the CPU before."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import lief

from wheelworks.audit import disassembly, isa, platforms, thumb
from wheelworks.audit.disassembly import Instruction, find_region
from wheelworks.audit.findings import Finding
from wheelworks.audit.wheel import NativeFile

_CPU_QUERIES = frozenset(
    {"getauxval", "__getauxval", "elf_aux_info", "sysctl", "sysctlbyname", "__cpu_model", "__cpu_indicator_init",
     "__cpuid", "__init_cpu_features_resolver", "__aarch64_cpu_features", "GetEnabledXStateFeatures",
     "__riscv_hwprobe", "__riscv_feature_bits", "__parse_hwcap_and_convert_at_platform"}
)  # fmt: skip
# The arguments of IsProcessorFeaturePresent (winnt.h) that mean instruction sets. Every DLL by Microsoft's compiler
# queries others (fast failure, SSE2), so the function's name alone proves nothing.
_INSTRUCTION_FEATURES = frozenset({30, 31, 34, *range(36, 42), *range(43, 68)})
_ARGUMENT = re.compile(r"(?:ecx|w0), #?(0x[0-9a-f]+|\d+)$|^(0x[0-9a-f]+|\d+)$")
# Microsoft's C runtime executes CPUID when it starts, in every DLL. Near it are these two CPU families.
_RUNTIME_FAMILIES = (bytes.fromhex("f03fff0f"), bytes.fromhex("c0060100"))
# It notes what it found in the variable __isa_available, first 1 (SSE2), then 2 (SSE4.2). In loops that Microsoft's
# compiler vectorises, and in the static C runtime, the code compares this variable before it uses newer instructions.
_VARIABLE = re.compile(r"dword ptr \[(?:(?:rip ([+-]) )?(0x[0-9a-f]+|\d+))\]")
_NEAR = 0x200
_CPUID = b"\x0f\xa2"
_LEAST_READ = 0.9  # of 32-bit ARM code: in files that were read completely, the rest is padding of stubs and tables


def check_baseline(native: NativeFile) -> Iterator[Finding]:
    """W201 to W203."""
    if not native.platforms:
        return
    machine, platform = native.facts.machine, native.platforms[0]
    allowed = platforms.find_baseline(platform.os, machine, platform.version)
    if allowed is None or not isa.supports_machine(machine):
        yield native.finding("W203", f"no baseline is known here for {machine}")
        return
    if _is_arm64x(native):
        yield native.finding("W203", "ARM64X: the audit can't tell which of its code is for x64 processes alone")
        return
    usage = _Usage(native)
    yield from usage.read_code()
    usage.queries_cpu |= usage.tests_runtime_flag()
    allowed |= native.wheel.policy.cpu
    if above := sorted(usage.features.keys() - allowed):
        shown = "; ".join(f"{name}: {', '.join(usage.features[name])}" for name in above)
        is_guarded = usage.queries_cpu or any(_CPU_MODULE.search(name) for name in native.wheel.names)
        yield native.finding("W202" if is_guarded else "W201", shown)
    elif guarded := sorted(usage.guarded.keys() - allowed):
        shown = "; ".join(f"{name}: {', '.join(usage.guarded[name])}" for name in guarded)
        yield native.finding("W202", f"{shown}, each run only if the CPU has it, as in compilers' run-time libraries")


def _is_arm64x(native: NativeFile) -> bool:
    """Return whether a DLL holds code for ARM64 and for emulated x64 processes, as Microsoft's own do."""
    parsed = native.parsed
    if not isinstance(parsed, lief.PE.Binary) or native.facts.machine != "aarch64":
        return False
    return bool(getattr(parsed.load_configuration, "chpe_metadata_pointer", 0))


# What compilers' run-time libraries (libgcc, compiler-rt, libunwind) execute on AArch64 only if a flag says that the
# CPU has it, and in how many instructions before the flag is tested: outlined atomics (LSE), tags of the unwound stack
# (MTE), the state of the matrix extension (SME), whose functions read the thread's register for it first.
_GUARDS = {"lse": 4, "mte": 20, "sme": 40}
# On 32-bit Arm, libunwind saves and restores d16 to d31 in functions of their own, which it calls only to unwind code
# that has saved one of these registers itself, and so needs them (UnwindRegistersSave.S).
_UNWINDING = re.compile(r"v(ld|st)mia r0, \{d16, .*, d31\}")
_FLAG_LOAD = re.compile(r"ldu?rb w(\d+),")
_FLAG_TEST = re.compile(r"(?:cbn?z|tbn?z) [wx](\d+),")
# Modules by which a package's Python code asks for the CPU's features before it imports others.
_CPU_MODULE = re.compile(r"(^|/)_?cpu_?(features|info|id)[^/]*\.(so|pyd)$")


@dataclass
class _Usage:
    """The instruction sets that a binary's code uses, with the first places of each, and whether it queries the CPU."""

    native: NativeFile
    features: dict[str, list[str]] = field(default_factory=dict)
    guarded: dict[str, list[str]] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=max(_GUARDS.values())))
    flags: dict[int, set[str]] = field(default_factory=dict)  # variables that Microsoft's C runtime sets to 1 and 2
    reads: dict[int, list[int]] = field(default_factory=dict)  # variables, and where they are read
    argument: int = 0
    counted: int = 0

    def __post_init__(self) -> None:
        parsed, ifunc = self.native.parsed, lief.ELF.Symbol.TYPE.GNU_IFUNC  # an ifunc's resolver is given the features
        has_ifunc = isinstance(parsed, lief.ELF.Binary) and any(one.type == ifunc for one in parsed.symbols)
        self.queries_cpu = has_ifunc or not self.native.facts.symbols.isdisjoint(_CPU_QUERIES)

    def read_code(self) -> Iterator[Finding]:
        """Read the code, and yield W203 for what wasn't read."""
        native, mixed = self.native, None
        instructions = disassembly.read_instructions(native.parsed, native.facts.machine, native.regions)
        if native.facts.machine == "arm" and isinstance(native.parsed, lief.ELF.Binary):
            mixed = thumb.load_mixed_code(native.parsed, native.regions)
            instructions = mixed.instructions()
        for one in instructions:
            self._add(one)
            if self.queries_cpu and self.counted >= disassembly.ENOUGH:
                return
            if self.counted >= disassembly.MOST_INSTRUCTIONS:
                yield native.finding("W203", f"the code beyond {self.counted} instructions")
                self.queries_cpu = self.queries_cpu or any(_CPUID in region.data for region in native.regions)
                return
        whole = sum(len(one.data) for one in native.regions)
        if mixed and mixed.known < _LEAST_READ * whole:
            known = f"{mixed.known} of {whole} bytes of code can be reached from its exports, relocations and branches"
            yield native.finding("W203", f"{known}; the rest was not read")

    def _add(self, one: Instruction) -> None:
        address, _, mnemonic, operands = one
        machine = self.native.facts.machine
        feature = isa.find_feature(machine, mnemonic, operands)
        self.counted += 1
        is_guarded = bool(feature) and self._is_guarded(feature, f"{mnemonic} {operands}")
        if machine == "aarch64":
            self.recent.append(f"{mnemonic} {operands}")
        if feature:
            places = (self.guarded if is_guarded else self.features).setdefault(feature, [])
            if len(places) < 3:
                places.append(f"{address:#x} {mnemonic or 'bytes'} {operands}".rstrip())
        elif mnemonic == "cpuid":
            self.queries_cpu = self.queries_cpu or not self._is_in_runtime(address)
        elif isa.queries_cpu(machine, mnemonic, operands):
            self.queries_cpu = True
        elif self.native.facts.format == "PE":
            self._add_feature_call(mnemonic, operands)
            if mnemonic in ("mov", "cmp") and (found := _VARIABLE.search(operands)):
                self._add_variable(one, found)

    def _is_guarded(self, feature: str, instruction: str) -> bool:
        """Return whether an instruction is run only on CPUs that have it: the unwinder's, or behind the test of a flag.

        The flag was tested shortly before: a byte that was loaded, or the thread's SME register.
        """
        if self.native.facts.machine == "arm":
            return _UNWINDING.fullmatch(instruction) is not None
        if self.native.facts.machine != "aarch64" or feature not in _GUARDS:
            return False
        loaded: set[str] = set()
        for text in islice(self.recent, max(0, len(self.recent) - _GUARDS[feature]), None):
            if found := _FLAG_LOAD.match(text):
                loaded.add(found[1])
            elif (found := _FLAG_TEST.match(text)) and found[1] in loaded:
                return True
        return feature == "sme" and any("tpidr2_el0" in text for text in self.recent)

    def _add_feature_call(self, mnemonic: str, operands: str) -> None:
        """Notice a call of IsProcessorFeaturePresent for an instruction set."""
        if mnemonic in ("mov", "movz", "push"):
            found = _ARGUMENT.search(operands)
            self.argument = int(found[1] or found[2], 0) if found else self.argument
        elif mnemonic in ("call", "bl", "blr", "jmp"):
            if self.argument in _INSTRUCTION_FEATURES:
                self.queries_cpu |= "IsProcessorFeaturePresent" in self.native.facts.symbols
            self.argument = 0

    def _add_variable(self, one: Instruction, found: re.Match[str]) -> None:
        """Notice a variable that the C runtime sets to 1 or 2, and the places where variables are read."""
        address, size, mnemonic, operands = one
        place = int(found[2], 0)
        if found[1]:
            place = address + size + (place if found[1] == "+" else -place)
        if mnemonic == "cmp" and operands.endswith(", 1"):
            return  # the runtime asks for SSE2 where it handles floating point exceptions
        if mnemonic == "cmp" or not operands.startswith("dword"):
            self.reads.setdefault(place, []).append(address)
        elif operands.endswith((", 1", ", 2")) and self._is_in_runtime(address):
            self.flags.setdefault(place, set()).add(operands[-1])

    def tests_runtime_flag(self) -> bool:
        """Return whether code outside of Microsoft's C runtime's start reads what that found out about the CPU."""
        flags = (flag for flag, values in self.flags.items() if len(values) > 1)
        return any(not self._is_in_runtime(place) for flag in flags for place in self.reads.get(flag, ()))

    def _is_in_runtime(self, address: int) -> bool:
        """Return whether an instruction is beside the CPUID of Microsoft's C runtime."""
        if self.native.facts.format != "PE":
            return False
        region = find_region(self.native.regions, address)
        assert region is not None  # the instruction was read from one
        place = address - region.start
        around = region.data[max(0, place - _NEAR) : place + _NEAR]
        return all(family in around for family in _RUNTIME_FAMILIES)
