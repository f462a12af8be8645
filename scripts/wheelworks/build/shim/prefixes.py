"""Show the libraries that the user brings to setup scripts that search the folders of setuptools' ``build_ext``.

The compiler driver passes these folders anyway. They come after the project's own here, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .replacing import replace_once


def show_to_setuptools(include: Sequence[str], libraries: Sequence[str]) -> None:
    """Append folders to the ``include_dirs`` and ``library_dirs`` of ``build_ext``, if it has been imported."""
    if not (include or libraries):
        return

    def make(original: Any) -> Any:
        def finalize_options(self: Any) -> None:
            original(self)
            self.include_dirs = [*self.include_dirs, *(name for name in include if name not in self.include_dirs)]
            self.library_dirs = [*self.library_dirs, *(name for name in libraries if name not in self.library_dirs)]

        return finalize_options

    owner = getattr(sys.modules.get("setuptools.command.build_ext"), "build_ext", None)
    replace_once(owner, "finalize_options", make)
