"""What the caller of an audit declares about the wheels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """What the caller declares: instruction sets that all users of the wheels have, and the time in PE files."""

    cpu: frozenset[str] = frozenset()
    epoch: int | None = None


DEFAULT_POLICY = Policy()
