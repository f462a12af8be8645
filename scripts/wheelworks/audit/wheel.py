"""Read an untrusted wheel for the checks: its directory, each member once, and each binary while it is in memory.

Members are read a piece at a time within the audit's own limits, what the archive declares is compared with what it
holds, and nothing is written to disk.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from wheelworks.audit import platforms
from wheelworks.audit.disassembly import CodeRegion, find_code_regions
from wheelworks.audit.findings import Finding, sanitize
from wheelworks.audit.linkage import Linkage, read_links
from wheelworks.audit.loading import Loader, make_loaders
from wheelworks.audit.platforms import OtherPlatform
from wheelworks.audit.policy import Policy
from wheelworks.core.archive import Limits
from wheelworks.core.binary import SUFFIXES, Binary, Parsed
from wheelworks.core.tags import Platform, parse_platforms
from wheelworks.core.wheel import WheelName

LIMITS = Limits(size=4 << 30)
LARGEST_BINARY = 200 << 20
_LARGEST_TEXT = 2 << 20
_LARGEST_PTH = 64 << 10
_LARGEST_LIST = 32 << 20  # of RECORD, which has a row for each file, and of an SBOM
_PIECE = 1 << 20
_OVERLAP = 256  # bytes of the last piece that are searched again with the next
_BOMB = 200  # unpacked size by packed size; deflate reaches 3 to 20 with real code and text

_BINARY = re.compile(rb"\x7fELF|MZ|\xcf\xfa\xed\xfe|\xce\xfa\xed\xfe|\xca\xfe\xba[\xbe\xbf]\0\0\0[\x01-\x10]")
_WASM = b"\0asm"  # WebAssembly Core Specification, 5.5.16
# Folders that only a build machine has. Those of hosted runners and build tools are searched for in every file, home
# folders only in binaries and generated files: in other texts they are examples more often than not.
_BUILD_FOLDERS = re.compile(
    rb"(?:/home/runner/\w+/|/Users/runner/|/private/var/folders/|[A-Z]:[\\/]a[\\/]|/tmp/(?:pip|build|cibw|tmp)[-_\w])"
    rb"[ -~]{1,120}"
)
_HOMES = re.compile(rb"(?:/(?:home|Users|root|project|tmp)/|[A-Z]:[\\/]Users[\\/])[\w.@+-]+[\\/][ -~]{1,120}")
# Every match contains one of these. Searching for them first takes a fifth of the time where there is no match.
_DRIVES = (b":\\a\\", b":\\a/", b":/a\\", b":/a/")
_LITERALS = {
    _BUILD_FOLDERS: (b"/home/runner/", b"/Users/runner/", b"/private/var/folders/", b"/tmp/", *_DRIVES),
    _HOMES: (b"home/", b"Users", b"root/", b"project/", b"tmp/"),
}
# Folders of the images that wheels are built in. Not searched for in binaries: their static libraries may contain them.
_IMAGES = re.compile(rb"(?:(?<=-[IL])|(?<![\w.)}\]-]))/(?:io|build|opt/_internal)/[\w.@+-]+/[ -~]{1,120}")
_GENERATED = re.compile(r"(^|/)(__config__\.py|direct_url\.json|DELVEWHEEL|[^/]+\.(pc|cmake|la|pyc))$")
# Python code that loads libraries by itself, or adds to the folders that the loader searches.
_LOADING_CODE = re.compile(
    rb"\b(add_dll_directory|CDLL|WinDLL|OleDLL|PyDLL|(cdll|windll)\.|LoadLibrary\w*|load_library|dlopen|AddDllDirectory"
    rb"|setdlopenflags|RTLD_GLOBAL)"
)
# The file name of a module in Python code, also one with variable parts, as in f"_inject.{abi}.so". Bounded, so that
# hostile code takes linear time.
_NAMED_FILE = re.compile(rb"\b(\w{1,80})\.(?:[\w{}-]{1,40}\.){0,3}(?:so|pyd)['\"]")
_MOST_NAMED = 1000  # of one file of Python code
_CODE = (".py", ".pth")
_LARGEST_CODE = 1 << 20  # of one file of Python code
MOST_CODE = 8 << 20  # of those that load libraries, together
# The end of a module's file name, before .so, that distinguishes it from a plain library (PEP 3149, PEP 384, PEP 803).
_MODULE_INFIX = re.compile(r"abi3t?|(cpython-|cp|pypy|graalpy).*")


@dataclass(frozen=True)
class ArchiveEntry:
    """What the archive's directory declares of a member, unchanged."""

    name: str
    size: int
    mode: int
    date: tuple[int, ...] = ()
    packed: int = 0


@dataclass
class AuditedWheel:
    """A wheel under audit: what its name and directory declare, and what was found by reading its members."""

    file: str
    name: WheelName
    entries: tuple[ArchiveEntry, ...]
    policy: Policy
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # by member: SHA-256 as in RECORD, and bytes
    texts: dict[str, bytes] = field(default_factory=dict)  # the members below .dist-info, and .pth files
    natives: list[tuple[str, Binary]] = field(default_factory=list)
    linkages: list[Linkage] = field(default_factory=list)
    loading_code: dict[str, bytes] = field(default_factory=dict)  # Python files that load libraries
    named_files: set[str] = field(default_factory=set)  # of modules that Python code handles as files: up to the dot

    @cached_property
    def names(self) -> frozenset[str]:
        """The members' names."""
        return frozenset(entry.name for entry in self.entries)

    @cached_property
    def info(self) -> str:
        """The ``.dist-info`` folder with the metadata; of several, the one named as the file."""
        found = {name.split("/")[0] for name in self.names if name.split("/")[0].endswith(".dist-info")}
        wanted = f"{self.name.distribution}-{self.name.version}.dist-info"
        return wanted if wanted in found or not found else min(found)

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The known platforms of the tags, the oldest system first."""
        return parse_platforms(self.name.platforms)

    @cached_property
    def other_platforms(self) -> tuple[OtherPlatform, ...]:
        """The platforms of the tags that only the kind of binaries is known of."""
        return tuple(filter(None, map(platforms.parse_other_platform, sorted(self.name.platforms))))

    @cached_property
    def is_pure(self) -> bool:
        """Whether the tag is for any platform."""
        return self.name.platforms == {"any"}

    @cached_property
    def abis(self) -> frozenset[str]:
        """The ABI tags."""
        return frozenset(tag.abi for tag in self.name.tags)

    @cached_property
    def floor(self) -> tuple[int, int]:
        """The lowest CPython of the tags; (0, 0) where they name none."""
        versions = [tag.interpreter[2:] for tag in self.name.tags if tag.interpreter.startswith("cp")]
        return min(((int(one[:1]), int(one[1:] or 0)) for one in versions if one.isdigit()), default=(0, 0))

    @cached_property
    def epoch(self) -> int | None:
        """The time (Unix seconds) of all members where it is one, as SOURCE_DATE_EPOCH makes it; else None."""
        dates = {entry.date for entry in self.entries}
        return calendar.timegm((*dates.pop(), 0, 0, 0)) if len(dates) == 1 else None

    @cached_property
    def loaders(self) -> list[Loader]:
        """The loaders of its binaries, for the checks that run after all members were read."""
        return make_loaders(self.linkages, self.names)

    @cached_property
    def module_names(self) -> frozenset[str]:
        """The names of the modules that its binaries would be."""
        return frozenset(filter(None, map(module_name, self.names)))

    @cached_property
    def bundled(self) -> frozenset[str]:
        """The lower-case file names of the members."""
        return frozenset(name.rsplit("/", 1)[-1].casefold() for name in self.names)


@dataclass(frozen=True)
class NativeFile:
    """A binary, or one half of a universal one, while it is in memory.

    ``parsed`` is LIEF's object, which dies with the file that it was read from: nothing may keep it. ``machines`` are
    those of all halves.
    """

    wheel: AuditedWheel
    member: str
    data: bytes
    parsed: Parsed
    facts: Binary
    machines: frozenset[str]

    def finding(self, code: str, evidence: str) -> Finding:
        """Return a finding about this file, which names the half if there are several."""
        half = f"{self.facts.machine}: " if len(self.machines) > 1 else ""
        return Finding(code, f"{half}{evidence}", self.member)

    @cached_property
    def platforms(self) -> tuple[Platform, ...]:
        """The wheel's platforms that this binary is for, the oldest system first."""
        return tuple(
            one
            for one in self.wheel.platforms
            if platforms.FORMATS[one.os] == self.facts.format and self.facts.machine in one.cpus
        )

    @cached_property
    def regions(self) -> list[CodeRegion]:
        """The sections with instructions."""
        return find_code_regions(self.parsed)

    @cached_property
    def linkage(self) -> Linkage:
        """What the loader does with it. It may be kept longer than this object."""
        return Linkage(self.member, self.facts, self.platforms, read_links(self.parsed), bool(self.module))

    @property
    def module(self) -> str:
        """The name of the extension module; "" for a plain library or a program."""
        return module_name(self.member)


def module_name(member: str) -> str:
    """Return the module that Python would import from a file; "" for a shared library or a program."""
    stem, dot, ending = member.rsplit("/", 1)[-1].partition(".")
    middle, _, last = ending.rpartition(".")
    if not dot or f".{last}" not in SUFFIXES:
        return ""
    is_module = last == "pyd" or (last == "so" and _MODULE_INFIX.fullmatch(middle))
    return stem if is_module or (last == "so" and not middle and not stem.startswith("lib")) else ""


def is_wasm_module(name: str, data: bytes) -> bool:
    """Return whether a file is WebAssembly that Python imports; other WebAssembly is data."""
    return data.startswith(_WASM) and name.endswith(".so")


def list_entries(archive: zipfile.ZipFile) -> tuple[ArchiveEntry, ...]:
    """Return the files in an archive's directory, with their unchanged names."""
    return tuple(
        ArchiveEntry(info.orig_filename, info.file_size, info.external_attr >> 16, info.date_time, info.compress_size)
        for info in archive.infolist()
        if not info.orig_filename.endswith("/") or info.file_size
    )


def check_limits(entries: tuple[ArchiveEntry, ...], packed: int) -> Iterator[Finding]:
    """W002: check that an archive of ``packed`` bytes may be read at all."""
    size = sum(entry.size for entry in entries)
    if len(entries) > LIMITS.members:
        yield Finding("W002", f"{len(entries)} members; no more than {LIMITS.members} are read")
    if size > LIMITS.size:
        yield Finding("W002", f"declares {size} bytes; no more than {LIMITS.size} are read")
    elif (claimed := sum(entry.packed for entry in entries)) > packed:
        yield Finding("W002", f"the members claim {claimed} bytes of a file of {packed}: they overlap")
    elif size > 64 << 20 and size > _BOMB * packed:
        yield Finding("W002", f"{packed} bytes would unpack to {size}")


@dataclass(frozen=True)
class MemberContent:
    """A member that was read: its hash as in RECORD, its size, its bytes where a check needs them, and a build path.

    ``loading_code`` is the text of Python code that loads libraries, ``named_files`` are the modules whose file names
    are in Python code.
    """

    name: str
    sha256: str
    size: int
    data: bytes | None
    is_binary: bool
    path: str
    loading_code: bytes = b""
    named_files: frozenset[str] = frozenset()


def read_members(archive: zipfile.ZipFile, wheel: AuditedWheel) -> Iterator[MemberContent]:
    """Read every member to its end. Raises zipfile.BadZipFile and similar exceptions for a damaged one."""
    for info in archive.infolist():
        if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
            yield _read_member(archive, info, text_limit(info.filename, wheel))


def text_limit(name: str, wheel: AuditedWheel) -> int:
    """Return how many bytes of a text are kept for the checks: 0 outside of .dist-info, but for ``.pth`` files."""
    if name.endswith(".pth"):
        return _LARGEST_PTH
    if not name.startswith(f"{wheel.info}/"):
        return 0
    return _LARGEST_LIST if name.endswith("/RECORD") or "/sboms/" in name else _LARGEST_TEXT


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> MemberContent:
    digest, size, path, tail = hashlib.sha256(), 0, "", b""
    pieces: list[bytes] = []
    is_binary = keep = False
    patterns: Sequence[re.Pattern[bytes]] = ()
    with archive.open(info) as file:
        while piece := file.read(_PIECE):
            if not size:
                is_binary = bool(_BINARY.match(piece)) or is_wasm_module(info.filename, piece)
                patterns = _path_patterns(info.filename, is_binary=is_binary)
                text = max(most, _LARGEST_CODE if info.filename.endswith(_CODE) else 0)
                keep = info.file_size <= (LARGEST_BINARY if is_binary else text)
            size += len(piece)
            digest.update(piece)
            path = path or _find_build_path(tail + piece, patterns)
            tail = piece[-_OVERLAP:]
            if keep:
                pieces.append(piece)
    if size != info.file_size:
        raise zipfile.BadZipFile(f"{sanitize(info.filename)} does not have its declared size")
    sha256 = "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    data = b"".join(pieces) if keep or not size else None
    if data is None or is_binary or not info.filename.endswith(_CODE):
        return MemberContent(info.filename, sha256, size, data, is_binary, path)
    code = data if _LOADING_CODE.search(data) else b""
    named = frozenset(one[1].decode() for one in islice(_NAMED_FILE.finditer(data), _MOST_NAMED))
    return MemberContent(info.filename, sha256, size, data if most or not size else None, is_binary, path, code, named)


def _path_patterns(name: str, *, is_binary: bool) -> Sequence[re.Pattern[bytes]]:
    if is_binary:
        return (_BUILD_FOLDERS, _HOMES)
    return (_BUILD_FOLDERS, _HOMES, _IMAGES) if _GENERATED.search(name) else (_BUILD_FOLDERS,)


def _find_build_path(data: bytes, patterns: Sequence[re.Pattern[bytes]]) -> str:
    likely = [one for one in patterns if one not in _LITERALS or any(literal in data for literal in _LITERALS[one])]
    found = next((match for pattern in likely if (match := pattern.search(data))), None)
    return sanitize(found[0].decode("ascii", "replace"), 120) if found else ""
