"""Platform tags of wheels: the one parser, and the targets that a wheel is compatible with.

One wheel may serve glibc and musl, or both CPUs of macOS, where another builder has a wheel for each. Sets of wheels
are therefore compared by compatibility target, not by tag. Sources: PEP 425, 513, 571, 599 and 600 (manylinux), 656
(musllinux), and the PyPA specification of platform compatibility tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from packaging.tags import mac_platforms

from wheelworks.core import targets
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import WheelName

Version = tuple[int, ...]  # of a libc or of macOS; empty for no version

_LEGACY_MANYLINUX = {"manylinux1": "2_5", "manylinux2010": "2_12", "manylinux2014": "2_17"}
_CPUS = {
    "amd64": "x86_64", "arm64": "aarch64", "i686": "x86", "i386": "x86", "armv7l": "arm", "armv6l": "arm",
    "ppc64le": "powerpc64le",
}  # fmt: skip
_CPUS_IN_TRIPLETS = {"x86": "i386", "armv6l": "arm"}  # in the names of modules
_WINDOWS_TAGS = {"x86": "win32", "x86_64": "win_amd64", "aarch64": "win_arm64"}
_LINUX = re.compile(r"(?:(manylinux|musllinux)_(\d+)_(\d+)|linux)_(\w+)")
_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
_FIRST_ARM64_MACOS = (11, 0)


@dataclass(frozen=True)
class Platform:
    """A parsed platform tag: the CPUs that a wheel must serve, and the lowest version of the libc or of macOS."""

    tag: str
    os: str
    cpus: tuple[str, ...]
    arch: str
    libc: str = ""
    version: tuple[int, int] = (0, 0)


def parse_platform(tag: str) -> Platform | None:
    """Parse a platform tag. Return None for an unknown one, and for ``any``."""
    head, _, rest = tag.partition("_")
    plain = f"manylinux_{_LEGACY_MANYLINUX[head]}_{rest}" if head in _LEGACY_MANYLINUX else tag
    if found := _LINUX.fullmatch(plain):
        libc = {"manylinux": "glibc", "musllinux": "musl", None: ""}[found[1]]
        version = (int(found[2]), int(found[3])) if found[2] else (0, 0)
        return Platform(tag, "linux", (_CPUS.get(found[4], found[4]),), found[4], libc, version)
    if found := _MACOS.fullmatch(tag):
        cpus = _macos_formats().get(found[3], (found[3],))
        return Platform(tag, "macos", cpus, found[3], version=(int(found[1]), int(found[2])))
    cpu = next((cpu for cpu, known in _WINDOWS_TAGS.items() if known == tag), None)
    return Platform(tag, "windows", (cpu,), tag.removeprefix("win_")) if cpu else None


@cache
def _macos_formats() -> dict[str, tuple[str, ...]]:
    """Return the CPUs of each binary format of macOS, from the tags that installers accept on each CPU."""
    found: dict[str, tuple[str, ...]] = {}
    for arch, version in (("arm64", _FIRST_ARM64_MACOS), ("i386", (10, 9)), ("x86_64", (10, 9))):
        for name in {tag.split("_", 3)[3] for tag in mac_platforms(version, arch)}:
            found[name] = (*found.get(name, ()), _CPUS.get(arch, arch))
    return found


def parse_platforms(tags: Iterable[str]) -> tuple[Platform, ...]:
    """Return the known platforms among ``tags``, the lowest version first."""
    found = [platform for tag in sorted(tags) if (platform := parse_platform(tag))]
    return tuple(sorted(found, key=lambda one: one.version))


@dataclass(frozen=True, order=True)
class CompatibilityTarget:
    """A kind of Python on a kind of platform: pip picks one wheel of a release for it. Pure wheels have no CPU."""

    abi: str
    system: str
    cpu: str

    def __str__(self) -> str:
        return f"{self.abi} on {' '.join(filter(None, (self.system, self.cpu)))}"

    def imports(self, suffix: str) -> bool:
        """Return whether its Python imports files with a suffix, such as ``abi3.so`` (PEP 3149, PEP 384, PEP 803)."""
        interpreter, _, abi = self.abi.partition("-")
        infix, _, last = suffix.rpartition(".")
        if not abi.startswith(("cp", "abi3")):
            return True
        if self.system == "windows":
            return last == "pyd" and infix in ("", f"{abi}-{_WINDOWS_TAGS.get(self.cpu)}")
        digits = interpreter.removeprefix("cp3")
        minor = int(digits) if digits.isdigit() else 0
        stable = (set() if abi.endswith("t") else {"abi3"}) | ({"abi3t"} if minor >= 15 else set())
        versioned = set() if abi.startswith("abi3") else self._versioned_infixes(abi.removeprefix("cp"), minor)
        return last == "so" and infix in {"", *stable, *versioned}

    def _versioned_infixes(self, version: str, minor: int) -> set[str]:
        if self.system == "macos":
            return {f"cpython-{version}-darwin"}
        libcs = {"glibc": ("gnu",), "musl": ("musl",)}.get(self.system, ("gnu", "musl"))
        if minor < 11:
            libcs = ("gnu", *libcs)  # before 3.11, CPython named musl's modules gnu, too
        cpu = _CPUS_IN_TRIPLETS.get(self.cpu, self.cpu)
        return {f"cpython-{version}-{cpu}-linux-{libc}{abi}" for libc in libcs for abi in ("", "eabihf", "eabi")}


def find_compatibility_targets(name: WheelName) -> dict[CompatibilityTarget, Version]:
    """Return the targets that a wheel serves, each with the lowest version of its libc or system.

    Raises WheelworksError for an unknown platform tag.
    """
    found: dict[CompatibilityTarget, Version] = {}
    for tag in name.tags:
        for system, cpu, version in _split_platform(tag.platform):
            target = CompatibilityTarget(f"{tag.interpreter}-{tag.abi}", system, cpu)
            found[target] = min(found.get(target, version), version)
    return found


def _split_platform(tag: str) -> list[tuple[str, str, Version]]:
    """Return the system, CPU and lowest version of each machine that a platform tag stands for."""
    if tag == "any":
        return [("any platform", "", ())]
    platform = parse_platform(tag)
    if platform is None:
        raise WheelworksError(f"{tag}: unknown platform tag")
    system = platform.os if platform.os != "linux" else platform.libc or "one linux"
    # ARMv6 and ARMv7 share an instruction set for readers of machine code; installers tell them apart.
    cpus = (platform.arch,) if platform.arch == "armv6l" else platform.cpus
    return [(system, cpu, _lowest_version(system, cpu, platform.version)) for cpu in cpus]


def _lowest_version(system: str, cpu: str, version: tuple[int, int]) -> Version:
    """Return a tag's version, but 11.0 for ARM64 macOS: a universal2 tag names that of the other CPU."""
    if version == (0, 0):
        return ()
    return max(version, _FIRST_ARM64_MACOS) if (system, cpu) == ("macos", "aarch64") else version


def find_minimum_version(target: CompatibilityTarget) -> Version:
    """Return the version of its libc or system that a target's wheels may require: what targets.toml says.

    On macOS the Python may require a later version. Empty where targets.toml has no such target.
    """
    rows = [row for one in targets.load_targets() for tag in one.tags for row in _split_platform(tag)]
    versions = [version for system, cpu, version in rows if (system, cpu) == (target.system, target.cpu)]
    return max(min(versions, default=()), _macos_of_python(target) if target.system == "macos" else ())


def _macos_of_python(target: CompatibilityTarget) -> Version:
    """Return the macOS version that python.org's CPython of a target requires on x86-64; that of the newest known."""
    digits = target.abi.partition("-")[0].removeprefix("cp3")
    found = [abi.macos for abi in targets.load_abis() if digits.isdigit() and abi.minor <= int(digits)]
    return tuple(map(int, found[-1].split("."))) if found else ()


def _needs_macos(target: CompatibilityTarget, version: Version) -> bool:
    """Return whether the CPython of a target needs this version of macOS."""
    return target.system == "macos" and version <= _macos_of_python(target)


def find_served_targets(name: WheelName) -> tuple[targets.Target, ...]:
    """Return the rows of targets.toml whose every machine accepts a wheel of this name.

    A later macOS than the row's is no restriction if the wheel's CPython needs it anyway.
    """
    found = find_compatibility_targets(name)
    needed = {one: () if _needs_macos(one, version) else version for one, version in found.items()}
    versions = {(one.system, one.cpu): version for one, version in needed.items()}
    return tuple(target for target in targets.load_targets() if _accepts(target, versions))


def _accepts(target: targets.Target, versions: dict[tuple[str, str], Version]) -> bool:
    own = [row for tag in target.tags for row in _split_platform(tag)]
    return any(versions.get((system, cpu), (1 << 16,)) <= version for system, cpu, version in own)


def rank_abi(abi: str) -> tuple[int, str]:
    """Return a key that sorts the tags of cp39 before those of cp310; of untrusted text, it reads few digits."""
    version = re.search(r"\d{1,9}", abi)
    return (int(version[0]) if version else 0), abi
