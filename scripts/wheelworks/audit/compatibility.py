"""Check the tags of a wheel's name: whether an installer asks for them, the index accepts them, and Python fits them.

Sources: the tags that `packaging.tags` generates for a host, which pip uses as they are, and uv generates too; PEP 425,
384, 513, 571, 599, 600, 656, 803; and the index's list of platforms, in ``platforms.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, mac_platforms

from wheelworks.audit import archive, platforms
from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel
from wheelworks.core.tags import parse_platform

# Hosts whose tags together are all those that installers ask for on macOS. No macOS 40 exists; no tag of 2.0 is lost.
_MACS = (
    ((40, 0), "arm64"), ((40, 0), "x86_64"), ((10, 16), "x86_64"), ((10, 16), "i386"), ((10, 6), "ppc"),
    ((10, 5), "ppc64"),
)  # fmt: skip
# The CPUs on which installers look for a glibc; on x86 they begin with 2.5, on all others with 2.17.
_GLIBC_CPUS = frozenset(
    {"x86_64", "i686", "aarch64", "armv7l", "armv8l", "ppc64", "ppc64le", "s390x", "riscv64", "loongarch64"}
)
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
_CPYTHON = re.compile(r"cp(\d)(\d+)")
_OLD_FLAGS = frozenset({"", "m", "d", "dm", "u", "mu", "du", "dmu"})  # PEP 3149, and of 2.x also the width of a char
_NEWEST_MINOR = 40  # of Pythons that may ever ask for a wheel
_LONGEST_SPECIFIER = 1000  # characters; no project's is as long
_MICROS = range(31)


def check_requested(wheel: AuditedWheel) -> Iterator[Finding]:
    """W029: each platform, Python and ABI of the name must be in a tag that an installer asks for."""
    unasked = {one for one in wheel.name.platforms if not is_platform_requested(one)}
    if unasked:
        yield Finding("W029", f"no installer asks for {abbreviate(map(sanitize, unasked))}")
        return
    asked = [tag for tag in wheel.name.tags if is_pair_requested(tag)]
    pairs = {f"{tag.interpreter}-{tag.abi}" for tag in wheel.name.tags if _is_lost(tag, asked)}
    if pairs:
        place = "any" if wheel.is_pure else "this platform"
        yield Finding("W029", f"no installer asks for {abbreviate(map(sanitize, pairs))} on {place}")


def _is_lost(tag: Tag, asked: list[Tag]) -> bool:
    """Return whether a tag's Python or ABI is in no tag of ``asked``. Compressed sets have more pairs than that."""
    return all(tag.interpreter != one.interpreter for one in asked) or all(tag.abi != one.abi for one in asked)


def is_platform_requested(tag: str) -> bool:
    """Return whether an installer asks for a platform tag on some machine; True for platforms that we don't know."""
    if tag.startswith("macosx_"):
        return tag in _list_macos_tags()
    platform = parse_platform(tag)
    if platform is None or platform.libc not in ("glibc", "musl"):
        return True
    major, minor = platform.version
    if platform.libc == "musl":
        return major == 1
    return major == 2 and minor >= _OLDEST_GLIBC.get(platform.arch, 17) and platform.arch in _GLIBC_CPUS


@cache
def _list_macos_tags() -> frozenset[str]:
    return frozenset(tag for version, cpu in _MACS for tag in mac_platforms(version, cpu))


def is_pair_requested(tag: Tag) -> bool:
    """Return whether an installer asks for a tag's Python and ABI; True for implementations other than CPython."""
    if re.fullmatch(r"py\d+", tag.interpreter):
        return tag.abi == "none"
    if not tag.interpreter.startswith("cp"):
        return True
    found = _CPYTHON.fullmatch(tag.interpreter)
    if found is None or tag.abi == "none":
        return found is not None
    version = (int(found[1]), int(found[2]))
    stable = tag.abi in ("abi3", "abi3t") and version >= (3, 2)
    return tag.platform != "any" and (stable or _is_own_abi(tag, version))


def _is_own_abi(tag: Tag, version: tuple[int, int]) -> bool:
    if not tag.abi.startswith(tag.interpreter):
        return False
    flags = tag.abi.removeprefix(tag.interpreter)
    return flags in (_OLD_FLAGS if version < (3, 8) else {"", "d"} if version < (3, 13) else {"", "d", "t", "td"})


def check_index_platform(wheel: AuditedWheel) -> Iterator[Finding]:
    """W030: tags that installers ask for, but that the index refuses."""
    if refused := {one for one in wheel.name.platforms if is_platform_requested(one) and is_refused(one)}:
        yield Finding("W030", abbreviate(map(sanitize, refused)))


def is_refused(tag: str) -> bool:
    """Return whether the index refuses a platform tag; False for platforms that we don't know."""
    rules = platforms.load_table()["index"]
    if found := re.fullmatch(r"macosx_(\d+)_(\d+)_\w+", tag):
        major, minor = int(found[1]), int(found[2])
        return major > 10 and (minor != 0 or rules["macos"][-2] < major < rules["macos"][-1])
    platform = parse_platform(tag)
    if platform is None or platform.os != "linux":
        return False
    if not platform.libc:
        return platform.arch not in rules["linux"]
    return platform.arch not in rules[platform.libc]


def check_python(wheel: AuditedWheel) -> Iterator[Finding]:
    """W042: some Python must satisfy Requires-Python and serve one of the tags."""
    for stated in archive.read_metadata(wheel, "Requires-Python")[:1]:
        try:
            wanted = SpecifierSet(stated)
        except InvalidSpecifier:
            return  # reported as W017
        if len(stated) > _LONGEST_SPECIFIER or any(_satisfies(wanted, version) for version in _list_pythons(wheel)):
            return
        shown = f"{sanitize(stated)}, which no Python of {abbreviate(map(sanitize, _list_interpreters(wheel)))} is"
        yield Finding("W042", shown, f"{wheel.info}/METADATA")


def _list_interpreters(wheel: AuditedWheel) -> set[str]:
    return {tag.interpreter for tag in wheel.name.tags}


def _satisfies(wanted: SpecifierSet, version: tuple[int, int]) -> bool:
    return any(wanted.contains(f"{version[0]}.{version[1]}.{micro}", prereleases=True) for micro in _MICROS)


def _list_pythons(wheel: AuditedWheel) -> Iterator[tuple[int, int]]:
    """Yield the versions of Python that use a wheel with these tags; all versions for unknown interpreters."""
    for tag in wheel.name.tags:
        found = re.fullmatch(r"[a-z]+(\d)(\d*)", tag.interpreter)
        if found is None:
            yield from ((3, minor) for minor in range(_NEWEST_MINOR))
            continue
        major, minor = int(found[1]), int(found[2] or 0)
        above = tag.abi in ("abi3", "abi3t") or tag.interpreter.startswith("py") or not found[2]
        last = 8 if major == 2 else _NEWEST_MINOR
        yield from ((major, one) for one in (range(minor, last) if above else (minor,)))
