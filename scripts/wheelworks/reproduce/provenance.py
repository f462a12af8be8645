"""What is recorded of how files were made: the manifest of a folder, or the provenance of a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from wheelworks import manifest
from wheelworks.errors import WheelworksError

FILE = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"

# What decides a wheel's bytes; the headers' hash does not, as it changes with CPython's patch version.
_DECIDES = ("ziglang", "deflate", "build_requirements")


class Stated(NamedTuple):
    """The time that wheels bear (seconds since 1970, None if unknown), the tools, what the build was shown."""

    epoch: int | None
    tools: dict[str, Any]
    seen: tuple[str, ...]


def of_manifest(record: manifest.Record) -> Stated:
    """What a manifest says."""
    source = record.get("source", {})
    epoch = source.get("epoch")
    return Stated(epoch if isinstance(epoch, int) else None, dict(record.get("toolchain", {})), ())


def load(folder: Path) -> Stated | None:
    """What the provenance in a folder says: an in-toto statement with SLSA provenance 1; None where there is none.

    Raises WheelworksError for one that can't be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["_type"], found["predicateType"]) != (STATEMENT, PREDICATE):
            raise KeyError("predicateType")
        inside = found["predicate"]["buildDefinition"]["internalParameters"]
        seen = found["predicate"]["buildDefinition"]["externalParameters"].get("env", [])
        return Stated(int(inside["epoch"]), dict(inside["toolchain"]), tuple(map(str, seen)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no provenance that can be read: {error}", "take it from the release") from error


def other_tools(recorded: manifest.Record, used: manifest.Record) -> list[str]:
    """Which of the tools that decide a wheel's bytes differ from those on record, in words."""
    return [
        f"{name}: {used.get(name)}, where the record says {recorded[name]}"
        for name in _DECIDES
        if name in recorded and recorded[name] != used.get(name)
    ]
