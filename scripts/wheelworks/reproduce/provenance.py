"""What is recorded of how files were made: the manifest of a folder, or the provenance of a release."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from wheelworks.core import manifest
from wheelworks.core.errors import WheelworksError

PROVENANCE_FILE = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"

# What decides a wheel's bytes; the headers' hash does not, as it changes with CPython's patch version.
_INSTALLED = ("ziglang", "deflate")
_DECIDES = (*_INSTALLED, "build_requirements")


# Lock files that hold the hashes of the tools and of the build requirements.
LOCKS = ("requirements/build.txt", "requirements/wheelworks.txt")
CHECKOUT = Path(__file__).parents[3]


class RecordedBuild(NamedTuple):
    """What was recorded.

    The time that wheels bear (seconds since 1970, None if unknown), the tools, what the build was shown; the commit,
    and by name the SHA-256 of what was made and of the lock files.
    """

    epoch: int | None
    tools: dict[str, Any]
    seen: tuple[str, ...]
    commit: str = ""
    files: Mapping[str, str] = MappingProxyType({})
    locks: Mapping[str, str] = MappingProxyType({})


class ToolchainMismatch(WheelworksError):
    """The tools here, or the lock files that name them by hash, aren't those on record; ``stated`` is the record."""

    def __init__(self, stated: RecordedBuild, others: Sequence[str]) -> None:
        text = "this checkout hasn't got the tools that the release was built with:\n" + "\n".join(others)
        super().__init__(text, f"git checkout {stated.commit}, and the same command again")
        self.stated = stated


def read_manifest(record: manifest.Manifest | None) -> RecordedBuild:
    """What a manifest says."""
    return (
        RecordedBuild(record.source.epoch, record.toolchain.versions(), ()) if record else RecordedBuild(None, {}, ())
    )


def load_provenance(folder: Path) -> RecordedBuild | None:
    """What the provenance in a folder says: an in-toto statement with SLSA provenance 1; None where there is none.

    Raises WheelworksError for one that can't be read.
    """
    path = folder / PROVENANCE_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["_type"], found["predicateType"]) != (STATEMENT, PREDICATE):
            raise KeyError("predicateType")
        return _stated(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no provenance that can be read: {error}", "take it from the release") from error


def find_record(folder: Path, files: Mapping[str, Path], record: manifest.Manifest | None) -> RecordedBuild:
    """What is recorded of files: by the folder's provenance where it tells of just these, else by its manifest.

    A provenance that an earlier release has left in the folder has another time, and maybe other tools. Raises
    WheelworksError for a provenance that can't be read.
    """
    stated = load_provenance(folder)
    if stated and (record is None or all(stated.files.get(name) == manifest.sha256(files[name]) for name in files)):
        return stated
    return read_manifest(record)


def _stated(statement: Mapping[str, Any]) -> RecordedBuild:
    definition = statement["predicate"]["buildDefinition"]
    inside, seen = definition["internalParameters"], definition["externalParameters"].get("env", [])
    files = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    materials = [(one["uri"].rpartition("#")[2], one["digest"]) for one in definition["resolvedDependencies"]]
    locks = {name: digest["sha256"] for name, digest in materials if "sha256" in digest}
    commit = next((digest["gitCommit"] for _, digest in materials if "gitCommit" in digest), "")
    return RecordedBuild(
        int(inside["epoch"]), dict(inside["toolchain"]), tuple(map(str, seen)), str(commit), files, locks
    )


def check_provenance(stated: RecordedBuild, files: Mapping[str, Path], checkout: Path = CHECKOUT) -> None:
    """Hold published files, and the tools here, against a provenance.

    Raises WheelworksError for a file that it doesn't tell of, or of other bytes; and OtherTools where the tools, or the
    lock files that name them by hash, are others here: nothing built with them could tell anything.
    """
    for name, path in files.items():
        if stated.files.get(name) != manifest.sha256(path):
            raise WheelworksError(f"{name}: isn't the file that its {PROVENANCE_FILE} tells of", "don't use it")
    used = {name: importlib.metadata.version(name) for name in _INSTALLED}
    others = compare_tools({name: version for name, version in stated.tools.items() if name in used}, used)
    others += [
        f"{name}: its SHA-256 is {manifest.sha256(checkout / name)}, where the record says {stated.locks[name]}"
        for name in LOCKS
        if name in stated.locks and manifest.sha256(checkout / name) != stated.locks[name]
    ]
    if others:
        raise ToolchainMismatch(stated, others)


def compare_tools(recorded: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """Which of the tools that decide a wheel's bytes differ from those on record, in words."""
    return [
        f"{name}: {used.get(name)}, where the record says {recorded[name]}"
        for name in _DECIDES
        if name in recorded and recorded[name] != used.get(name)
    ]
