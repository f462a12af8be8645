"""How files were built: ``provenance.json`` of a release, an in-toto statement with SLSA provenance, or a manifest."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, write_file

PROVENANCE_FILE = "provenance.json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "urn:wheelworks:release:1"

# What decides a wheel's bytes. The hash of CPython's headers doesn't: it changes with the patch version.
_INSTALLED = ("ziglang", "deflate")
_DECISIVE = (*_INSTALLED, "build_requirements")

# The lock files that hold the hashes of the tools and of the build requirements.
LOCKS = ("requirements/build.txt", "requirements/wheelworks.txt")
CHECKOUT = Path(__file__).parents[3]


class RecordedBuild(NamedTuple):
    """What is recorded about a build; empty values for what is unknown."""

    epoch: int | None  # the timestamp of the wheels' files, in seconds since 1970
    tools: Mapping[str, Any]  # versions by name
    passed_env: tuple[str, ...]  # the variables (NAME=VALUE) that the project's build got
    commit: str = ""
    files: Mapping[str, str] = MappingProxyType({})  # the SHA-256 of each built file, by name
    locks: Mapping[str, str] = MappingProxyType({})  # the SHA-256 of each lock file, by path


class ToolchainMismatch(WheelworksError):
    """This checkout has other tools or lock files than those of the ``recorded`` build."""

    def __init__(self, recorded: RecordedBuild, differences: Sequence[str]) -> None:
        text = "this checkout doesn't have the tools that the release was built with:\n" + "\n".join(differences)
        super().__init__(text, f"git checkout {recorded.commit}, and run the same command again")
        self.recorded = recorded


def create_provenance(
    files: Iterable[Path], record: manifest.Manifest, commit: str, stem: str, locks: Mapping[str, str]
) -> dict[str, Any]:
    """Return an in-toto statement (v1) with SLSA provenance (v1) of ``files``.

    It holds no time of day, so that building the release again writes the same statement. ``record`` is the manifest
    of their folder, ``stem`` is NAME-VERSION, and ``locks`` has the SHA-256 of each lock file by path.
    """
    subjects = [{"name": path.name, "digest": {"sha256": hash_file(path)}} for path in sorted(files)]
    materials = [{"uri": f"pkg:generic/{stem}", "digest": {"gitCommit": commit}}]
    materials += [{"uri": f"pkg:generic/{stem}#{name}", "digest": {"sha256": locks[name]}} for name in sorted(locks)]
    return {
        "_type": _STATEMENT,
        "subject": subjects,
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {"command": "nox -s build-wheels", "env": []},
                "internalParameters": {"epoch": record.source.epoch, "toolchain": record.toolchain.versions()},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": _BUILD_TYPE}},
        },
    }


def write_provenance(folder: Path, statement: Mapping[str, Any]) -> Path:
    """Write ``provenance.json``."""
    text = json.dumps(statement, indent=2, sort_keys=True) + "\n"
    return write_file(folder / PROVENANCE_FILE, text.encode())


def load_provenance(folder: Path) -> RecordedBuild | None:
    """Read the provenance in a folder; None if there is none. Raises WheelworksError for an unreadable one."""
    path = folder / PROVENANCE_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["_type"], found["predicateType"]) != (_STATEMENT, _PREDICATE):
            raise KeyError("predicateType")
        return _parse_statement(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: unreadable provenance: {error}", "download it from the release") from error


def _parse_statement(statement: Mapping[str, Any]) -> RecordedBuild:
    definition = statement["predicate"]["buildDefinition"]
    internal, env = definition["internalParameters"], definition["externalParameters"].get("env", [])
    files = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    materials = [(one["uri"].rpartition("#")[2], one["digest"]) for one in definition["resolvedDependencies"]]
    locks = {name: digest["sha256"] for name, digest in materials if "sha256" in digest}
    commit = next((str(digest["gitCommit"]) for _, digest in materials if "gitCommit" in digest), "")
    epoch, tools = int(internal["epoch"]), dict(internal["toolchain"])
    return RecordedBuild(epoch, tools, tuple(map(str, env)), commit, files, locks)


def find_record(folder: Path, files: Mapping[str, Path], record: manifest.Manifest | None) -> RecordedBuild:
    """Return what the folder's provenance says if it is about exactly these files, else what its manifest says.

    A provenance that an earlier release left in the folder has another timestamp, and perhaps other tools.
    Raises WheelworksError for an unreadable provenance.
    """
    recorded = load_provenance(folder)
    if recorded and (record is None or all(recorded.files.get(name) == hash_file(files[name]) for name in files)):
        return recorded
    if record is None:
        return RecordedBuild(None, {}, ())
    return RecordedBuild(record.source.epoch, record.toolchain.versions(), ())


def check_provenance(recorded: RecordedBuild, files: Mapping[str, Path], checkout: Path = CHECKOUT) -> None:
    """Check published files, and the tools of this checkout, against a provenance.

    Raises WheelworksError for a file that the provenance doesn't name, or with another hash; and ToolchainMismatch if
    the tools or the lock files differ, because a build with other tools proves nothing.
    """
    for name, path in files.items():
        if recorded.files.get(name) != hash_file(path):
            raise WheelworksError(f"{name}: doesn't have the hash that its {PROVENANCE_FILE} states", "don't use it")
    used = {name: importlib.metadata.version(name) for name in _INSTALLED}
    used |= {name: hash_file(checkout / name) for name in LOCKS}
    stated = {**recorded.tools, **{name: digest for name, digest in recorded.locks.items() if name in LOCKS}}
    if differences := compare_tools({name: stated[name] for name in used if name in stated}, used):
        raise ToolchainMismatch(recorded, differences)


def compare_tools(recorded: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """Describe the tools and lock files that decide a wheel's bytes and differ from those on record."""
    differing = [name for name in (*_DECISIVE, *LOCKS) if name in recorded and recorded[name] != used.get(name)]
    return [f"{name}: {used.get(name)}, where the record says {recorded[name]}" for name in differing]
