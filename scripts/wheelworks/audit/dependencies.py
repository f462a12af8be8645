"""What a wheel's users install along with it: is there a wheel for each of them, and is anything known against it.

The versions are those that an installer would choose today: uv resolves them once for all platforms; then the index
is asked which files each has.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelworks.audit import sdist
from wheelworks.audit.findings import FileAudit, Finding
from wheelworks.core import index, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import Platform, parse_platform
from wheelworks.core.wheel import parse_wheel_name

SECONDS = 300.0  # for what asks the index, or the service of vulnerabilities
_SYSTEMS = {
    "linux": ("linux", "posix", "Linux"),
    "macos": ("darwin", "posix", "Darwin"),
    "windows": ("win32", "nt", "Windows"),
}
_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_MACHINES = {"win32": "x86", "amd64": "AMD64", "arm64": "ARM64"}
_MACOS = {(3, 13): (10, 13), (3, 14): (10, 15)}  # the lowest macOS of python.org's installers, by Python
_PINNED = re.compile(r"^([\w.-]+)==(\S+?)(?:\s*;\s*(.+))?$")


@dataclass(frozen=True)
class Pin:
    """A dependency as users get it; where ``marker`` holds."""

    name: str
    version: str
    marker: str = ""


@dataclass(frozen=True)
class Claim:
    """A place where a wheel says that it can be installed."""

    platform: Platform
    python: tuple[int, int]
    abi: str

    @property
    def version(self) -> str:
        """The Python as people write it: 3.13, or 3.14t for the free-threaded one."""
        return f"{self.python[0]}.{self.python[1]}{'t' if self.abi.endswith('t') else ''}"

    def environment(self) -> dict[str, str]:
        """What markers are compared with there (PEP 508)."""
        system, name, platform = _SYSTEMS[self.platform.os]
        version = f"{self.python[0]}.{self.python[1]}"
        arch = self.platform.arch
        return {
            "os_name": name,
            "sys_platform": system,
            "platform_system": platform,
            "platform_machine": _MACHINES.get(arch, arch) if self.platform.os == "windows" else arch,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "python_version": version,
            "python_full_version": f"{version}.0",
            "extra": "",
        }

    def tags(self) -> frozenset[Tag]:
        """The tags of the wheels that can be installed there."""
        abi = f"cp{self.python[0]}{self.python[1]}{'t' if self.abi.endswith('t') else ''}"
        places = _installable(self.platform, self.python)
        own = cpython_tags(self.python, abis=[abi], platforms=places)
        return frozenset({*own, *compatible_tags(self.python, f"cp{self.python[0]}{self.python[1]}", places)})


def _installable(platform: Platform, python: tuple[int, int]) -> list[str]:
    """The platform tags of wheels that run on every machine of ``platform`` that has such a Python."""
    major, minor = platform.version
    oldest = max((macos for lowest, macos in _MACOS.items() if lowest <= python), default=(10, 9))
    if platform.os == "macos":
        arch = "x86_64" if platform.arch == "universal2" else platform.arch
        return list(mac_platforms(max(platform.version, oldest), arch))
    if platform.os == "windows":
        return [platform.tag]
    kind = {"glibc": "manylinux", "musl": "musllinux", "": "linux"}[platform.libc]
    tags = [f"{kind}_{major}_{one}_{platform.arch}" for one in range(minor, -1, -1)] if platform.libc else []
    old = [f"{name}_{platform.arch}" for version, name in _LEGACY.items() if version <= platform.version]
    return tags + (old if platform.libc == "glibc" else []) + [f"linux_{platform.arch}"]


def check_dependencies(reports: Sequence[FileAudit], *, offline: bool, osv_url: str = "") -> Iterator[Finding]:
    """W501 to W506, over all wheels at once; vulnerabilities by PyPI, or by the OSV service of that address."""
    wanted = sorted({line for report in reports for line in report.requires if _is_run_time(line)})
    if not wanted:
        return
    if offline:
        yield Finding("W503", f"--offline: {', '.join(wanted)}")
        yield Finding("W504", f"--offline: {', '.join(wanted)}")
        return
    claims = list(dict.fromkeys(claim for report in reports for claim in _list_claims(report)))
    try:
        pins = resolve_requirements(wanted, min((claim.python for claim in claims), default=(3, 11)))
        yield from _check_index(pins, claims)
    except WheelworksError as error:
        yield Finding("W503", error.message)
        return
    yield from check_vulnerabilities(pins, osv_url)


def _is_run_time(line: str) -> bool:
    try:
        marker = Requirement(line).marker
    except InvalidRequirement:
        return False  # W017 tells of it
    return marker is None or "extra" not in str(marker)


def _list_claims(report: FileAudit) -> Iterator[Claim]:
    try:
        name = parse_wheel_name(report.file)
    except WheelworksError:
        return
    for tag in sorted(name.tags, key=str):
        platform = parse_platform(tag.platform)
        floor = re.fullmatch(r"cp(\d)(\d+)", tag.interpreter)
        if platform is None or floor is None:
            continue
        lowest = (int(floor[1]), int(floor[2]))
        above = [one for one in report.pythons if one >= lowest] if tag.abi in ("abi3", "abi3t") else [lowest]
        yield from (Claim(platform, python, tag.abi) for python in above or [lowest])


def resolve_requirements(wanted: Sequence[str], python: tuple[int, int]) -> list[Pin]:
    """The versions that installers choose today, for all platforms at once. Raises WheelworksError."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "requirements.in")
        source.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--no-annotate",
            "--no-header",
        ]
        command += ["--python-version", f"{python[0]}.{python[1]}", str(source)]
        ended = process.run(command, timeout=SECONDS)
    if ended.status:
        raise WheelworksError(f"uv can't resolve {', '.join(wanted)}: {ended.output.strip()[-500:]}")
    found = [match for line in ended.output.splitlines() if (match := _PINNED.match(line.strip()))]
    return [Pin(match[1], match[2], match[3] or "") for match in found]


def _check_index(pins: Sequence[Pin], claims: Sequence[Claim]) -> Iterator[Finding]:
    licences: dict[str, str] = {}
    for pin in pins:
        files = index.list_release(f"{pin.name}=={pin.version}")
        if holes := _find_holes(pin, [one.name for one in files], claims):
            source = next((one for one in files if one.name.endswith(sdist.SDIST_SUFFIX)), None)
            setup = sdist.read_setup(index.fetch(source)) if source else ""
            code = "W506" if has_optional_extensions(setup) else "W501"
            yield Finding(code, f"no wheel for {_describe_holes(holes)}", f"{pin.name}=={pin.version}")
        licences[f"{pin.name} {pin.version}"] = _licence(files)
    if licences:
        yield Finding("W505", "; ".join(f"{name}: {licence}" for name, licence in sorted(licences.items())))


def has_optional_extensions(setup: str) -> bool:
    """Whether a setup.py has extensions, and each may fail to be built (setuptools' ``optional``)."""
    try:
        calls = [one for one in ast.walk(ast.parse(setup)) if isinstance(one, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    made = [one for one in calls if ast.unparse(one.func).rpartition(".")[2] == "Extension"]
    return bool(made) and all(any(_is_optional(word) for word in one.keywords) for one in made)


def _is_optional(word: ast.keyword) -> bool:
    return word.arg == "optional" and not (isinstance(word.value, ast.Constant) and not word.value.value)


def _describe_holes(holes: Sequence[Claim]) -> str:
    """Every hole, by platform."""
    places: dict[str, list[str]] = defaultdict(list)
    for hole in holes:
        places[hole.platform.tag].append(hole.version)
    return "; ".join(f"{tag} with Python {', '.join(dict.fromkeys(versions))}" for tag, versions in places.items())


def _find_holes(pin: Pin, files: Sequence[str], claims: Sequence[Claim]) -> list[Claim]:
    tags: set[Tag] = set()
    for file in files:
        try:
            tags |= parse_wheel_filename(file)[3]
        except InvalidWheelFilename:
            continue  # an sdist
    needed = [one for one in claims if not pin.marker or Marker(pin.marker).evaluate(one.environment())]
    return [one for one in needed if not one.tags() & tags]


def _licence(files: Sequence[index.IndexFile]) -> str:
    source = next((one for one in files if one.has_metadata), None)
    if source is None:
        return "not stated on the index"
    head = index.read_metadata(source).partition("\n\n")[0]
    found = re.search(r"^License-Expression: (.+)$", head, re.MULTILINE)
    found = found or re.search(r"^Classifier: License :: (?:OSI Approved :: )?(.+)$", head, re.MULTILINE)
    found = found or re.search(r"^License: (.+)$", head, re.MULTILINE)
    return found[1][:60] if found else "not stated"


def check_vulnerabilities(pins: Sequence[Pin], osv_url: str = "") -> Iterator[Finding]:
    """W502, W504, by pip-audit."""
    newest: dict[str, set[str]] = defaultdict(set)
    for pin in pins:
        newest[pin.name].add(pin.version)
    for version in range(max(map(len, newest.values()), default=0)):  # a file may name each project once
        lines = [f"{name}=={sorted(versions)[version]}" for name, versions in newest.items() if version < len(versions)]
        yield from _pip_audit(lines, osv_url)


def _pip_audit(lines: Sequence[str], osv_url: str) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "requirements.txt"), Path(folder, "result.json")
        source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "-r", str(source), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--output", str(result), "--progress-spinner", "off"]
        command += ["--vulnerability-service", "osv", "--osv-url", osv_url] if osv_url else []
        said = "nothing"
        try:
            said = process.run(command, timeout=SECONDS).last_lines(1) or said
            yield from parse_pip_audit(json.loads(result.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            yield Finding("W504", f"{', '.join(lines)}: pip-audit said {said[:300]}")
        except WheelworksError as error:
            if process.is_stopping():
                raise
            yield Finding("W504", f"{', '.join(lines)}: {error.message}")


def parse_pip_audit(said: Mapping[str, Any]) -> Iterator[Finding]:
    """W502, W504: what pip-audit's JSON says. Raises KeyError for something else."""
    for one in said["dependencies"]:
        if "skip_reason" in one:
            yield Finding("W504", f"{one['name']}: {one['skip_reason'][:300]}")
        for flaw in one.get("vulns", ()):
            mended = ", ".join(flaw["fix_versions"]) or "no version"
            yield Finding("W502", f"{flaw['id']}, mended in {mended}", f"{one['name']}=={one['version']}")
