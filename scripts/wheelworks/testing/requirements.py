"""What the tests of a project need beside its wheel: the requirements, and their wheels for another machine's Python.

Sources: the PyPA specifications of core metadata, dependency specifiers and dependency groups (PEP 735).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wheelworks.core import process
from wheelworks.core.archive import Member
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import find_dist_info

Environment = Mapping[str, str]  # of markers: python_version, sys_platform, extra, ...

NAMES = ("test", "tests", "testing")  # of the extras and groups that projects have for their tests
LIMIT = 600.0  # seconds
MAX_FILES = 20  # of requirements that include each other
# Coverage isn't measured here: pytest's options for it are accepted and do nothing.
_LEFT_OUT = {"pytest-cov", "coverage"}
_NEWEST_GLIBC = 45  # manylinux_2_45; Debian's own version decides what loads
_LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")


class NoWheel(WheelworksError):
    """A requirement has no wheel for the Python and machine that the tests run under."""


def make_environment(python: str, cpu: str) -> dict[str, str]:
    """Return the environment of markers for CPython ``python`` ("3.13", "3.13t") on Linux on a CPU ("aarch64")."""
    fixed = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": cpu}
    return {**make_native_environment(f"{python.removesuffix('t')}.0"), **fixed}


def make_native_environment(version: str) -> dict[str, str]:
    """Return the environment of markers for CPython ``version`` ("3.13.2") on this machine."""
    short = ".".join(version.split(".")[:2])
    names = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {**default_environment(), **names, "python_version": short, "python_full_version": version}  # type: ignore[dict-item]


def list_requirements(
    metadata: str, extras: Iterable[str], words: Iterable[str], environment: Environment
) -> list[str]:
    """Return the requirements of a wheel, by its METADATA, with extras, and those of ``words``; without markers.

    Raises WheelworksError for a requirement that isn't one.
    """
    name = canonicalize_name(HeaderParser().parsestr(metadata)["Name"] or "")
    wanted = [*_read_metadata(metadata, set(map(canonicalize_name, extras)), environment)]
    wanted += [requirement for word in words if _applies(requirement := _parse(word), environment)]
    own = {
        extra for requirement in wanted if canonicalize_name(requirement.name) == name for extra in requirement.extras
    }
    wanted += _read_metadata(metadata, set(map(canonicalize_name, own)), environment)
    kept = [one for one in wanted if canonicalize_name(one.name) not in {name, *_LEFT_OUT}]
    return list(dict.fromkeys(map(_drop_marker, kept)))


def _read_metadata(metadata: str, extras: set[str], environment: Environment) -> Iterator[Requirement]:
    """Yield a wheel's requirements; an extra may name others of the same project."""
    message = HeaderParser().parsestr(metadata)
    name, seen = canonicalize_name(message["Name"] or ""), {""}
    waiting = ["", *sorted(extras)]
    requirements = [_parse(word) for word in message.get_all("Requires-Dist", [])]
    while waiting:
        extra = waiting.pop(0)
        for requirement in requirements:
            if not _applies(requirement, environment, extra) or (extra and _applies(requirement, environment)):
                continue
            if canonicalize_name(requirement.name) == name:
                waiting += [one for one in map(canonicalize_name, requirement.extras) if one not in seen]
                seen.update(map(canonicalize_name, requirement.extras))
            yield requirement


def read_metadata(members: Mapping[str, Member], name: str) -> str:
    """Return the METADATA of a wheel by its members. Raises WheelworksError where there is none."""
    member = members.get(f"{find_dist_info(members, name)}/METADATA")
    if member is None:
        raise WheelworksError(f"{name}: it has no METADATA, so that its requirements aren't known")
    return member.data.decode(errors="replace")


def list_extras(metadata: str) -> list[str]:
    """Return the names of a wheel's extras."""
    return list(HeaderParser().parsestr(metadata).get_all("Provides-Extra", []))


def _parse(word: str) -> Requirement:
    try:
        return Requirement(word)
    except InvalidRequirement as error:
        hint = "use names such as pytest>=8, or -r FILE of the project"
        raise WheelworksError(f"{word[:80]!r} is no requirement of a package: {error}", hint) from error


def _applies(requirement: Requirement, environment: Environment, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})


def _drop_marker(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}" + (f" @ {requirement.url}" if requirement.url else str(requirement.specifier))


def read_groups(pyproject: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    """Return the requirements of dependency groups. Raises WheelworksError for a missing or malformed one."""
    if not groups:
        return []
    try:
        return list(resolve_dependency_groups(pyproject.get("dependency-groups", {}), *groups))
    except (ExceptionGroup, ValueError, TypeError, LookupError) as error:
        raise WheelworksError(
            f"pyproject.toml: [dependency-groups] {', '.join(groups)} can't be read: {error}"
        ) from error


def expand_files(words: Sequence[str], tree: Path) -> list[str]:
    """Replace ``-r FILE`` by the requirements of a file of the project (pip's format, without other options).

    Raises UsageError for a missing file, one outside the project, and other options.
    """
    found, waiting, files = list[str](), list(words), 0
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-"):
            found.append(word)
            continue
        option, _, name = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if option not in ("-r", "--requirement") or not (name or waiting) or files == MAX_FILES:
            raise UsageError(f"the requirements of the tests: {word} can't be used", "use names such as pytest>=8")
        files += 1
        waiting[:0] = _read_file(tree, name or waiting.pop(0))
    return found


def _read_file(tree: Path, name: str) -> list[str]:
    path = (tree / name.replace("{project}/", "").replace("{package}/", "")).resolve()
    if not path.is_relative_to(tree.resolve()) or not path.is_file():
        raise UsageError(f"the requirements of the tests: the project has no file {name}")
    lines = [line.split(" #")[0].split(" --hash")[0].rstrip("\\").strip() for line in path.read_text().splitlines()]
    included = [line for line in lines if line.startswith(("-r", "--requirement"))]
    own = [line for line in lines if line and not line.startswith(("#", "-"))]
    parent = path.parent.relative_to(tree.resolve()).as_posix()
    return [
        *own,
        *(f"-r{parent}/{line.removeprefix('-r').removeprefix('--requirement').strip(' =')}" for line in included),
    ]


def list_linux_platforms(cpu: str) -> list[str]:
    """Return the platform tags of wheels for glibc on a CPU, the newest first."""
    return [f"manylinux_2_{minor}_{cpu}" for minor in range(_NEWEST_GLIBC, 4, -1)] + [f"{one}_{cpu}" for one in _LEGACY]


def download_requirements(words: Sequence[str], python: str, platforms: Sequence[str], folder: Path) -> list[Path]:
    """Download wheels of requirements, and of theirs, for CPython ``python`` and platform tags; return them.

    pip adds the tags of older versions of macOS itself. Raises NoWheel, which names the requirements: nothing is built.
    """
    if not words:
        return []
    abis = [f"cp{python.replace('.', '')}", "abi3", "none"]
    options = [
        "--only-binary=:all:",
        f"--dest={folder}",
        "--implementation=cp",
        f"--python-version={python.removesuffix('t')}",
    ]
    options += [f"--abi={abi}" for abi in abis] + [f"--platform={platform}" for platform in platforms]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    ended = process.run([*command, *options, "--", *words], timeout=LIMIT)
    if ended.status:
        what = f"{', '.join(words)}: not all have wheels for CPython {python} and {platforms[0]}"
        raise NoWheel(f"{what}:\n{ended.last_lines(3)}", "name fewer: --test-requires")
    return sorted(folder.glob("*.whl"))
