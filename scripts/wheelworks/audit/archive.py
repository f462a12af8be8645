"""Checks of the archive: names, modes, and what RECORD says of each file (PEP 427 and its successors)."""

from __future__ import annotations

import csv
import io
import re
import stat
from collections import defaultdict
from collections.abc import Iterator

from wheelworks.audit.finding import Finding, printable, some
from wheelworks.audit.subject import Wheel

_NEVER_IN_A_NAME = frozenset("\\:\x7f") | frozenset(map(chr, range(32)))
STRAY = re.compile(
    r"(^|/)(\.git|\.hg|\.svn|\.tox|\.nox|\.venv|\.mypy_cache|\.pytest_cache|\.ruff_cache|\.hypothesis|\.idea|\.vscode"
    r"|__MACOSX)/"
    r"|(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|\.coverage|\.gitignore|\.gitattributes|core)$"
    r"|\.(orig|rej|swp|swo|o|obj|exp|ilk|pdb|gcda|gcno|nbc|nbi|tmp)$"
    r"|~$"
)
_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "direct_url.json"})
_COMMON = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "build", "dist", "src", "lib", "scripts",
     "tools", "util", "utils", "benchmark", "benchmarks", "bench", "conftest.py", "setup.py", "noxfile.py"}
)  # fmt: skip
_STRONG = {"sha256": 43, "sha384": 64, "sha512": 86}


def escaping(wheel: Wheel) -> Iterator[Finding]:
    """W004."""
    for entry in wheel.entries:
        parts = entry.name.split("/")
        if ".." in parts or "." in parts or "" in parts or set(entry.name) & _NEVER_IN_A_NAME:
            yield Finding("W004", f"the member's name is {printable(repr(entry.name))}")


def duplicates(wheel: Wheel) -> Iterator[Finding]:
    """W005."""
    same: dict[str, list[str]] = defaultdict(list)
    for entry in wheel.entries:
        same[entry.name.casefold()].append(entry.name)
    for names in same.values():
        if len(names) > 1:
            yield Finding("W005", f"{len(names)} members: {', '.join(map(printable, names[:5]))}", printable(names[0]))


def links(wheel: Wheel) -> Iterator[Finding]:
    """W006."""
    for entry in wheel.entries:
        kind = stat.S_IFMT(entry.mode)
        if kind not in (0, stat.S_IFREG):
            yield Finding("W006", f"mode {entry.mode:o}: {stat.filemode(entry.mode)}", printable(entry.name))


def modes(wheel: Wheel) -> Iterator[Finding]:
    """W007; modes mean nothing on Windows, where every file is said to be writable."""
    if wheel.platforms and all(one.os == "windows" for one in wheel.platforms):
        return
    for entry in wheel.entries:
        bits = stat.S_IMODE(entry.mode)
        unreadable = bits & 0o444 != 0o444
        if entry.mode and stat.S_IFMT(entry.mode) != stat.S_IFLNK and (bits & 0o6002 or unreadable):
            yield Finding("W007", f"mode {bits:o}: {stat.filemode(entry.mode)}", printable(entry.name))


def record(wheel: Wheel) -> Iterator[Finding]:
    """W008 to W012: RECORD against the files, each way."""
    text = wheel.texts.get(f"{wheel.info}/RECORD")
    if text is None:
        yield Finding("W008", f"there is no {wheel.info}/RECORD")
        return
    try:
        rows = list(csv.reader(io.StringIO(text.decode())))
    except (csv.Error, UnicodeDecodeError) as error:
        yield Finding("W008", f"{wheel.info}/RECORD can't be read: {error}")
        return
    if bad := next((row for row in rows if row and len(row) != 3), None):
        yield Finding("W008", f"a row of {len(bad)} fields: {printable(','.join(bad))}", f"{wheel.info}/RECORD")
        return
    yield from _compare(wheel, {row[0]: (row[1], row[2]) for row in rows if row})


def _compare(wheel: Wheel, rows: dict[str, tuple[str, str]]) -> Iterator[Finding]:
    own = {f"{wheel.info}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    if nothing := rows.keys() - wheel.names:
        yield Finding("W011", some(map(printable, nothing)))
    for name, (sha256, size) in wheel.hashes.items():
        if name in own:
            continue
        stated, length = rows.get(name, ("", ""))
        algorithm, _, digest = stated.partition("=")
        if not stated:
            yield Finding("W010", "it has no row, or one without a hash", printable(name))
        elif algorithm not in _STRONG or len(digest) != _STRONG[algorithm]:
            yield Finding("W012", f"its hash is {printable(stated)}", printable(name))
        elif algorithm == "sha256" and stated != sha256:
            yield Finding("W009", f"RECORD says {printable(stated)}, the file has {sha256}", printable(name))
        elif length and length != str(size):
            yield Finding("W009", f"RECORD says {printable(length)} bytes, the file has {size}", printable(name))


def bytecode(wheel: Wheel) -> Iterator[Finding]:
    """W013."""
    if found := [name for name in wheel.names if name.endswith((".pyc", ".pyo"))]:
        yield Finding("W013", some(map(printable, found)))


def stray(wheel: Wheel) -> Iterator[Finding]:
    """W014."""
    found = [name for name in wheel.names if STRAY.search(name)]
    found += [name for name in wheel.names if name in {f"{wheel.info}/{one}" for one in _INSTALLERS}]
    if found:
        yield Finding("W014", some(map(printable, found)))


def top_levels(wheel: Wheel) -> Iterator[Finding]:
    """W015, W016."""
    tops = {top for name in wheel.names if (top := _top(name, wheel.info))}
    if common := tops & _COMMON:
        yield Finding("W016", some(common))
    own = {top.partition(".")[0].removeprefix("_") for top in tops - _COMMON}  # `_x` beside `x` is one project's
    if len(own) > 1:
        yield Finding("W015", some(map(printable, tops)))


def _top(name: str, info: str) -> str:
    """What a member is installed as beside other projects' files; "" for what isn't imported."""
    head, _, rest = name.partition("/")
    if head.endswith(".data"):
        scheme, _, rest = rest.partition("/")
        return rest.split("/")[0] if scheme in ("purelib", "platlib") else ""
    if head in ("", ".", "..") or set(name) & _NEVER_IN_A_NAME:
        return ""  # W004 tells of it
    bundled = head.endswith((".libs", ".dist-info")) or head == info
    return "" if bundled or head.endswith(".pth") else head
