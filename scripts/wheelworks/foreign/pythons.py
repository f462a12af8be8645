"""Choose the CPythons that a wheel is for, among those that can run here: Debian's, the user's, and this machine's own.

A version is written as in the names of CPython's programs: "3.13", and "3.13t" for the one without the GIL. Wheels of
Windows and macOS run under a CPython of Linux: their binaries are rewrapped (`wheelworks.foreign.rewrap`). Those of
musl run under one of glibc (`wheelworks.foreign.musl`). Sources: PEP 425 and the PyPA specification of compatibility
tags, as `packaging.tags` implements them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from packaging.tags import Tag, compatible_tags, cpython_tags

from wheelworks.core.debian import DEBIAN_SUITES, list_debian_versions
from wheelworks.core.errors import UsageError
from wheelworks.core.interpreters import list_installed_pythons
from wheelworks.core.tags import parse_platform
from wheelworks.core.wheel import WheelName
from wheelworks.foreign.cpus import CPUS, Cpu, find_cpu, is_host, recognize_cpu

System = Literal["linux", "musl", "windows", "macos"]

SYSTEM_NAMES: Mapping[System, str] = {
    "linux": "glibc Linux", "musl": "musl Linux", "windows": "Windows", "macos": "macOS",
}  # fmt: skip
# The CPUs of other systems whose calling convention is near enough to that of Linux, so that their code can be called.
# macOS needs more of the CPU than the model that Linux code runs on: every Mac has Armv8.4's instructions. Without
# ``pauth=off``, qemu computes the signatures of return addresses so slowly that all takes four times as long.
REWRAPPED: Mapping[System, Mapping[str, str]] = {
    "windows": {"aarch64": "cortex-a53"},
    "macos": {"aarch64": "max,pauth=off", "x86_64": ""},
}
HOST_ROOT = Path("/")
NO_FREE_THREADED = "Debian has no CPython without the GIL"
EMULATOR_ONLY = (
    "Windows x86-64 and x86 have the emulated CPU alone (--how emulated): their calling convention differs from Linux's"
    " in both directions, so that no CPython of Linux can call their code"
)
ROOT_HINT = "--root DIR names a folder that has one as usr/bin/python{version}"
_PROGRAMS = ("usr/bin", "usr/local/bin")
_MAX_LINKS = 16


@dataclass(frozen=True)
class Runtime:
    """A CPython that can run wheels of ``system`` here: its CPU, version ("3.13", "3.13t") and root.

    ``root`` is the user's folder with this CPython, or `HOST_ROOT` for one of this machine; None stands for a root that
    is made of Debian's packages. ``program`` is its path in the root.
    """

    system: System
    cpu: Cpu
    python: str
    root: Path | None = None
    program: str = ""

    def __str__(self) -> str:
        system = "" if self.system == "linux" else f" {SYSTEM_NAMES[self.system]}"
        return f"CPython {self.python}, {self.cpu.name}{system}"

    @property
    def os(self) -> str:
        """Return the operating system that the wheel is for: "linux", "windows" or "macos"."""
        return "linux" if self.system == "musl" else self.system

    @property
    def is_rewrapped(self) -> bool:
        """Return whether the wheel's binaries must be rewrapped."""
        return self.system in REWRAPPED


def parse_version(python: str) -> tuple[int, int]:
    """Return (3, 13) for "3.13" and "3.13t". Raises UsageError for other text."""
    if not (match := re.fullmatch(r"(3)\.(\d{1,2})t?", python)):
        raise UsageError(f"{python!r} is no version of CPython", "write 3.13, or 3.13t for the one without the GIL")
    return int(match[1]), int(match[2])


def find_runtime(cpu: str, python: str) -> Runtime:
    """Return Debian's CPython for Linux wheels. Raises UsageError for an unknown CPU or version."""
    check_versions([python])
    return Runtime("linux", find_cpu(cpu), python)


def find_runtimes(name: WheelName, pythons: Sequence[str] = (), roots: Sequence[Path] = ()) -> list[Runtime]:
    """Return the CPythons for a wheel: those of the versions ``pythons``, else the oldest and the newest of each CPU.

    Raises UsageError as `list_runtimes` and `check_versions` do.
    """
    check_versions(pythons, roots)
    found: list[Runtime] = []
    for system, cpu in find_platforms(name):
        fitting = [one for one in list_runtimes(system, cpu, roots) if not explain_mismatch(name, one)]
        chosen = [one for one in fitting if one.python in pythons] if pythons else [*fitting[:1], *fitting[1:][-1:]]
        found += chosen
    return found


def find_platforms(name: WheelName) -> list[tuple[System, Cpu]]:
    """Return the systems and CPUs of a wheel whose code a CPython can run; a universal wheel of macOS has two CPUs."""
    pairs: list[tuple[System, Cpu]] = [(_choose_libc(name, cpu), cpu) for cpu in CPUS]
    for system, models in REWRAPPED.items():
        pairs += [(system, replace(find_cpu(cpu), model=model)) for cpu, model in models.items()]
    return [(system, cpu) for system, cpu in pairs if any(_is_for(tag, system, cpu) for tag in name.tags)]


def _choose_libc(name: WheelName, cpu: Cpu) -> System:
    """Return "musl" for a wheel of a CPU that isn't for glibc: one for both is run as it is."""
    return "linux" if any(_is_for(tag, "linux", cpu) for tag in name.tags) else "musl"


def check_versions(pythons: Iterable[str], roots: Sequence[Path] = ()) -> None:
    """Raise UsageError for a version that neither Debian, nor a root, nor this machine has."""
    known = {*DEBIAN_SUITES, *(python for root in roots for _, python, _ in read_root(root))}
    for python in pythons:
        parse_version(python)
        if python not in known and python not in list_installed_pythons():
            hint = f"available versions: {', '.join(DEBIAN_SUITES)}; {ROOT_HINT.format(version=python)}"
            raise UsageError(_explain_lack(python), hint)


def _explain_lack(python: str) -> str:
    return NO_FREE_THREADED if python.endswith("t") else f"Debian has no CPython {python}"


def list_runtimes(system: System, cpu: Cpu, roots: Sequence[Path] = ()) -> list[Runtime]:
    """Return every CPython for code of a system and CPU, the oldest first.

    For each version, one of a user's root comes before one of this machine, which runs rewrapped code without an
    emulator, and before Debian's. Raises UsageError for a root without a CPython.
    """
    found = {python: Runtime(system, cpu, python) for python in list_debian_versions(cpu.debian)}
    if system != "linux" and is_host(cpu):
        for python, path in list_installed_pythons().items():
            found[python] = Runtime(system, cpu, python, HOST_ROOT, str(path))
    for root in roots:
        for known, python, program in read_root(root):
            if known.name == cpu.name:
                found[python] = Runtime(system, cpu, python, root.absolute(), program)
    return sorted(found.values(), key=lambda one: (parse_version(one.python), one.python))


def read_root(root: Path) -> list[tuple[Cpu, str, str]]:
    """Return the CPU, version and program of each CPython in a user's root file system.

    The CPU is read from the program's ELF header. Raises UsageError for a folder without a CPython.
    """
    found: dict[str, tuple[Cpu, str, str]] = {}
    for folder in _PROGRAMS:
        for path in sorted((root / folder).glob("python3.*")):
            if not re.fullmatch(r"python3\.\d+t?", path.name) or path.name in found:
                continue
            if cpu := recognize_cpu(_read_start(root, path)):
                found[path.name] = cpu, path.name.removeprefix("python"), f"/{folder}/{path.name}"
    if not found:
        hint = "name a root file system with usr/bin/pythonX.Y, for the CPU of the wheel"
        raise UsageError(f"--root {root}: it has no CPython for a known CPU", hint)
    return list(found.values())


def _read_start(root: Path, path: Path) -> bytes:
    """Return the first 20 bytes of a file in a root; b"" for no such file."""
    path = resolve_in_root(root, path)
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(20)


def resolve_in_root(root: Path, path: Path) -> Path:
    """Follow a file's links in a root, where absolute ones start at the root."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            break
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path


def _is_for(tag: Tag, system: System, cpu: Cpu) -> bool:
    """Return whether a tag is for a system ("linux": with glibc) on a CPU."""
    if (platform := parse_platform(tag.platform)) is None:
        return False
    if platform.os == "linux":
        return system == ("musl" if platform.libc == "musl" else "linux") and platform.arch == cpu.name
    return platform.os == system and cpu.name in platform.cpus


def explain_mismatch(name: WheelName, runtime: Runtime) -> str:
    """Return why a CPython rejects a wheel; "" if it accepts it."""
    fitting = {tag for tag in name.tags if _is_for(tag, runtime.system, runtime.cpu)}
    if not fitting:
        return f"it is for {_join(name.platforms)}, not for {SYSTEM_NAMES[runtime.system]} on {runtime.cpu.name}"
    version, abi = parse_version(runtime.python), f"cp{runtime.python.replace('.', '')}"
    platforms = [tag.platform for tag in fitting]
    if fitting.isdisjoint([*cpython_tags(version, [abi], platforms), *compatible_tags(version, abi, platforms)]):
        kind = "without" if abi.endswith("t") else "with"
        python = runtime.python.removesuffix("t")
        return f"it is for {_join_abis(fitting)}, not for CPython {python} {kind} the GIL"
    return ""


def explain_lack(name: WheelName, pythons: Sequence[str] = (), roots: Sequence[Path] = ()) -> str:
    """Return why there is no CPython (of the versions ``pythons``) for a wheel here, and how to give one."""
    platforms = find_platforms(name)
    if not platforms:
        return _explain_platforms(name)
    if pythons and not any(_fits(name, python) for python in pythons):
        return f"it is for {_join_abis(name.tags)}, not for CPython {' or '.join(pythons)}"
    python = pythons[0] if pythons else _name_version(name)
    lack = f"{_explain_lack(python)} for {', '.join(cpu.debian for _, cpu in platforms)}"
    if roots:
        had = [f"{version} for {cpu.debian}" for root in roots for cpu, version, _ in read_root(root)]
        return f"{lack}, and --root has CPython {', '.join(had)}"
    return f"{lack}; {ROOT_HINT.format(version=python)}"


def _fits(name: WheelName, python: str) -> bool:
    """Return whether a wheel is for a version of CPython, whatever its CPU."""
    return not all(explain_mismatch(name, Runtime(system, cpu, python)) for system, cpu in find_platforms(name))


def _explain_platforms(name: WheelName) -> str:
    """Return why no CPython of Linux can run the code of a wheel's platforms."""
    systems = {platform.os for tag in name.platforms if (platform := parse_platform(tag))}
    if systems == {"windows"}:
        return EMULATOR_ONLY
    where = _join(name.platforms)
    return f"no CPython that runs here loads wheels for {where}; the emulated CPU may run their code (--how emulated)"


def _name_version(name: WheelName) -> str:
    """Return the oldest version of CPython that a wheel is for, as its tags say: "3.12", "3.14t"."""
    tag = min(name.tags, key=lambda one: (one.abi.endswith("t"), len(one.interpreter), one.interpreter))
    version = re.sub(r"^[a-z]+(\d)(\d+)$", r"\1.\2", tag.interpreter)
    return version + ("t" if tag.abi.endswith("t") else "")


def _join_abis(tags: Iterable[Tag]) -> str:
    return _join(f"{tag.interpreter}-{tag.abi}" for tag in tags)


def _join(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))
