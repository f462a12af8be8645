"""What a project installs in its own sessions and CI: lock files and workflows."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelworks.audit.findings import Finding, sanitize
from wheelworks.core import process

ZIZMOR = "zizmor"
_OPTION = re.compile(r"^(?:-r|--requirement)\s+(\S+)$")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def check(folder: Path) -> Iterator[Finding]:
    """W601 to W604."""
    yield from locks(folder)
    yield from workflows(folder)


def locks(folder: Path) -> Iterator[Finding]:
    """W601, W602: every ``requirements/NAME.txt`` is what ``NAME.in`` and pyproject.toml ask for, hash by hash."""
    place = folder / "requirements"
    held: dict[str, dict[str, Version]] = {}
    for lock in sorted(place.glob("*.txt")):
        held[lock.stem] = {}
        for line in _lines(lock):
            requirement = _requirement(line.split(" --hash")[0])
            if requirement is None or not (pinned := _pinned(requirement)) or not _HASH.search(line):
                yield Finding("W601", sanitize(line.split(" --hash")[0]), f"requirements/{lock.name}")
            else:
                held[lock.stem][canonicalize_name(requirement.name)] = pinned
    for source in sorted(place.glob("*.in")):
        if source.stem not in held:
            yield Finding("W602", f"there is no {source.stem}.txt", f"requirements/{source.name}")
            continue
        wanted = _wanted(source, set())
        yield from _behind(wanted, held[source.stem], f"requirements/{source.stem}.txt")
    yield from _project(folder, held)


def _lines(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare:
            yield re.sub(r"\s+", " ", bare)


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _pinned(requirement: Requirement) -> Version | None:
    pins = [one for one in requirement.specifier if one.operator == "==" and not one.version.endswith(".*")]
    return Version(pins[0].version) if len(pins) == 1 and not requirement.url else None


def _wanted(source: Path, seen: set[Path]) -> list[Requirement]:
    """What an .in file asks for, with the files that it includes."""
    found: list[Requirement] = []
    for line in _lines(source) if source.is_file() and source not in seen else ():
        if include := _OPTION.match(line):
            found += _wanted(source.parent / include[1], {*seen, source})
        elif requirement := _requirement(line):
            found.append(requirement)
    return found


def _behind(wanted: list[Requirement], held: Mapping[str, Version], place: str) -> Iterator[Finding]:
    for requirement in wanted:
        version = held.get(canonicalize_name(requirement.name))
        if version is None:
            yield Finding("W602", f"{requirement} is asked for, and isn't in it", place)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding("W602", f"{requirement} is asked for, it has {version}", place)


def _project(folder: Path, held: Mapping[str, Mapping[str, Version]]) -> Iterator[Finding]:
    """pyproject.toml's requirements: in some lock file, and never excluded by one that holds them."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        yield Finding("W602", f"pyproject.toml can't be read: {error}", "pyproject.toml")
        return
    stated = [*project.get("build-system", {}).get("requires", ()), *project.get("project", {}).get("dependencies", ())]
    for requirement in filter(None, map(_requirement, stated)):
        name = canonicalize_name(requirement.name)
        holders = {lock: versions for lock, versions in held.items() if name in versions}
        if held and not holders:
            yield Finding("W602", f"{requirement} is in no lock file", "pyproject.toml")
        for lock, versions in holders.items():
            yield from _behind([requirement], versions, f"requirements/{lock}.txt")


def workflows(folder: Path) -> Iterator[Finding]:
    """W603, W604, by zizmor."""
    place = folder / ".github" / "workflows"
    if not place.is_dir():
        return
    program = shutil.which(ZIZMOR, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if program is None:
        yield Finding("W604", "there is no program zizmor", ".github/workflows")
        return
    options = ["--format", "json", "--no-progress", "--quiet", "--min-severity", "low", "--offline"]
    # Each by its name: of a folder, zizmor leaves out what git ignores, and says that there is no workflow.
    files = [one.relative_to(folder).as_posix() for one in sorted(place.glob("*.y*ml"))]
    ended = process.run([program, *options, *files], cwd=folder, seconds=300, apart=True)
    try:
        found = json.loads(ended.output)
    except ValueError:
        said = f"zizmor ended with {ended.status} and said: {ended.last(3) or 'nothing'}"
        yield Finding("W604", sanitize(said, 300), ".github/workflows")
        return
    for one in found:
        yield _weakness(one)


def _weakness(found: Mapping[str, object]) -> Finding:
    text = json.dumps(found.get("locations", ()))
    file = re.search(r'"verbatim_path": "([^"]+)"', text)
    line = re.search(r'"start_point": \{"row": (\d+)', text)
    where = f"{file[1] if file else ''}:{int(line[1]) + 1 if line else ''}"
    severity = re.search(r'"severity": "(\w+)"', json.dumps(found.get("determinations", {})))
    evidence = (
        f"{found.get('ident')}: {found.get('desc')} ({severity[1] if severity else 'unknown'}), {found.get('url')}"
    )
    return Finding("W603", sanitize(evidence, 300), sanitize(where))
