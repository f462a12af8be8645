"""Run the ``lint-project`` command: check what a project installs in its sessions and CI (lock files, workflows)."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelworks.audit import report
from wheelworks.audit.findings import Finding, sanitize
from wheelworks.cli._command import create_parser
from wheelworks.core import process
from wheelworks.core.errors import UsageError

ZIZMOR = "zizmor"
EPILOG = """\
examples:
  wheelworks lint-project                     the project in this folder
  wheelworks lint-project ../other --sarif    another one, for a program

Checks that every requirements/NAME.txt is pinned, hashed and up to date with NAME.in and pyproject.toml, and the
workflows in .github/workflows by zizmor. `nox -s lint` runs it. `nox -s audit -- --explain CODE` explains a finding.
Exit status: 0, 1 (an error was found, with --strict a warning too), 2 (wrong use)."""
_INCLUDE = re.compile(r"^(?:-r|--requirement)\s+(\S+)$")
_FOLDER_HINT = "name the folder with the project's pyproject.toml"
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    made = create_parser("wheelworks lint-project", "Check a project's lock files and CI workflows.", EPILOG)
    made.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")
    report.add_output_options(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    if not options.folder.is_dir():
        raise UsageError(f"{options.folder}: no such folder", _FOLDER_HINT)
    if not (options.folder / "pyproject.toml").is_file():
        raise UsageError(f"{options.folder}: no project: it has no pyproject.toml", _FOLDER_HINT)
    start = time.perf_counter()
    audit = report.Audit((), tuple(check_project(options.folder)), ("project",))
    return report.print_audit(audit, options, time.perf_counter() - start, "lint-project")


def check_project(folder: Path) -> Iterator[Finding]:
    """W601 to W604: check a project's lock files and workflows."""
    yield from check_locks(folder)
    yield from check_workflows(folder)


def check_locks(folder: Path) -> Iterator[Finding]:
    """W601, W602: check that each lock file is pinned and hashed, and has what ``NAME.in`` and pyproject.toml need."""
    place = folder / "requirements"
    held: dict[str, dict[str, Version]] = {}
    for lock in sorted(place.glob("*.txt")):
        held[lock.stem] = {}
        for line in _read_lines(lock):
            requirement = _parse_requirement(line.split(" --hash")[0])
            if requirement is None or not (pinned := _find_pin(requirement)) or not _HASH.search(line):
                yield Finding("W601", sanitize(line.split(" --hash")[0]), f"requirements/{lock.name}")
            else:
                held[lock.stem][canonicalize_name(requirement.name)] = pinned
    for source in sorted(place.glob("*.in")):
        if source.stem not in held:
            yield Finding("W602", f"there is no {source.stem}.txt", f"requirements/{source.name}")
            continue
        wanted = _read_requirements(source, set())
        yield from _check_versions(wanted, held[source.stem], f"requirements/{source.stem}.txt")
    yield from _check_pyproject(folder, held)


def _read_lines(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if bare := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield re.sub(r"\s+", " ", bare)


def _parse_requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _find_pin(requirement: Requirement) -> Version | None:
    pins = [one for one in requirement.specifier if one.operator == "==" and not one.version.endswith(".*")]
    return Version(pins[0].version) if len(pins) == 1 and not requirement.url else None


def _read_requirements(source: Path, seen: set[Path]) -> list[Requirement]:
    """Return the requirements of an .in file and of the files that it includes."""
    found: list[Requirement] = []
    for line in _read_lines(source) if source.is_file() and source not in seen else ():
        if include := _INCLUDE.match(line):
            found += _read_requirements(source.parent / include[1], {*seen, source})
        elif requirement := _parse_requirement(line):
            found.append(requirement)
    return found


def _check_versions(wanted: list[Requirement], held: Mapping[str, Version], place: str) -> Iterator[Finding]:
    for requirement in wanted:
        version = held.get(canonicalize_name(requirement.name))
        if version is None:
            yield Finding("W602", f"{requirement} is required, but isn't in it", place)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding("W602", f"{requirement} is required, but it has {version}", place)


def _check_pyproject(folder: Path, held: Mapping[str, Mapping[str, Version]]) -> Iterator[Finding]:
    """Check that pyproject.toml's requirements are in some lock file, and that no lock file contradicts them."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        yield Finding("W602", f"pyproject.toml can't be read: {error}", "pyproject.toml")
        return
    stated = [*project.get("build-system", {}).get("requires", ()), *project.get("project", {}).get("dependencies", ())]
    for requirement in filter(None, map(_parse_requirement, stated)):
        name = canonicalize_name(requirement.name)
        holders = {lock: versions for lock, versions in held.items() if name in versions}
        if held and not holders:
            yield Finding("W602", f"{requirement} is in no lock file", "pyproject.toml")
        for lock, versions in holders.items():
            yield from _check_versions([requirement], versions, f"requirements/{lock}.txt")


def check_workflows(folder: Path) -> Iterator[Finding]:
    """W603, W604: check the workflows with zizmor."""
    place = folder / ".github" / "workflows"
    if not place.is_dir():
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which(ZIZMOR, path=path)
    if program is None:
        yield Finding("W604", "the program zizmor isn't installed", ".github/workflows")
        return
    # Named one by one: of a folder, zizmor leaves out what git ignores.
    files = [one.relative_to(folder).as_posix() for one in sorted(place.glob("*.y*ml"))]
    command = [program, "--format", "json", "--no-progress", "--quiet", "--offline", *files]
    ended = process.run(command, cwd=folder, timeout=300, separate_stderr=True)
    try:
        found = json.loads(ended.output)
    except ValueError:
        evidence = f"zizmor ended with status {ended.status}: {ended.last_lines(3) or 'no output'}"
        yield Finding("W604", sanitize(evidence, 300), ".github/workflows")
        return
    yield from map(_describe_weakness, found)


def _describe_weakness(found: Mapping[str, object]) -> Finding:
    text = json.dumps(found.get("locations", ()))
    file = re.search(r'"verbatim_path": "([^"]+)"', text)
    line = re.search(r'"start_point": \{"row": (\d+)', text)
    where = f"{file[1] if file else ''}:{int(line[1]) + 1 if line else ''}"
    severity = re.search(r'"severity": "(\w+)"', json.dumps(found.get("determinations", {})))
    level = severity[1] if severity else "unknown"
    evidence = f"{found.get('ident')}: {found.get('desc')} ({level}), {found.get('url')}"
    return Finding("W603", sanitize(evidence, 300), sanitize(where))
