"""Check an archive's names, modes, RECORD and ``.dist-info``, by PEP 427, its successors, and the PyPA specifications.

Each check yields findings; its docstring names their codes.
"""

from __future__ import annotations

import configparser
import csv
import io
import json
import math
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from packaging import errors
from packaging.metadata import Metadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel

# Windows' separators and streams, and control characters.
_FORBIDDEN_IN_NAMES = frozenset("\\:\x7f") | frozenset(map(chr, range(32)))
STRAY = re.compile(
    r"(^|/)(\.git|\.hg|\.svn|\.tox|\.nox|\.venv|\.mypy_cache|\.pytest_cache|\.ruff_cache|\.hypothesis|\.idea|\.vscode"
    r"|__MACOSX)/"
    r"|(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|\.coverage|\.gitignore|\.gitattributes|core)$"
    r"|\.(orig|rej|swp|swo|o|obj|exp|ilk|pdb|gcda|gcno|nbc|nbi|tmp)$"
    r"|~$"
)
_COMMON_NAMES = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "build", "dist", "src", "lib", "scripts",
     "tools", "util", "utils", "benchmark", "benchmarks", "bench", "conftest.py", "setup.py", "noxfile.py"}
)  # fmt: skip
_HASH_LENGTHS = {"sha256": 43, "sha384": 64, "sha512": 86}  # characters in base64; what the wheel format allows
_LICENCE = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
_MOST_TAGS = 1000  # of one line of WHEEL
_SCRIPTS = ("console_scripts", "gui_scripts")
_SCRIPT_NAME = re.compile(r"[\w.-]*[\w-][\w.-]*")  # as the index has it, without names of dots alone
_ENTRY_POINT = re.compile(r"[\w.]+(\s*:\s*[\w.]+)?(\s*\[[^\]]*\])?")


def check_member_names(wheel: AuditedWheel) -> Iterator[Finding]:
    """W004."""
    for entry in wheel.entries:
        parts = entry.name.split("/")
        if ".." in parts or "." in parts or "" in parts or set(entry.name) & _FORBIDDEN_IN_NAMES:
            yield Finding("W004", f"the member's name is {sanitize(repr(entry.name))}")


def check_duplicates(wheel: AuditedWheel) -> Iterator[Finding]:
    """W005."""
    same: dict[str, list[str]] = defaultdict(list)
    for entry in wheel.entries:
        same[unicodedata.normalize("NFC", unicodedata.normalize("NFC", entry.name).casefold())].append(entry.name)
    for names in same.values():
        if len(names) > 1:
            yield Finding("W005", f"{len(names)} members: {', '.join(map(sanitize, names[:5]))}", sanitize(names[0]))


def check_file_types(wheel: AuditedWheel) -> Iterator[Finding]:
    """W006."""
    for entry in wheel.entries:
        if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
            yield Finding("W006", f"mode {entry.mode:o}: {stat.filemode(entry.mode)}", sanitize(entry.name))


def check_modes(wheel: AuditedWheel) -> Iterator[Finding]:
    """W007, except on Windows, where modes mean nothing: archives made there call every file writable."""
    if wheel.platforms and all(one.os == "windows" for one in wheel.platforms):
        return
    for entry in wheel.entries:
        bits = stat.S_IMODE(entry.mode)
        unreadable = bits & 0o444 != 0o444
        if entry.mode and stat.S_IFMT(entry.mode) != stat.S_IFLNK and (bits & 0o6002 or unreadable):
            yield Finding("W007", f"mode {bits:o}: {stat.filemode(entry.mode)}", sanitize(entry.name))


def check_record(wheel: AuditedWheel) -> Iterator[Finding]:
    """W008 to W012: compare RECORD with the files, in both directions."""
    place = f"{wheel.info}/RECORD"
    if place not in wheel.texts:
        yield Finding("W008", f"there is no {place}")
        return
    try:
        rows = list(csv.reader(io.StringIO(wheel.texts[place].decode())))
    except (csv.Error, UnicodeDecodeError) as error:
        yield Finding("W008", f"{place} can't be read: {error}")
        return
    if bad := next((row for row in rows if row and len(row) != 3), None):
        yield Finding("W008", f"a row of {len(bad)} fields: {sanitize(','.join(bad))}", place)
        return
    yield from _compare_record(wheel, {row[0]: (row[1], row[2]) for row in rows if row})


def _compare_record(wheel: AuditedWheel, rows: dict[str, tuple[str, str]]) -> Iterator[Finding]:
    if missing := rows.keys() - wheel.names:
        yield Finding("W011", abbreviate(map(sanitize, missing)))
    unhashed = {f"{wheel.info}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    for name, (sha256, size) in wheel.hashes.items():
        stated, length = rows.get(name, ("", ""))
        algorithm, _, digest = stated.partition("=")
        if name in unhashed:
            continue
        if not stated:
            yield Finding("W010", "it has no row, or one without a hash", sanitize(name))
        elif len(digest) != _HASH_LENGTHS.get(algorithm):
            yield Finding("W012", f"its hash is {sanitize(stated)}", sanitize(name))
        elif algorithm == "sha256" and stated != sha256:
            yield Finding("W009", f"RECORD says {sanitize(stated)}, the file has {sha256}", sanitize(name))
        elif length and length != str(size):
            yield Finding("W009", f"RECORD says {sanitize(length)} bytes, the file has {size}", sanitize(name))


def check_bytecode(wheel: AuditedWheel) -> Iterator[Finding]:
    """W013."""
    if found := [name for name in wheel.names if name.endswith((".pyc", ".pyo"))]:
        yield Finding("W013", abbreviate(map(sanitize, found)))


def check_stray_files(wheel: AuditedWheel) -> Iterator[Finding]:
    """W014."""
    installed = {f"{wheel.info}/{name}" for name in ("INSTALLER", "REQUESTED", "direct_url.json")}
    if found := [name for name in wheel.names if STRAY.search(name) or name in installed]:
        yield Finding("W014", abbreviate(map(sanitize, found)))


def check_top_levels(wheel: AuditedWheel) -> Iterator[Finding]:
    """W015, W016."""
    tops = {top for name in wheel.names if (top := _find_top_level(name, wheel.info))}
    source = {"src"} if is_source_layout(wheel) else set()  # W047
    if common := (tops & _COMMON_NAMES) - source:
        yield Finding("W016", abbreviate(common))
    own = {top.partition(".")[0].removeprefix("_") for top in tops - _COMMON_NAMES}  # `_x` beside `x` is one project's
    if len(own) > 1:
        yield Finding("W015", abbreviate(map(sanitize, tops)))


def is_source_layout(wheel: AuditedWheel) -> bool:
    """Return whether the wheel installs its code below a folder ``src``."""
    return any(name.startswith("src/") and name.endswith((".py", ".so", ".pyd")) for name in wheel.names)


def _find_top_level(name: str, info: str) -> str:
    """Return the name in site-packages that a member is installed under; "" for what isn't imported."""
    head, _, rest = name.partition("/")
    if head.endswith(".data"):
        scheme, _, rest = rest.partition("/")
        return rest.split("/")[0] if scheme in ("purelib", "platlib") else ""
    if head in ("", ".", "..", info) or set(name) & _FORBIDDEN_IN_NAMES:  # such names are W004
        return ""
    is_editable = head.startswith(("__editable__", "_editable_impl_"))  # W044
    return "" if is_editable or head.endswith((".libs", ".dist-info", ".pth")) else head


def check_metadata(wheel: AuditedWheel) -> Iterator[Finding]:
    """W017, W018, W027."""
    place = f"{wheel.info}/METADATA"
    if place not in wheel.texts:
        yield Finding("W017", f"there is no {place}")
        return
    yield from check_core_metadata(wheel.texts[place], place, wheel.name.distribution, wheel.name.version)
    folder = wheel.info.removesuffix(".dist-info").rpartition("-")
    if not is_same_release(folder[0], folder[2], wheel.name.distribution, wheel.name.version):
        yield Finding("W018", f"the folder is {sanitize(wheel.info)}", wheel.info)


def check_core_metadata(text: bytes, place: str, distribution: str, version: str) -> Iterator[Finding]:
    """W017, W018, W027: check core metadata, and that it is of this project and version."""
    try:
        found = Metadata.from_email(text, validate=True)
    except (errors.ExceptionGroup, ValueError, TypeError) as error:
        problems = [str(one) for one in getattr(error, "exceptions", [error])]
        newer = [one for one in problems if "introduced in metadata version" in one]
        for code, texts in (("W027", newer), ("W017", [one for one in problems if one not in newer])):
            if texts:
                yield Finding(code, sanitize("; ".join(texts)), place)
        return
    if not is_same_release(found.name, str(found.version), distribution, version):
        evidence = f"{place.rsplit('/', 1)[-1]} is of {sanitize(f'{found.name} {found.version}')}"
        yield Finding("W018", evidence, place)


def is_same_release(name: str, version: str, other: str, other_version: str) -> bool:
    """Return whether two names and versions, in any spelling, mean the same release."""
    try:
        return canonicalize_name(name) == canonicalize_name(other) and Version(version) == Version(other_version)
    except InvalidVersion:
        return False


def _parse_headers(text: bytes) -> Message:
    return BytesParser(policy=compat32).parsebytes(text, headersonly=True)


def read_metadata(wheel: AuditedWheel, field: str) -> list[str]:
    """Return the values of a field in METADATA, as written there."""
    return read_field(wheel.texts.get(f"{wheel.info}/METADATA", b""), field)


def list_requirements(wheel: AuditedWheel) -> Iterator[str]:
    """Yield the names of the projects that the wheel requires without an extra."""
    for line in read_metadata(wheel, "Requires-Dist"):
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue  # reported as W017
        if one.marker is None or "extra" not in str(one.marker):
            yield one.name


def read_field(text: bytes, field: str) -> list[str]:
    """Return the values of a field in core metadata."""
    return [str(value) for value in _parse_headers(text).get_all(field, [])]


def check_wheel_file(wheel: AuditedWheel) -> Iterator[Finding]:
    """W019, W020."""
    place = f"{wheel.info}/WHEEL"
    if place not in wheel.texts:
        yield Finding("W020", f"there is no {place}")
        return
    fields = _parse_headers(wheel.texts[place])
    version = str(fields.get("Wheel-Version", ""))
    if not re.fullmatch(r"1\.\d+", version):
        yield Finding("W020", f"Wheel-Version is {sanitize(version) or 'missing'}", place)
    purelib = str(fields.get("Root-Is-Purelib", "")).casefold()
    native = any(not member.endswith(".exe") for member, _ in wheel.natives)
    if purelib not in ("true", "false") or (purelib == "true" and native and not wheel.is_pure):
        yield Finding("W020", f"Root-Is-Purelib is {sanitize(purelib) or 'missing'}", place)
    stated = {tag for line in fields.get_all("Tag", []) for tag in _expand_tags(str(line))}
    named = {str(tag) for tag in wheel.name.tags}
    if stated != named:
        only = f"only WHEEL has {abbreviate(map(sanitize, stated - named)) or 'none'}"
        yield Finding("W019", f"{only}; only the file's name has {abbreviate(named - stated) or 'none'}", place)


def _expand_tags(text: str) -> set[str]:
    """Return the tags of a line of WHEEL. It should name one, but pip also reads a set, as in file names."""
    parts = text.split("-")
    if len(parts) == 3 and math.prod(part.count(".") + 1 for part in parts) <= _MOST_TAGS:
        return {str(tag) for tag in parse_tag(text)}
    return {text}


def check_licence_files(wheel: AuditedWheel) -> Iterator[Finding]:
    """W021, W022."""
    for stated in read_metadata(wheel, "License-File"):
        # Before PEP 639, setuptools put licences beside METADATA, without their folders.
        places = {f"licenses/{stated}", f"license_files/{stated}", stated, stated.rsplit("/", 1)[-1]}
        if not {f"{wheel.info}/{place}" for place in places} & wheel.names:
            yield Finding("W021", f"METADATA names {sanitize(stated)}", wheel.info)
    yield from check_any_licence(wheel.names)


def check_any_licence(names: Iterable[str]) -> Iterator[Finding]:
    """W022."""
    if not any(_LICENCE.search(name.rsplit("/", 1)[-1]) for name in names):
        yield Finding("W022", "no file's name contains license, licence, copying, notice or authors")


def check_sboms(wheel: AuditedWheel) -> Iterator[Finding]:
    """W023."""
    for name, text in wheel.texts.items():
        if not name.startswith(f"{wheel.info}/sboms/"):
            continue
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Finding("W023", f"not JSON: {sanitize(str(error))}", sanitize(name))
            continue
        if not isinstance(found, dict) or not ("bomFormat" in found or "spdxVersion" in found or "@context" in found):
            yield Finding("W023", "neither bomFormat (CycloneDX) nor spdxVersion or @context (SPDX)", sanitize(name))


def check_entry_points(wheel: AuditedWheel) -> Iterator[Finding]:
    """W025."""
    place = f"{wheel.info}/entry_points.txt"
    try:
        entries = _parse_entry_points(wheel)
    except (configparser.Error, UnicodeDecodeError) as error:
        yield Finding("W025", sanitize(str(error)), place)
        return
    for section, name, value in entries:
        shown = f"[{sanitize(section)}] {sanitize(name)} = {sanitize(value)}"
        if not _ENTRY_POINT.fullmatch(value.strip()):
            yield Finding("W025", shown, place)
        elif section in _SCRIPTS and ":" not in value:
            yield Finding("W025", f"{shown}: a script needs a module and a function", place)
        elif section in _SCRIPTS and not _SCRIPT_NAME.fullmatch(name):
            yield Finding("W025", f"{shown}: the script's name isn't a file name", place)


def _parse_entry_points(wheel: AuditedWheel) -> list[tuple[str, str, str]]:
    """Return each entry point's group, name and value. Names are case-sensitive (entry points specification).

    Raises configparser.Error and UnicodeDecodeError.
    """
    parser = configparser.ConfigParser(delimiters=("=",), strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(wheel.texts.get(f"{wheel.info}/entry_points.txt", b"").decode())
    return [(section, name, value) for section in parser.sections() for name, value in parser.items(section)]


def list_entry_points(wheel: AuditedWheel) -> list[tuple[str, str, str]]:
    """Return the group, name and value of each entry point that names an object; none for an unreadable file."""
    try:
        found = _parse_entry_points(wheel)
    except (configparser.Error, UnicodeDecodeError):
        return []
    return [one for one in found if _ENTRY_POINT.fullmatch(one[2].strip())]


def check_platform_tags(wheel: AuditedWheel) -> Iterator[Finding]:
    """W026."""
    known = {one.tag for one in wheel.platforms} | {one.tag for one in wheel.other_platforms}
    if unknown := wheel.name.platforms - known - {"any"}:
        yield Finding("W026", abbreviate(map(sanitize, unknown)))


def read_python_versions(wheel: AuditedWheel) -> tuple[tuple[int, int], ...]:
    """Return the versions of Python in METADATA's classifiers."""
    pattern = re.compile(r"Programming Language :: Python :: (\d)\.(\d+)")
    found = filter(None, map(pattern.fullmatch, read_metadata(wheel, "Classifier")))
    return tuple(sorted((int(one[1]), int(one[2])) for one in found))
