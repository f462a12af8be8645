"""Checks of native files as such: are they there, for the right machine, of the right name, with the right exports."""

from __future__ import annotations

import re
from collections.abc import Iterator

import lief

from wheelworks.audit import platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel, NativeFile, module_name
from wheelworks.core.tags import Platform

# What linkers and runtimes export of their own accord.
_LINKERS = re.compile(
    r"_init|_fini|_edata|_end|__?bss_start(__)?|__bss_end__|_bss_end__|__end__|__data_start|data_start|"
    r"__odr_asan.*|__rust_no_alloc_shim_is_unstable|rust_eh_personality"
)
_TRIPLET = {"glibc": "gnu", "musl": "musl"}
_CPU_IN_TRIPLET = {"i686": "i386", "ppc64le": "powerpc64le", "armv7l": "arm"}


def check_extension_present(wheel: AuditedWheel) -> Iterator[Finding]:
    """W103: an ABI tag promises an extension module, a platform tag alone some native code."""
    if wheel.is_pure:
        return
    if not wheel.natives:
        yield Finding("W103", f"no member is a PE, ELF or Mach-O file, yet the tag is {_tags(wheel)}")
    elif "none" not in wheel.abis and not any(module_name(_file(one), wheel) for one, _ in wheel.natives):
        found = abbreviate(member for member, _ in wheel.natives)
        yield Finding("W103", f"none of the native files is an extension module: {found}")


def check_pure_wheel(wheel: AuditedWheel) -> Iterator[Finding]:
    """W104; Windows' small script launchers, which packaging tools carry, are no extensions."""
    if wheel.is_pure and (found := [one for one, _ in wheel.natives if not one.endswith(".exe")]):
        yield Finding("W104", abbreviate(map(sanitize, found)))


def check_damage(native: NativeFile) -> Iterator[Finding]:
    """W119: headers that name more than there is, or nothing."""
    parsed = native.parsed
    if isinstance(parsed, lief.PE.Binary):
        parts = [one.pointerto_raw_data + one.sizeof_raw_data for one in parsed.sections]
    elif isinstance(parsed, lief.ELF.Binary):
        parts = [one.file_offset + one.physical_size for one in parsed.segments]
    else:
        parts = [one.file_offset + one.file_size for one in parsed.segments]
    if not parts:
        yield Finding("W119", f"{native.label}its headers name no part that would be loaded", native.member)
    elif max(parts) > len(native.data):
        end = f"the headers name bytes up to {max(parts):#x}, the file ends at {len(native.data):#x}"
        yield Finding("W119", f"{native.label}{end}", native.member)


def check_machine(native: NativeFile) -> Iterator[Finding]:
    """W101, W102."""
    wheel = native.wheel
    if not wheel.platforms or native.platforms:
        return
    formats = {platforms.FORMATS[one.os] for one in wheel.platforms}
    if native.facts.format not in formats:
        yield Finding("W102", f"{native.facts.format} in a wheel for {_tags(wheel)}", native.member)
    elif not native.halves & {cpu for one in wheel.platforms for cpu in one.cpus} or len(native.halves) == 1:
        yield Finding("W101", f"for {native.facts.machine}, in a wheel for {_tags(wheel)}", native.member)


def check_universal_halves(wheel: AuditedWheel) -> Iterator[Finding]:
    """W117: each Mach-O file of a universal2 wheel serves both machines."""
    wanted = {cpu for one in wheel.platforms if one.arch == "universal2" for cpu in one.cpus}
    found: dict[str, set[str]] = {}
    for member, facts in wheel.natives:
        if facts.format == "Mach-O":
            found.setdefault(member, set()).add(facts.machine)
    for member, machines in found.items():
        if wanted - machines and wanted & machines:
            yield Finding("W117", f"it lacks {abbreviate(wanted - machines)}", member)


def check_suffix(wheel: AuditedWheel) -> Iterator[Finding]:
    """W105: the import system looks for the suffixes of its own version, ABI and platform, and for no others."""
    found = dict.fromkeys(
        member for member, _ in wheel.natives if wheel.platforms and module_name(_file(member), wheel)
    )
    stable = {_module(one) for one in found if _is_loaded(one, wheel, wheel.abis & {"abi3t"})}
    for member in found:
        # An abi3 file alone won't do: Pythons of abi3t pass it over.
        lost = "abi3t" in wheel.abis and _module(member) not in stable
        if lost or not _is_loaded(member, wheel, wheel.abis):
            tags = f"{'.'.join(sorted(wheel.abis))} for {_tags(wheel)}"
            yield Finding("W105", f"the suffix is .{sanitize(_ending(member))}, the tag {tags}", member)


def _ending(member: str) -> str:
    return _file(member).partition(".")[2]


def _module(member: str) -> str:
    return member.removesuffix(_ending(member))


def _is_loaded(member: str, wheel: AuditedWheel, abis: frozenset[str]) -> bool:
    return any(_loads(_ending(member), abi, one, wheel.floor) for one in wheel.platforms for abi in abis)


def _loads(ending: str, abi: str, platform: Platform, floor: tuple[int, int]) -> bool:
    """Whether Python of ``abi`` on ``platform`` imports files with that ending (PEP 3149, PEP 384, PEP 803)."""
    middle, _, last = ending.rpartition(".")
    if abi == "none" or not abi.startswith(("cp", "abi3")):
        return True
    if platform.os == "windows":
        return last == "pyd" and middle in ("", _own_on_windows(abi, platform))
    if last != "so":
        return False
    stable = (set() if abi.endswith("t") else {"abi3"}) | ({"abi3t"} if floor >= (3, 15) else set())
    return middle in {"", *stable} or middle in _own(abi, platform, floor)


def _own_on_windows(abi: str, platform: Platform) -> str:
    return f"{abi}-{'win32' if platform.arch == 'win32' else 'win_' + platform.arch}"


def _own(abi: str, platform: Platform, floor: tuple[int, int]) -> set[str]:
    if abi.startswith("abi3"):
        return set()
    version = f"cpython-{abi.removeprefix('cp')}"
    if platform.os == "macos":
        return {f"{version}-darwin"}
    cpu = _CPU_IN_TRIPLET.get(platform.arch, platform.arch)
    ends = [_TRIPLET[platform.libc]] if platform.libc else ["gnu", "musl"]
    if floor < (3, 11):
        ends = ["gnu", *ends]  # CPython called musl so, too, before it told them apart
    return {f"{version}-{cpu}-linux-{end}{float_}" for end in ends for float_ in ("", "eabihf", "eabi")}


def check_entry_point(native: NativeFile) -> Iterator[Finding]:
    """W106 (PEP 489, PEP 793)."""
    if native.module and not _entries(native) & set(native.facts.exports):
        exports = abbreviate(map(sanitize, native.facts.exports)) or "nothing"
        yield Finding("W106", f"{native.label}exports {exports}, not PyInit_{sanitize(native.module)}", native.member)


def check_exports(native: NativeFile) -> Iterator[Finding]:
    """W107."""
    if not native.module or not _entries(native) & set(native.facts.exports):
        return
    surplus = [
        name
        for name in native.facts.exports
        if not name.startswith(("PyInit_", "PyModExport_", "PyInitU_")) and not _LINKERS.fullmatch(name)
    ]
    if surplus:
        yield Finding("W107", f"{native.label}{abbreviate(map(sanitize, surplus))}", native.member)


def _entries(native: NativeFile) -> set[str]:
    name = native.module
    if not name.isascii():  # PEP 489
        return {f"PyInitU_{name.encode('punycode').decode().replace('-', '_')}"}
    return {f"PyInit_{name}", f"PyModExport_{name}"}


def _file(member: str) -> str:
    return member.rsplit("/", 1)[-1]


def _tags(wheel: AuditedWheel) -> str:
    return abbreviate(wheel.name.platforms)
