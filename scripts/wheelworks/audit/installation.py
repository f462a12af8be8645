"""Check what breaks when a wheel is installed or used: its folders, and the modules that its metadata name.

Sources: the binary distribution format and the entry points specification of the PyPA, PEP 660 (editable installs),
and what pip and uv refuse.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from wheelworks.audit import archive
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel, module_name

_SCHEMES = ("data", "headers", "platlib", "purelib", "scripts")
_LIBRARIES = ("platlib", "purelib")
_DEEPEST = 20  # folders of a package
_EDITABLE = re.compile(r"(^|/)(__editable__|_editable_impl_|__editables_)[^/]*\.(py|pth)$")
_ABSOLUTE = re.compile(rb"^(/|[A-Za-z]:[\\/])", re.MULTILINE)
_CODE = re.compile(rb"^import[ \t]", re.MULTILINE)  # what site.py executes (its documentation)


def check_info_folders(wheel: AuditedWheel) -> Iterator[Finding]:
    """W040: pip accepts one folder of metadata."""
    found = {name.split("/")[0] for name in wheel.names if "/" in name}
    if len(folders := {one for one in found if one.endswith(".dist-info")}) > 1:
        yield Finding("W040", abbreviate(map(sanitize, folders)))


def check_data_folders(wheel: AuditedWheel) -> Iterator[Finding]:
    """W041: the files of ``.data`` are in a folder of each scheme, and of no others."""
    wrong = []
    for name in wheel.names:
        head, *rest = name.split("/")
        if head.endswith(".data") and rest and (len(rest) < 2 or rest[0] not in _SCHEMES):
            wrong.append(name)
    if wrong:
        yield Finding("W041", f"{abbreviate(map(sanitize, wrong))}; the schemes are {', '.join(_SCHEMES)}")


def list_installed(wheel: AuditedWheel) -> frozenset[str]:
    """Return the paths below site-packages that a wheel's files are installed to."""
    found = set()
    for name in wheel.names:
        head, _, rest = name.partition("/")
        scheme, _, inner = rest.partition("/")
        if head.endswith(".data"):
            found.update([inner] if scheme in _LIBRARIES else [])
        elif not head.endswith(".dist-info"):
            found.add(name)
    return frozenset(found)


@dataclass(frozen=True)
class Layout:
    """What a wheel installs, as dotted names: modules, packages with an ``__init__``, and all folders.

    ``tops`` has each top-level file and folder by its name in lower case; ``is_alone`` is whether no other project is
    required, which may have more modules of a namespace.
    """

    modules: frozenset[str]
    packages: frozenset[str]
    folders: frozenset[str]
    tops: dict[str, str]
    is_alone: bool

    def lacks(self, module: str) -> bool:
        """Return whether no installation has a module. Other projects may add to a namespace, not to a package."""
        parts, closed = module.split("."), False
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            if name in self.modules:
                return depth < len(parts)
            if name not in self.packages and name not in self.folders:
                return closed or self.is_alone
            closed = name in self.packages
        return False

    def find_other_case(self, module: str) -> str:
        """Return the top-level file or folder that differs from a module only in case; "" if there is none."""
        top = module.partition(".")[0]
        exists = top in self.modules or top in self.folders
        return "" if exists else self.tops.get(top.casefold(), "")


def read_layout(wheel: AuditedWheel) -> Layout:
    """Return the layout of a wheel."""
    modules: set[str] = set()
    packages: set[str] = set()
    folders: set[str] = set()
    tops: dict[str, str] = {}
    for path in sorted(list_installed(wheel)):
        *parts, file = path.split("/")
        folders.update(".".join(parts[:depth]) for depth in range(1, min(len(parts), _DEEPEST) + 1))
        stem = file[:-3] if file.endswith(".py") else module_name(path)
        if stem == "__init__":
            packages.add(".".join(parts))
        elif stem:
            modules.add(".".join([*parts, stem]))
        tops.setdefault((parts[0] if parts else stem or file).casefold(), parts[0] if parts else file)
    is_alone = not any(archive.list_requirements(wheel))
    return Layout(frozenset(modules), frozenset(packages), frozenset(folders), tops, is_alone)


def check_source_layout(wheel: AuditedWheel) -> Iterator[Finding]:
    """W047."""
    if archive.is_source_layout(wheel):
        yield Finding("W047", abbreviate(sanitize(one) for one in list_installed(wheel) if one.startswith("src/")))


def check_emptiness(wheel: AuditedWheel) -> Iterator[Finding]:
    """W046: a wheel without files; one that only has requirements is meant to be empty."""
    files = [name for name in wheel.names if not name.split("/")[0].endswith(".dist-info")]
    if wheel.is_pure and not files and not archive.read_metadata(wheel, "Requires-Dist"):
        yield Finding("W046", f"{len(wheel.names)} files, all of them below .dist-info, and no requirement")


def check_startup_files(wheel: AuditedWheel) -> Iterator[Finding]:
    """W044, W045: files that Python reads at each start (`site`), and those of editable installs."""
    for name in sorted(wheel.names):
        text = wheel.texts.get(name, b"") if name.endswith(".pth") else b""
        if _EDITABLE.search(name) or _ABSOLUTE.search(text):
            yield Finding("W044", "it leads to the folder of the sources on the build machine", sanitize(name))
        elif found := _CODE.search(text):
            line = text[found.start() :].splitlines()[0].decode("utf-8", "replace")
            yield Finding("W045", sanitize(line, 80), sanitize(name))


def check_record_rows(wheel: AuditedWheel) -> Iterator[Finding]:
    """W049: RECORD names a file twice."""
    try:
        text = wheel.texts.get(f"{wheel.info}/RECORD", b"").decode()
        rows = Counter(row[0] for row in csv.reader(io.StringIO(text)) if row)
    except (csv.Error, UnicodeDecodeError):
        return  # reported as W008
    members = Counter(entry.name for entry in wheel.entries)
    twice = [name for name, count in rows.items() if count > 1 and members[name] == 1]  # more members: W005
    if twice:
        yield Finding("W049", abbreviate(map(sanitize, twice)), f"{wheel.info}/RECORD")


def check_build_number(wheel: AuditedWheel) -> Iterator[Finding]:
    """W050."""
    stated = archive.read_field(wheel.texts.get(f"{wheel.info}/WHEEL", b""), "Build")
    if f"{wheel.info}/WHEEL" in wheel.texts and "".join(stated).strip() != wheel.name.build:
        shown = sanitize("".join(stated)) or "no build number"
        evidence = f"WHEEL says {shown}, the file's name {wheel.name.build or 'none'}"
        yield Finding("W050", evidence, f"{wheel.info}/WHEEL")


def check_named_modules(wheel: AuditedWheel) -> Iterator[Finding]:
    """W043: the module of each entry point is in the wheel, unless another project may have it."""
    layout = read_layout(wheel)
    for group, name, value in () if archive.is_source_layout(wheel) else archive.list_entry_points(wheel):
        target, extra, _ = value.partition("[")
        module, colon, _ = (part.strip() for part in target.partition(":"))
        # Some groups name an object without a colon.
        names = [module] if colon else [module, module.rpartition(".")[0] or module]
        if not extra and all(map(layout.lacks, names)) and not layout.find_other_case(module):
            evidence = f"[{sanitize(group)}] {sanitize(name)} needs the module {sanitize(module)}"
            yield Finding("W043", evidence, f"{wheel.info}/entry_points.txt")


def check_spelling(wheel: AuditedWheel) -> Iterator[Finding]:
    """W048: a module that the metadata name, but in other upper and lower case than the file."""
    layout = read_layout(wheel)
    for wanted in sorted(_list_wanted_modules(wheel, layout)):
        if found := layout.find_other_case(wanted):
            yield Finding("W048", f"the metadata name {sanitize(wanted)}, the file is {sanitize(found)}")


def _list_wanted_modules(wheel: AuditedWheel, layout: Layout) -> set[str]:
    """Return the modules that top_level.txt, Import-Name (PEP 794) and the entry points name, and the project's own.

    A project's name counts only for a single file with capitals: many names and packages have them on purpose.
    """
    lines = wheel.texts.get(f"{wheel.info}/top_level.txt", b"").decode("utf-8", "replace").split()
    found = {*lines, *(one.partition(";")[0].strip() for one in archive.read_metadata(wheel, "Import-Name"))}
    found |= {value.partition(":")[0].strip() for _, _, value in archive.list_entry_points(wheel)}
    for name in archive.read_metadata(wheel, "Name")[:1]:
        own = re.sub(r"[-.]+", "_", name.strip())
        file = layout.find_other_case(own)
        found |= {own} if file.endswith(".py") and file != file.lower() else set()
    return {one for one in found if one}
