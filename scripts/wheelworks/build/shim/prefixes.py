"""Show the libraries that the user brings to setup scripts that search the folders of setuptools' ``build_ext``.

The compiler driver passes these folders anyway. They come after the project's own here, too.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any


def show_to_setuptools(include: Sequence[str], libraries: Sequence[str]) -> None:
    """Append folders to the ``include_dirs`` and ``library_dirs`` of ``build_ext``, if it has been imported."""
    owner = getattr(sys.modules.get("setuptools.command.build_ext"), "build_ext", None)
    original = getattr(owner, "finalize_options", None)
    if original is None or hasattr(original, "_wheelworks") or not (include or libraries):
        return

    @functools.wraps(original)
    def wrapped(self: Any) -> None:
        original(self)
        self.include_dirs = [*self.include_dirs, *(name for name in include if name not in self.include_dirs)]
        self.library_dirs = [*self.library_dirs, *(name for name in libraries if name not in self.library_dirs)]

    wrapped._wheelworks = True  # type: ignore[attr-defined]
    owner.finalize_options = wrapped  # type: ignore[union-attr]
