"""The environment variables that a build sees: few, and the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wheelworks.core.errors import UsageError

# What programs can't start without, by host. Everything else that a user has set (CFLAGS, CC, ARCHFLAGS,
# PYTHONPATH, MACOSX_DEPLOYMENT_TARGET ...) would make the wheel theirs.
_PASSED = (
    "PATH",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "NUMBER_OF_PROCESSORS",
    "LD_LIBRARY_PATH",
)


def hermetic(outer: Mapping[str, str], work: Path, epoch: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of every step that runs the project's code.

    ``work`` takes the place of the user's home and temporary folder; ``extra`` is what the user passes on
    purpose (``--env``).
    """
    home, temporary = work / "home", work / "tmp"
    home.mkdir(exist_ok=True, parents=True)
    temporary.mkdir(exist_ok=True)
    passed = {key: value for key, value in outer.items() if key.upper() in _PASSED}
    return {
        **passed,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "TMP": str(temporary),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PKG_CONFIG_LIBDIR": str(home),  # the host's libraries are none of the target's
        "GIT_OPTIONAL_LOCKS": "0",
        **extra,
    }


def parse(settings: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as a table. Raises UsageError for any other word."""
    table = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env {setting}: not of the form NAME=VALUE")
        table[name] = value
    return table
