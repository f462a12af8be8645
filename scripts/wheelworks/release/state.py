"""What is done of a release, kept beside its files, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.core import manifest

FILE = ".release.json"


@dataclass(frozen=True)
class State:
    """The steps that are done, each with the SHA-256 of every file that it is about.

    It is for one version and commit, and for what a rehearsal was confined to, if it was.
    """

    version: str
    commit: str
    part: tuple[str, ...] = ()
    done: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def is_done(self, step: str, folder: Path) -> bool:
        """Whether a step was done, and its files are still what they were."""
        files = self.done.get(step)
        return files is not None and all(manifest.sha256(folder / name) == digest for name, digest in files.items())

    def with_done(self, step: str, files: Iterable[Path]) -> State:
        """The state once a step is done with ``files``."""
        hashes = {path.name: manifest.sha256(path) for path in files}
        return replace(self, done={**self.done, step: hashes})

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        record = {"version": self.version, "commit": self.commit, "part": self.part, "done": self.done}
        manifest.write(folder / FILE, (json.dumps(record, indent=1) + "\n").encode())


def load(folder: Path, version: str, commit: str, part: tuple[str, ...] = ()) -> State:
    """The state of this version, commit and part; a new one where there is none, or that of another release."""
    fresh = State(version, commit, part)
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        done = {
            str(step): {str(name): str(digest) for name, digest in files.items()}
            for step, files in found["done"].items()
        }
        theirs = found["version"], found["commit"], tuple(found["part"])
        return replace(fresh, done=done) if theirs == (version, commit, part) else fresh
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return fresh  # nothing that can be relied on: every step is done again
