"""Check the run-time dependencies of wheels: whether each has a wheel wherever it is needed, and vulnerabilities.

The versions are those that an installer would choose today. uv resolves them once for all platforms, then the index
lists the files of each.
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

from wheelworks.audit.findings import FileAudit, Finding
from wheelworks.core import index, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.tags import Platform, parse_platform
from wheelworks.core.targets import find_macos_minimum
from wheelworks.core.wheel import parse_wheel_name

SECONDS = 300.0  # for a program that asks the index, or the vulnerability service
# sys_platform, os_name, platform_system (PEP 508).
_SYSTEMS = {
    "linux": ("linux", "posix", "Linux"),
    "macos": ("darwin", "posix", "Darwin"),
    "windows": ("win32", "nt", "Windows"),
}
_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_WINDOWS_MACHINES = {"win32": "x86", "amd64": "AMD64", "arm64": "ARM64"}
_PINNED = re.compile(r"^([\w.-]+)==(\S+?)(?:\s*;\s*(.+))?$")


@dataclass(frozen=True)
class Pin:
    """A version of a dependency that users get, where ``marker`` is true."""

    name: str
    version: str
    marker: str = ""


@dataclass(frozen=True)
class Claim:
    """A platform, Python and ABI that a wheel claims to support."""

    platform: Platform
    python: tuple[int, int]
    abi: str

    @property
    def version(self) -> str:
        """The Python for display, such as 3.13, or 3.14t for the free-threaded one."""
        return f"{self.python[0]}.{self.python[1]}{'t' if self.abi.endswith('t') else ''}"

    def environment(self) -> dict[str, str]:
        """Return the values of environment markers (PEP 508)."""
        system, name, platform = _SYSTEMS[self.platform.os]
        version = f"{self.python[0]}.{self.python[1]}"
        arch = self.platform.arch
        return {
            "os_name": name,
            "sys_platform": system,
            "platform_system": platform,
            "platform_machine": _WINDOWS_MACHINES.get(arch, arch) if self.platform.os == "windows" else arch,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "python_version": version,
            "python_full_version": f"{version}.0",
            "extra": "",
        }

    def tags(self) -> frozenset[Tag]:
        """Return the tags of the wheels that installers accept."""
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        abi = f"{interpreter}t" if self.abi.endswith("t") else interpreter
        platforms = _list_platform_tags(self.platform, self.python)
        own = cpython_tags(self.python, abis=[abi], platforms=platforms)
        return frozenset({*own, *compatible_tags(self.python, interpreter, platforms)})


def _list_platform_tags(platform: Platform, python: tuple[int, int]) -> list[str]:
    """Return the platform tags of wheels that run on every machine of ``platform`` that has this Python."""
    major, minor = platform.version
    if platform.os == "macos":
        arch = "x86_64" if platform.arch == "universal2" else platform.arch
        return list(mac_platforms(max(platform.version, find_macos_minimum(python)), arch))
    if platform.os == "windows":
        return [platform.tag]
    kind = {"glibc": "manylinux", "musl": "musllinux", "": "linux"}[platform.libc]
    tags = [f"{kind}_{major}_{one}_{platform.arch}" for one in range(minor, -1, -1)] if platform.libc else []
    old = [f"{name}_{platform.arch}" for version, name in _LEGACY.items() if version <= platform.version]
    return tags + (old if platform.libc == "glibc" else []) + [f"linux_{platform.arch}"]


def check_dependencies(audits: Sequence[FileAudit], *, offline: bool, osv_url: str = "") -> Iterator[Finding]:
    """W501 to W506, for all wheels at once; vulnerabilities are asked of PyPI, or of the OSV service at ``osv_url``."""
    wanted = sorted({line for audit in audits for line in audit.requires if _is_run_time(line)})
    if not wanted:
        return
    if offline:
        yield Finding("W503", f"--offline: {', '.join(wanted)}")
        yield Finding("W504", f"--offline: {', '.join(wanted)}")
        return
    claims = list(dict.fromkeys(claim for audit in audits for claim in _list_claims(audit)))
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
        return False  # reported as W017
    return marker is None or "extra" not in str(marker)


def _list_claims(audit: FileAudit) -> Iterator[Claim]:
    try:
        name = parse_wheel_name(audit.file)
    except WheelworksError:
        return
    for tag in sorted(name.tags, key=str):
        platform = parse_platform(tag.platform)
        floor = re.fullmatch(r"cp(\d)(\d+)", tag.interpreter)
        if platform is None or floor is None:
            continue
        lowest = (int(floor[1]), int(floor[2]))
        above = [one for one in audit.pythons if one >= lowest] if tag.abi in ("abi3", "abi3t") else [lowest]
        yield from (Claim(platform, python, tag.abi) for python in above or [lowest])


def resolve_requirements(wanted: Sequence[str], python: tuple[int, int]) -> list[Pin]:
    """Return the versions that installers choose today, on all platforms. Raises WheelworksError."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "requirements.in")
        source.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--no-annotate"]
        command += ["--no-header", "--python-version", f"{python[0]}.{python[1]}", str(source)]
        ended = process.run(command, timeout=SECONDS)
    if ended.status:
        raise WheelworksError(f"uv can't resolve {', '.join(wanted)}: {ended.output.strip()[-500:]}")
    found = [match for line in ended.output.splitlines() if (match := _PINNED.match(line.strip()))]
    return [Pin(match[1], match[2], match[3] or "") for match in found]


def _check_index(pins: Sequence[Pin], claims: Sequence[Claim]) -> Iterator[Finding]:
    from wheelworks.audit import sdist  # with the checks of archives it takes half a second to import

    licences: dict[str, str] = {}
    for pin in pins:
        files = index.list_release(f"{pin.name}=={pin.version}")
        if holes := _find_holes(pin, [one.name for one in files], claims):
            source = next((one for one in files if one.name.endswith(sdist.SDIST_SUFFIX)), None)
            setup = sdist.read_setup(index.fetch(source)) if source else ""
            code = "W506" if has_optional_extensions(setup) else "W501"
            yield Finding(code, f"no wheel for {_describe_holes(holes)}", f"{pin.name}=={pin.version}")
        licences[f"{pin.name} {pin.version}"] = _find_licence(files)
    if licences:
        yield Finding("W505", "; ".join(f"{name}: {licence}" for name, licence in sorted(licences.items())))


def has_optional_extensions(setup: str) -> bool:
    """Return whether a setup.py has extensions, and each may fail to build (setuptools' ``optional``)."""
    try:
        calls = [one for one in ast.walk(ast.parse(setup)) if isinstance(one, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    made = [one for one in calls if ast.unparse(one.func).rpartition(".")[2] == "Extension"]
    return bool(made) and all(any(_is_optional(word) for word in one.keywords) for one in made)


def _is_optional(word: ast.keyword) -> bool:
    return word.arg == "optional" and not (isinstance(word.value, ast.Constant) and not word.value.value)


def _describe_holes(holes: Sequence[Claim]) -> str:
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


def _find_licence(files: Sequence[index.IndexFile]) -> str:
    source = next((one for one in files if one.has_metadata), None)
    if source is None:
        return "not stated on the index"
    head = index.read_metadata(source).partition("\n\n")[0]
    fields = ("License-Expression: ", "Classifier: License :: (?:OSI Approved :: )?", "License: ")  # best first
    found = filter(None, (re.search(f"^{field}(.+)$", head, re.MULTILINE) for field in fields))
    return next((one[1][:60] for one in found), "not stated")


def check_vulnerabilities(pins: Sequence[Pin], osv_url: str = "") -> Iterator[Finding]:
    """W502, W504: ask pip-audit about every version."""
    versions: dict[str, set[str]] = defaultdict(set)
    for pin in pins:
        versions[pin.name].add(pin.version)
    for place in range(max(map(len, versions.values()), default=0)):  # pip-audit accepts each project once
        lines = [f"{name}=={sorted(found)[place]}" for name, found in versions.items() if place < len(found)]
        yield from _run_pip_audit(lines, osv_url)


def _run_pip_audit(lines: Sequence[str], osv_url: str) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "requirements.txt"), Path(folder, "result.json")
        source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "-r", str(source), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--output", str(result), "--progress-spinner", "off"]
        command += ["--vulnerability-service", "osv", "--osv-url", osv_url] if osv_url else []
        message = "nothing"
        try:
            message = process.run(command, timeout=SECONDS).last_lines(1) or message
            yield from parse_pip_audit(json.loads(result.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            yield Finding("W504", f"{', '.join(lines)}: pip-audit said {message[:300]}")
        except WheelworksError as error:
            if process.is_stopping():
                raise
            yield Finding("W504", f"{', '.join(lines)}: {error.message}")


def parse_pip_audit(output: Mapping[str, Any]) -> Iterator[Finding]:
    """W502, W504: read pip-audit's JSON. Raises KeyError for anything else."""
    for one in output["dependencies"]:
        if "skip_reason" in one:
            yield Finding("W504", f"{one['name']}: {one['skip_reason'][:300]}")
        for flaw in one.get("vulns", ()):
            fixed = ", ".join(flaw["fix_versions"]) or "no version"
            yield Finding("W502", f"{flaw['id']}, fixed in {fixed}", f"{one['name']}=={one['version']}")
