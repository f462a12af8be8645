"""Choose the CPythons that a wheel is for, among those that can run here: Debian's, and those in the user's roots.

A version is written as in the names of CPython's programs: "3.13", and "3.13t" for the one without the GIL. Sources:
PEP 425 and the PyPA specification of compatibility tags, as `packaging.tags` implements them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.tags import Tag, compatible_tags, cpython_tags

from wheelworks.core.errors import UsageError
from wheelworks.core.interpreters import DEBIAN_SUITES, list_debian_versions
from wheelworks.core.tags import parse_platform
from wheelworks.core.wheel import WheelName
from wheelworks.foreign.cpus import CPUS, Cpu, find_cpu, recognize_cpu

System = Literal["linux"]

NO_FREE_THREADED = "Debian has no CPython without the GIL"
ROOT_HINT = "--root DIR names a folder that has one as usr/bin/python{version}"
_PROGRAMS = ("usr/bin", "usr/local/bin")
_MAX_LINKS = 16


@dataclass(frozen=True)
class Runtime:
    """A CPython that can run wheels of ``system`` here: its CPU, version ("3.13", "3.13t") and root.

    ``root`` is the user's folder with this CPython; None stands for a root that is made of Debian's packages.
    ``program`` is its path in the root.
    """

    system: System
    cpu: Cpu
    python: str
    root: Path | None = None
    program: str = ""

    def __str__(self) -> str:
        return f"CPython {self.python}, {self.cpu.name}"


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
    for cpu in find_cpus(name):
        fitting = [one for one in list_runtimes(cpu, roots) if not explain_mismatch(name, one)]
        chosen = [one for one in fitting if one.python in pythons] if pythons else [*fitting[:1], *fitting[1:][-1:]]
        found += chosen
    return found


def find_cpus(name: WheelName) -> list[Cpu]:
    """Return the CPUs of a wheel whose CPython can be run."""
    return [cpu for cpu in CPUS if any(_is_for(tag, "linux", cpu) for tag in name.tags)]


def check_versions(pythons: Iterable[str], roots: Sequence[Path] = ()) -> None:
    """Raise UsageError for a version that neither Debian nor a root has."""
    known = {*DEBIAN_SUITES, *(python for root in roots for _, python, _ in read_root(root))}
    for python in pythons:
        parse_version(python)
        if python not in known:
            hint = f"available versions: {', '.join(DEBIAN_SUITES)}; {ROOT_HINT.format(version=python)}"
            raise UsageError(f"{_explain_lack(python)}", hint)


def _explain_lack(python: str) -> str:
    return NO_FREE_THREADED if python.endswith("t") else f"Debian has no CPython {python}"


def list_runtimes(cpu: Cpu, roots: Sequence[Path] = ()) -> list[Runtime]:
    """Return every CPython for a CPU, the oldest first. One of a user's root replaces Debian's of that version.

    Raises UsageError for a root without a CPython.
    """
    found = {python: Runtime("linux", cpu, python) for python in list_debian_versions(cpu.debian)}
    for root in roots:
        for known, python, program in read_root(root):
            if known is cpu:
                found[python] = Runtime("linux", cpu, python, root.absolute(), program)
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
    """Return the first 20 bytes of a file in a root, where absolute links start at the root; b"" for no such file."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            break
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(20)


def _is_for(tag: Tag, system: System, cpu: Cpu) -> bool:
    """Return whether a tag is for glibc on Linux with a CPU."""
    platform = parse_platform(tag.platform)
    return platform is not None and platform.os == system and platform.libc != "musl" and platform.arch == cpu.name


def explain_mismatch(name: WheelName, runtime: Runtime) -> str:
    """Return why a CPython rejects a wheel; "" if it accepts it."""
    fitting = {tag for tag in name.tags if _is_for(tag, runtime.system, runtime.cpu)}
    if not fitting:
        return f"it is for {_join(name.platforms)}, not for glibc Linux on {runtime.cpu.name}"
    version, abi = parse_version(runtime.python), f"cp{runtime.python.replace('.', '')}"
    platforms = [tag.platform for tag in fitting]
    if fitting.isdisjoint([*cpython_tags(version, [abi], platforms), *compatible_tags(version, abi, platforms)]):
        kind = "without" if abi.endswith("t") else "with"
        python = runtime.python.removesuffix("t")
        return f"it is for {_join_abis(fitting)}, not for CPython {python} {kind} the GIL"
    return ""


def explain_lack(name: WheelName, pythons: Sequence[str] = ()) -> str:
    """Return why there is no CPython (of the versions ``pythons``) for a wheel here, and how to give one."""
    if pythons:
        return f"it is for {_join_abis(name.tags)}, not for CPython {' or '.join(pythons)}"
    python = _name_version(name)
    lack = f"{_explain_lack(python)} for {', '.join(cpu.debian for cpu in find_cpus(name))}"
    return f"{lack}; {ROOT_HINT.format(version=python)}"


def _name_version(name: WheelName) -> str:
    """Return the oldest version of CPython that a wheel is for, as its tags say: "3.12", "3.14t"."""
    tag = min(name.tags, key=lambda one: (one.abi.endswith("t"), len(one.interpreter), one.interpreter))
    version = re.sub(r"^[a-z]+(\d)(\d+)$", r"\1.\2", tag.interpreter)
    return version + ("t" if tag.abi.endswith("t") else "")


def _join_abis(tags: Iterable[Tag]) -> str:
    return _join(f"{tag.interpreter}-{tag.abi}" for tag in tags)


def _join(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))
