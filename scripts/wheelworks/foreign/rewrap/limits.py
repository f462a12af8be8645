"""Modules that no CPython of Linux can run as their own system does, whatever their wheel is like."""

from __future__ import annotations

from collections.abc import Iterable

# Reasons by system and module.
_REASONS = {
    ("windows", "greenlet._greenlet"): (
        "greenlet switches by saving and setting fields of CPython's PyThreadState, and those behind thread_id, an "
        "unsigned long, lie elsewhere on Windows"
    ),
}


def find_limits(system: str, modules: Iterable[str]) -> dict[str, str]:
    """Return those of a system's rewrapped modules that can be loaded here, but not run as there, with the reasons."""
    return {name: _REASONS[system, name] for name in modules if (system, name) in _REASONS}
