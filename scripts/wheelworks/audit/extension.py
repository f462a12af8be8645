"""Check native files as such: whether they exist, for the right machine, with the right name and exports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import lief

from wheelworks.audit import hardening, platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.linkage import Linkage
from wheelworks.audit.wheel import AuditedWheel, NativeFile, module_name
from wheelworks.core.binary import Binary, name_entry_points
from wheelworks.core.tags import find_compatibility_targets

# Names that linkers and runtimes export by themselves.
_LINKER_SYMBOLS = re.compile(
    r"_init|_fini|_edata|_end|__?bss_start(__)?|__bss_end__|_bss_end__|__end__|__data_start|data_start|"
    r"__odr_asan.*|__rust_no_alloc_shim_is_unstable|rust_eh_personality"
)
_MACOS = "MACOS"  # in LC_BUILD_VERSION; dyld refuses other systems' files
_MACHINE_WORDS = {"x86_64": "x86_64|x64|amd64", "x86": "x86(?!_64)|win32|i[3-6]86", "aarch64": "arm64|aarch64"}
_ENTRY_POINTS = ("PyInit_", "PyModExport_", "PyInitU_", "PyModExportU_")


def check_extension_present(wheel: AuditedWheel) -> Iterator[Finding]:
    """W103: an ABI tag promises an extension module, a platform tag without one some native code."""
    if wheel.is_pure:
        return
    if not wheel.natives:
        yield Finding("W103", f"no member is a PE, ELF or Mach-O file, yet the tag is {_list_tags(wheel)}")
    elif wheel.loading_code:
        return  # Python code may load a library by ctypes or cffi
    elif "none" not in wheel.abis and not any(module_name(member) for member, _ in wheel.natives):
        found = abbreviate(member for member, _ in wheel.natives)
        yield Finding("W103", f"none of the native files is an extension module: {found}")


def check_pure_wheel(wheel: AuditedWheel) -> Iterator[Finding]:
    """W104. Windows' small script launchers, which packaging tools contain, are not extensions."""
    if wheel.is_pure and (found := [member for member, _ in wheel.natives if not member.endswith(".exe")]):
        yield Finding("W104", abbreviate(map(sanitize, found)))


def check_damage(native: NativeFile) -> Iterator[Finding]:
    """W119: headers name bytes beyond the end of the file, or none."""
    parsed = native.parsed
    if isinstance(parsed, lief.PE.Binary):
        ends = [one.pointerto_raw_data + one.sizeof_raw_data for one in parsed.sections]
    elif isinstance(parsed, lief.ELF.Binary):
        ends = hardening.list_segment_ends(native.data) if len(parsed.segments) else []
    else:
        ends = [one.file_offset + one.file_size for one in parsed.segments]
    if not ends:
        yield native.finding("W119", "its headers name no part that would be loaded")
    elif max(ends) > len(native.data):
        evidence = f"the headers name bytes up to {max(ends):#x}, the file ends at {len(native.data):#x}"
        yield native.finding("W119", evidence)


def check_machine(native: NativeFile) -> Iterator[Finding]:
    """W101, W102."""
    wheel = native.wheel
    if not wheel.platforms or native.platforms:
        return
    formats = {platforms.FORMATS[one.os] for one in wheel.platforms}
    cpus = {cpu for one in wheel.platforms for cpu in one.cpus}
    if native.facts.format not in formats:
        yield Finding("W102", f"{native.facts.format} in a wheel for {_list_tags(wheel)}", native.member)
    elif _names_machine(native.member, native.facts.machine):
        return  # a helper for processes of this CPU, as debuggers have them
    elif not native.machines & cpus or len(native.machines) == 1:  # else another half is for the tag's CPU
        yield Finding("W101", f"for {native.facts.machine}, in a wheel for {_list_tags(wheel)}", native.member)


def _names_machine(member: str, machine: str) -> bool:
    """Return whether the name of a file, without what distinguishes modules, says the machine that it is for."""
    stem = member.rsplit("/", 1)[-1].partition(".")[0].casefold()
    words = _MACHINE_WORDS.get(machine, "(?!)")
    return re.search(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])", stem) is not None


def check_other_platforms(wheel: AuditedWheel) -> Iterator[Finding]:
    """W101, W102, W105 and W123 for Android, iOS and Pyodide; W102 for another system's dylib in a wheel for macOS."""
    faults = list(_find_other_kinds(wheel))
    yield from faults
    for one in wheel.other_platforms if not faults else ():
        yield Finding("W123", f"{one.tag}: {one.name}'s libraries, symbols and instructions")


def _find_other_kinds(wheel: AuditedWheel) -> Iterator[Finding]:
    systems = {one.member: one.links.system for one in wheel.linkages}
    for member, facts in wheel.natives:
        if not wheel.platforms and wheel.other_platforms and facts.format:
            yield from _check_kind(member, facts, systems.get(member, ""), wheel)
        elif wheel.platforms and systems.get(member, _MACOS) not in ("", _MACOS):
            yield Finding("W102", f"built for {systems[member]}, in a wheel for {_list_tags(wheel)}", member)


def _check_kind(member: str, facts: Binary, system: str, wheel: AuditedWheel) -> Iterator[Finding]:
    others = wheel.other_platforms
    shown = f"in a wheel for {_list_tags(wheel)}"
    if facts.format not in {one.format for one in others}:
        yield Finding("W102", f"{facts.format} {shown}", member)
    elif facts.machine not in {one.machine for one in others}:
        yield Finding("W101", f"for {facts.machine}, {shown}", member)
    elif system and system not in {one.system for one in others}:
        yield Finding("W102", f"built for {system}, {shown}", member)
    elif module_name(member) and not any(_imports_suffix(member, one, wheel) for one in others):
        suffix = sanitize(member.rsplit("/", 1)[-1].partition(".")[2])
        yield Finding("W105", f"the suffix is .{suffix}, {shown}", member)


def _imports_suffix(member: str, platform: platforms.OtherPlatform, wheel: AuditedWheel) -> bool:
    """Return whether a Python of the tags on this platform imports a module with the member's suffix."""
    infix = member.rsplit("/", 1)[-1].partition(".")[2].removesuffix("so").rstrip(".")
    versions = {abi.removeprefix("cp") for abi in wheel.abis if abi.startswith("cp")}
    stable = {"abi3", "abi3t"} - ({"abi3"} if any(abi.endswith("t") for abi in wheel.abis) else set())
    return infix in {"", *stable, *(f"cpython-{version}-{platform.infix}" for version in versions)}


def check_universal_halves(wheel: AuditedWheel) -> Iterator[Finding]:
    """W117: each Mach-O file of a universal2 wheel must serve both machines."""
    wanted = {cpu for one in wheel.platforms if one.arch == "universal2" for cpu in one.cpus}
    found: dict[str, set[str]] = {}
    for member, facts in wheel.natives:
        if facts.format == "Mach-O":
            found.setdefault(member, set()).add(facts.machine)
    for member, machines in found.items():
        if wanted - machines and wanted & machines:
            yield Finding("W117", f"it lacks {abbreviate(wanted - machines)}", member)


def check_suffix(wheel: AuditedWheel) -> Iterator[Finding]:
    """W105: Python imports files with the suffixes of its own version, ABI and platform, and no others."""
    known = {platform.tag for platform in wheel.platforms}
    tags = frozenset(tag for tag in wheel.name.tags if tag.platform in known)
    targets = find_compatibility_targets(replace(wheel.name, tags=tags))
    abi3t = [target for target in targets if target.abi.endswith("-abi3t")]
    modules = [member for member, _ in wheel.natives if targets and module_name(member)]
    found = {member: member.rsplit("/", 1)[-1].partition(".")[2] for member in modules}
    stable = {
        member.removesuffix(suffix) for member, suffix in found.items() if any(one.imports(suffix) for one in abi3t)
    }
    for member, suffix in found.items():
        # An abi3 file alone isn't enough in an abi3t wheel: free-threaded Pythons don't import it.
        lost = "abi3t" in wheel.abis and member.removesuffix(suffix) not in stable
        if lost or not any(target.imports(suffix) for target in targets):
            shown = f"{'.'.join(sorted(wheel.abis))} for {_list_tags(wheel)}"
            yield Finding("W105", f"the suffix is .{sanitize(suffix)}, the tag {shown}", member)


def check_init_function(wheel: AuditedWheel) -> Iterator[Finding]:
    """W106 (PEP 489, PEP 793), except for what Python code of the wheel uses as a file, whatever its name.

    PyCryptodome loads plain libraries with suffixes of modules by ctypes or cffi, memray one by a debugger. A half of a
    universal library may be empty.
    """
    loaded = {one.member for one in wheel.linkages if wheel.loading_code and _is_plain_library(one)}
    for one in wheel.linkages:
        name = module_name(one.member)
        is_file = name in wheel.named_files or (one.member in loaded and not _uses_python(one.facts))
        if one.is_module and not is_file and not _has_entry_point(one):
            exports = abbreviate(map(sanitize, one.exports)) or "nothing"
            evidence = f"{one.facts.machine}: exports {exports}, not {sanitize(name_entry_points(name)[0])}"
            yield Finding("W106", evidence, one.member)


def _has_entry_point(one: Linkage) -> bool:
    return not one.exports.isdisjoint(name_entry_points(module_name(one.member)))


def _is_plain_library(one: Linkage) -> bool:
    """Return whether a binary offers functions, but no module, and uses nothing of Python."""
    return bool(one.facts.exports) and not _has_entry_point(one) and not _uses_python(one.facts)


def _uses_python(facts: Binary) -> bool:
    named = any(name.startswith(("Py", "_Py")) for name in facts.symbols)
    return named or any(name.startswith("python") for name in facts.libraries)


def check_exports(native: NativeFile) -> Iterator[Finding]:
    """W107."""
    if not native.module or not {*name_entry_points(native.module)} & set(native.facts.exports):
        return
    names = (name for name in native.facts.exports if not name.startswith(_ENTRY_POINTS))
    if extra := [name for name in names if not _LINKER_SYMBOLS.fullmatch(name)]:
        yield native.finding("W107", abbreviate(map(sanitize, extra)))


def _list_tags(wheel: AuditedWheel) -> str:
    return abbreviate(wheel.name.platforms)
