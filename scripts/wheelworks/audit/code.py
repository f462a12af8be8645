"""Checks of the machine code itself: what it asks of the CPU, and whether it asks the CPU first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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
# winnt.h: the processor features that are sets of instructions. Every DLL that Microsoft's compiler makes asks for
# others (fast failure, SSE2), so that the function's name alone says nothing.
_FEATURES = frozenset({30, 31, 34, *range(36, 42), *range(43, 68)})
_ARGUMENT = re.compile(r"(?:ecx|w0), #?(0x[0-9a-f]+|\d+)$|^(0x[0-9a-f]+|\d+)$")
# Microsoft's C runtime asks CPUID when it starts, in every DLL; these are two of the CPU families that it looks for.
_RUNTIME = (bytes.fromhex("f03fff0f"), bytes.fromhex("c0060100"))
_NEAR = 0x200
_MOST_REACHED = 0.9  # of ARM's code: the rest is stubs' and tables' padding in files that are wholly known


@dataclass
class _Usage:
    """What a binary's code uses of each instruction set, with the first place of each; and whether it asks."""

    found: dict[str, list[str]] = field(default_factory=dict)
    asks: bool = False
    argument: int = 0
    before: str = ""
    counted: int = 0


def check_baseline(native: NativeFile) -> Iterator[Finding]:
    """W201 to W203."""
    if not native.platforms:
        return
    allowed = platforms.find_baseline(native.platforms[0].os, native.facts.machine, native.platforms[0].version)
    if allowed is None or not isa.supports_machine(native.facts.machine):
        yield Finding("W203", f"{native.label}no baseline is known here for {native.facts.machine}", native.member)
        return
    if _is_arm64x(native):
        why = "ARM64X: which of its code is for x64 processes alone isn't told apart here"
        yield Finding("W203", f"{native.label}{why}", native.member)
        return
    uses = _Usage(asks=_queries_cpu_by_name(native))
    yield from _read_code(native, uses)
    if above := sorted(uses.found.keys() - allowed - native.wheel.policy.cpu):
        shown = "; ".join(f"{name}: {', '.join(uses.found[name])}" for name in above)
        yield Finding("W202" if uses.asks else "W201", f"{native.label}{shown}", native.member)


def _read_code(native: NativeFile, uses: _Usage) -> Iterator[Finding]:
    """Read the code, and tell of what wasn't."""
    mixed = None
    if native.facts.machine == "arm" and isinstance(native.parsed, lief.ELF.Binary):
        mixed = thumb.load_mixed_code(native.parsed, native.regions)
    for one in (
        mixed.instructions()
        if mixed
        else disassembly.read_instructions(native.parsed, native.facts.machine, native.regions)
    ):
        _note_instruction(one, native, uses)
        if uses.asks and uses.counted >= disassembly.ENOUGH:
            return
        if uses.counted >= disassembly.MOST_INSTRUCTIONS:
            yield Finding("W203", f"{native.label}the code beyond {uses.counted} instructions", native.member)
            uses.asks = uses.asks or _has_cpuid(native)
            return
    whole = sum(len(one.data) for one in native.regions)
    if mixed and mixed.known < _MOST_REACHED * whole:
        known = f"{mixed.known} of {whole} bytes of code can be reached from its exports, relocations and branches"
        yield Finding("W203", f"{known}; nothing is known of the rest", native.member)


def _is_arm64x(native: NativeFile) -> bool:
    """Whether a DLL holds code for ARM64 and for emulated x64 processes, as Microsoft's own do."""
    parsed = native.parsed
    if not isinstance(parsed, lief.PE.Binary) or native.facts.machine != "aarch64":
        return False
    return bool(getattr(parsed.load_configuration, "chpe_metadata_pointer", 0))


def _queries_cpu_by_name(native: NativeFile) -> bool:
    if native.facts.symbols & _CPU_QUERIES:
        return True
    parsed = native.parsed  # an ifunc's resolver is given the CPU's capabilities
    return isinstance(parsed, lief.ELF.Binary) and any(
        one.type == lief.ELF.Symbol.TYPE.GNU_IFUNC for one in parsed.symbols
    )


def _note_instruction(one: Instruction, native: NativeFile, uses: _Usage) -> None:
    address, _, mnemonic, operands = one
    uses.counted += 1
    machine = native.facts.machine
    feature = isa.find_feature(machine, mnemonic, operands)
    if feature == "lse" and uses.before.startswith("cbz w16"):
        uses.asks = True  # libgcc's outline atomics, behind a flag that is set when the library is loaded
    uses.before = f"{mnemonic} {operands}" if machine == "aarch64" else ""
    if feature:
        places = uses.found.setdefault(feature, [])
        if len(places) < 3:
            places.append(f"{address:#x} {mnemonic or 'bytes'} {operands}".rstrip())
    elif mnemonic == "cpuid":
        uses.asks = uses.asks or not _is_from_runtime(native, address)
    elif isa.queries_cpu(machine, mnemonic, operands):
        uses.asks = True
    elif native.facts.format == "PE":
        _note_feature_call(mnemonic, operands, native, uses)


def _note_feature_call(mnemonic: str, operands: str, native: NativeFile, uses: _Usage) -> None:
    """Notice a call of IsProcessorFeaturePresent for a set of instructions."""
    if mnemonic in ("mov", "movz", "push"):
        found = _ARGUMENT.search(operands)
        uses.argument = int(found[1] or found[2], 0) if found else uses.argument
    elif mnemonic in ("call", "bl", "blr", "jmp"):
        asked = uses.argument in _FEATURES and "IsProcessorFeaturePresent" in native.facts.symbols
        uses.asks, uses.argument = uses.asks or asked, 0


def _is_from_runtime(native: NativeFile, address: int) -> bool:
    if native.facts.format != "PE":
        return False
    region = find_region(native.regions, address)
    assert region is not None  # the instruction came out of one
    place = address - region.start
    around = region.data[max(0, place - _NEAR) : place + _NEAR]
    return all(mark in around for mark in _RUNTIME)


def _has_cpuid(native: NativeFile) -> bool:
    return any(b"\x0f\xa2" in region.data for region in native.regions)
