"""Give Python code of a Windows wheel what only Windows' Python has. Python imports this file when it starts.

The code sees Linux (``sys.platform``), and takes its ways for Linux where it looks. Some code doesn't look: what
delvewheel adds to a package calls ``os.add_dll_directory`` where the folder of bundled libraries exists.
"""

from __future__ import annotations

import os


class DllDirectory:
    """What ``os.add_dll_directory`` returns. The bundled libraries are found without it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def close(self) -> None:
        """Do nothing: the folder was not added."""

    def __enter__(self) -> DllDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if not hasattr(os, "add_dll_directory"):
    os.add_dll_directory = DllDirectory  # type: ignore[attr-defined]
