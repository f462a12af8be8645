"""Audit one wheel: run every check on it. As a program, it is the worker process of ``workers.py``."""

from __future__ import annotations

import json
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import lief
import msgspec
from msgspec.structs import replace

from wheelworks.audit import (
    archive,
    code,
    compatibility,
    container,
    extension,
    hardening,
    imports,
    installation,
    libraries,
    sdist,
    symbols,
    upload,
    wheel,
)
from wheelworks.audit.findings import FileAudit, Finding, join_halves, join_members, sanitize
from wheelworks.audit.policy import DEFAULT_POLICY, Policy
from wheelworks.audit.wheel import AuditedWheel, MemberContent, NativeFile
from wheelworks.core import binary
from wheelworks.core.archive import DAMAGE
from wheelworks.core.binary import Binary
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name

_MEMORY = 900 << 20  # bytes of writable memory of a worker; with the libraries, it stays below a gigabyte
_CLAIMS = 4  # times a file's size: sound sections cover each byte once, segments about twice

NAME_CHECKS: tuple[Callable[[AuditedWheel], Iterator[Finding]], ...] = (
    archive.check_member_names, archive.check_duplicates, archive.check_file_types, archive.check_modes,
    archive.check_bytecode, archive.check_stray_files, archive.check_top_levels, archive.check_platform_tags,
    compatibility.check_requested, compatibility.check_index_platform, installation.check_info_folders,
    installation.check_data_folders, installation.check_source_layout,
)  # fmt: skip
WHEEL_CHECKS: tuple[Callable[[AuditedWheel], Iterator[Finding]], ...] = (
    archive.check_record, archive.check_metadata, archive.check_wheel_file, archive.check_licence_files,
    archive.check_sboms, archive.check_entry_points, upload.check_wheel, compatibility.check_python,
    installation.check_emptiness, installation.check_startup_files, installation.check_record_rows,
    installation.check_build_number, installation.check_named_modules, installation.check_spelling,
    extension.check_extension_present, extension.check_pure_wheel, extension.check_other_platforms,
    extension.check_universal_halves, extension.check_suffix, extension.check_init_function, libraries.check_libraries,
    symbols.check_undefined_symbols,
)  # fmt: skip
# A binary in which one of these finds something isn't checked further.
FIRST_CHECKS: tuple[Callable[[NativeFile], Iterator[Finding]], ...] = (extension.check_damage, extension.check_machine)
BINARY_CHECKS: tuple[Callable[[NativeFile], Iterator[Finding]], ...] = (
    extension.check_exports, imports.check_symbol_versions, imports.check_stable_abi,
    hardening.check_macos_version, hardening.check_signature, hardening.check_stack, hardening.check_text_relocations,
    hardening.check_writable_code, hardening.check_pe_flags, hardening.check_relro, hardening.check_rpath,
    hardening.check_build_time, hardening.check_debug_information, hardening.check_debug_path, code.check_baseline,
)  # fmt: skip


def inspect_wheel(path: Path, policy: Policy = DEFAULT_POLICY) -> FileAudit:
    """Audit one wheel. Anything wrong with the file becomes a finding, never an exception."""
    found: list[Finding] = []
    audited: AuditedWheel | None = None
    try:
        with zipfile.ZipFile(path) as opened:
            audited = AuditedWheel(path.name, parse_wheel_name(path.name), wheel.list_entries(opened), policy)
            for one in _run_checks(audited, opened, path.stat().st_size):
                found.append(one)  # one by one, so that an error keeps the findings before it
    except DAMAGE as error:
        found.append(Finding("W001", sanitize(f"{type(error).__name__}: {error}")))
    except OSError as error:
        found.append(Finding("W001", sanitize(error.strerror or str(error))))
    except MemoryError:
        found.append(Finding("W002", "reading it takes more memory than the audit may use"))
    except WheelworksError as error:
        found.append(Finding("W003", sanitize(error.message)))
    machines = _list_machines(audited) if audited else {}
    joined = join_members(join_halves(found, machines))
    findings = tuple(replace(one, wheel=path.name) for one in joined)
    if audited is None:
        return FileAudit(path.name, findings, groups=("archive",))
    groups = ("archive", "extension", *(("code", "hardening", "determinism") if audited.natives else ()))
    requires = tuple(archive.read_metadata(audited, "Requires-Dist"))
    return FileAudit(path.name, findings, requires, groups, archive.read_python_versions(audited))


def _list_machines(audited: AuditedWheel) -> dict[str, set[str]]:
    """Return the machines of each binary: several of a universal one."""
    found: dict[str, set[str]] = defaultdict(set)
    for member, facts in audited.natives:
        found[sanitize(member)].add(facts.machine)
    return found


def _run_checks(audited: AuditedWheel, opened: zipfile.ZipFile, packed: int) -> Iterator[Finding]:
    refused = list(wheel.check_limits(audited.entries, packed))
    yield from refused
    ambiguous = [] if refused else list(container.check_container(opened, packed))
    yield from ambiguous
    if refused or any(one.code == container.DIFFERENT for one in ambiguous):
        return  # what is in the wheel depends on who reads it
    yield from upload.check_size(packed)
    if not ambiguous:
        yield from container.check_index_archive(opened, packed)
    for check in NAME_CHECKS:
        yield from check(audited)
    for content in wheel.read_members(opened, audited):
        yield from _check_member(content, audited)
    for check in WHEEL_CHECKS:
        yield from check(audited)


def _check_member(content: MemberContent, audited: AuditedWheel) -> Iterator[Finding]:
    audited.hashes[content.name] = (content.sha256, content.size)
    if content.loading_code and sum(map(len, audited.loading_code.values())) < wheel.MOST_CODE:
        audited.loading_code[content.name] = content.loading_code
    audited.named_files |= content.named_files & audited.module_names
    if content.path:
        yield Finding("W024", content.path, sanitize(content.name))
    if content.is_binary:
        yield from _check_binary(content, audited)
    elif content.data is not None:
        audited.texts[content.name] = content.data
    elif most := wheel.text_limit(content.name, audited):
        evidence = f"{content.size} bytes of metadata; no more than {most} are read"
        yield Finding("W002", evidence, sanitize(content.name))


def _check_binary(content: MemberContent, audited: AuditedWheel) -> Iterator[Finding]:
    readable, data = False, content.data or b""
    if wheel.is_wasm_module(content.name, data):
        audited.natives.append((content.name, Binary("WebAssembly", "wasm32", {}, ())))
        return
    refused = list(_check_binary_size(content))
    for parsed, facts, machines in binary.parts(data) if not refused else ():
        readable = True
        audited.natives.append((content.name, facts))
        start = parsed.fat_offset if isinstance(parsed, lief.MachO.Binary) else 0
        native = NativeFile(audited, content.name, data[start:] if start else data, parsed, facts, machines)
        wrong = [finding for check in FIRST_CHECKS for finding in check(native)]
        if not wrong:
            audited.linkages.append(native.linkage)
        yield from wrong[:1] or (finding for check in BINARY_CHECKS for finding in check(native))
    if not readable:
        audited.natives.append((content.name, Binary("", "", {}, ())))
        evidence = f"it starts with {data[:8].hex(' ')}, and can't be read"
        yield from refused or [Finding("W119", evidence, sanitize(content.name))]


def _check_binary_size(content: MemberContent) -> Iterator[Finding]:
    if content.data is None:
        evidence = f"{content.size} bytes; no more than {wheel.LARGEST_BINARY} are read"
        yield Finding("W120", evidence, sanitize(content.name))
    elif (claimed := hardening.sum_claimed_sizes(content.data)) > _CLAIMS * content.size:
        yield Finding("W119", f"its headers claim {claimed} bytes, of {content.size}", sanitize(content.name))


def main() -> int:
    """Run a worker: audit the files named in the argument (JSON), and print one line of JSON for each."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.loads(sys.argv[1])
    policy = Policy(frozenset(task["cpu"]), task["epoch"])
    for name in task["files"]:
        is_sdist = name.endswith(sdist.SDIST_SUFFIX)
        audit = sdist.inspect_sdist(Path(name)) if is_sdist else inspect_wheel(Path(name), policy)
        sys.stdout.write(json.dumps(msgspec.to_builtins(audit)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
