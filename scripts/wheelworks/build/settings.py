"""What the compiler driver needs to know of a target, handed to it as a JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """One build's compiler settings.

    ``compiler`` is the compiler's target, ``model`` its CPU, ``include`` the folder with CPython's headers, ``python``
    their version ("311", "314t"), ``source`` the tree that is built, ``allowed`` the folders that headers and libraries
    may come from, ``work`` a folder for what the driver writes, ``log`` the file it reports to, ``warm`` the file whose
    presence says that this target's libc has been linked before.
    """

    target: str
    os: str
    cpu: str
    compiler: str
    model: str
    minimum: str
    python: str
    zig: str
    include: str
    source: str
    allowed: tuple[str, ...]
    work: str
    log: str
    warm: str

    def write(self, path: Path) -> None:
        """Write the settings for the driver to read."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> Settings:
        """Read what ``write`` wrote."""
        values: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**{**values, "allowed": tuple(values["allowed"])})
