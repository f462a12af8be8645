"""All checks of one wheel, in their order."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import lief

from wheelworks.audit import archive, code, extension, hardening, headers, imports, macos, metadata, reading
from wheelworks.audit.finding import Finding, printable
from wheelworks.audit.reading import Content
from wheelworks.audit.subject import DEFAULT, Native, Policy, Wheel
from wheelworks.core import binary
from wheelworks.core.archive import DAMAGE
from wheelworks.core.binary import Binary
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import parse_wheel_name

NAMES: tuple[Callable[[Wheel], Iterator[Finding]], ...] = (
    archive.escaping, archive.duplicates, archive.links, archive.modes, archive.bytecode, archive.stray,
    archive.top_levels, metadata.unknown_platforms,
)  # fmt: skip
WHOLE: tuple[Callable[[Wheel], Iterator[Finding]], ...] = (
    archive.record, metadata.metadata, metadata.wheel_file, metadata.licences, metadata.sboms, metadata.entry_points,
    extension.missing, extension.in_pure, extension.halves, extension.suffix,
)  # fmt: skip
# Nothing more is asked of a binary that one of these finds something in.
FIRST: tuple[Callable[[Native], Iterator[Finding]], ...] = (extension.damage, extension.machine)
NATIVE: tuple[Callable[[Native], Iterator[Finding]], ...] = (
    extension.entry_point, extension.exports,
    imports.libraries, imports.versions, imports.undefined, imports.stable_abi, macos.minimum, macos.signed,
    hardening.stack, hardening.text_relocations, hardening.writable_code, hardening.pe_flags, hardening.relro,
    hardening.rpath, hardening.build_time, hardening.debug_information, hardening.debug_path, code.baseline,
)  # fmt: skip


_CLAIMS = 4  # times a file's size: its sections are of each byte once, its segments twice or so


@dataclass(frozen=True)
class Report:
    """What was found in a wheel, the groups of checks that it went through, and what it states of its needs."""

    file: str
    findings: tuple[Finding, ...]
    requires: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    pythons: tuple[tuple[int, int], ...] = ()


def inspect(path: Path, policy: Policy = DEFAULT) -> Report:
    """Audit one wheel. Whatever is wrong with the file is a finding, never an exception."""
    found: list[Finding] = []
    wheel: Wheel | None = None
    try:
        with zipfile.ZipFile(path) as opened:
            wheel = Wheel(path.name, parse_wheel_name(path.name), reading.entries(opened), policy)
            for one in _inspect(wheel, opened, path.stat().st_size):
                found.append(one)  # one by one: what was found before an error stays
    except DAMAGE as error:
        found.append(Finding("W001", printable(f"{type(error).__name__}: {error}")))
    except OSError as error:
        found.append(Finding("W001", printable(error.strerror or str(error))))
    except MemoryError:
        found.append(Finding("W002", "reading it takes more memory than the audit may use"))
    except WheelworksError as error:
        found.append(Finding("W003", printable(error.message)))
    findings = tuple(replace(one, wheel=path.name) for one in dict.fromkeys(found))
    if wheel is None:
        return Report(path.name, findings, groups=("archive",))
    return Report(path.name, findings, metadata.requires(wheel), _groups(wheel), metadata.pythons(wheel))


def _groups(wheel: Wheel) -> tuple[str, ...]:
    whole = ("archive", "extension", "code", "hardening", "determinism")
    return whole if wheel.natives else whole[:2]


def _inspect(wheel: Wheel, opened: zipfile.ZipFile, packed: int) -> Iterator[Finding]:
    refused = list(reading.within(wheel.entries, packed))
    yield from refused
    if not refused:
        yield from _run(NAMES, wheel)
        for content in reading.contents(opened, wheel):
            yield from _member(content, wheel)
        yield from _run(WHOLE, wheel)


def _run(checks: Iterable[Callable[[Wheel], Iterator[Finding]]], wheel: Wheel) -> Iterator[Finding]:
    for check in checks:
        yield from check(wheel)


def _member(content: Content, wheel: Wheel) -> Iterator[Finding]:
    wheel.hashes[content.name] = (content.sha256, content.size)
    if content.path:
        yield Finding("W024", content.path, printable(content.name))
    if content.is_binary:
        yield from _binary(content, wheel)
    elif content.data is not None:
        wheel.texts[content.name] = content.data
    elif most := reading.most_text(content.name, wheel):
        yield Finding(
            "W002", f"{content.size} bytes of metadata; no more than {most} are read", printable(content.name)
        )


def _binary(content: Content, wheel: Wheel) -> Iterator[Finding]:
    readable, data = False, content.data or b""
    wrong = list(_refused(content))
    for parsed, facts, machines in binary.parts(data) if not wrong else ():
        readable = True
        wheel.natives.append((content.name, facts))
        start = parsed.fat_offset if isinstance(parsed, lief.MachO.Binary) else 0
        yield from _part(Native(wheel, content.name, data[start:] if start else data, parsed, facts, machines))
    if not readable:
        wheel.natives.append((content.name, Binary("", "", {}, ())))
        told = f"it starts with {data[:8].hex(' ')}, and can't be read"
        yield from wrong or [Finding("W119", told, printable(content.name))]


def _refused(content: Content) -> Iterator[Finding]:
    if content.data is None:
        yield Finding("W120", f"{content.size} bytes; no more than {reading.LARGEST_BINARY} are read", content.name)
    elif (claimed := headers.claimed(content.data)) > _CLAIMS * content.size:
        yield Finding("W119", f"its headers claim {claimed} bytes, of {content.size}", printable(content.name))


def _part(native: Native) -> Iterator[Finding]:
    wrong = [finding for check in FIRST for finding in check(native)]
    yield from wrong[:1] or (finding for check in NATIVE for finding in check(native))
