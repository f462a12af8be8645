"""How a project tests a wheel, by its ``[tool.cibuildwheel]`` (read by `wheelworks.core.cibuildwheel`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core.cibuildwheel import find_platform, read_settings
from wheelworks.core.shell_words import Assignment
from wheelworks.core.tags import parse_platform
from wheelworks.core.wheel import WheelName

_LIBCS = {"glibc": "manylinux", "musl": "musllinux"}


@dataclass(frozen=True)
class TestSettings:
    """What a project says about the tests of a wheel; each is empty where it says nothing."""

    __test__ = False  # it isn't a class of tests for pytest

    command: str = ""
    requires: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def list_identifiers(name: WheelName) -> list[str]:
    """Return cibuildwheel's identifiers of the builds that make a wheel, sorted."""
    found = set()
    for tag in name.tags:
        platform = parse_platform(tag.platform)
        python = f"{tag.interpreter}t" if re.fullmatch(r"cp\d+t", tag.abi) else tag.interpreter
        if platform:
            heads = {"linux": _LIBCS.get(platform.libc, "manylinux"), "macos": "macosx"}
            head = heads.get(platform.os)
            found.add(f"{python}-{head}_{platform.arch}" if head else f"{python}-{tag.platform}")
    return sorted(found)


def read_test_settings(tree: Path, name: WheelName) -> TestSettings:
    """Return a project's settings for the tests of a wheel. Raises WheelworksError for settings that can't be read.

    Commands for Windows are those of cmd.exe: backslashes become slashes, so that paths work here.
    """
    settings, identifiers = read_settings(tree), list_identifiers(name)
    if settings is None or not identifiers:
        return TestSettings()
    options = settings.select(identifiers[0])
    command = options.text("test-command")
    return TestSettings(
        command=command.replace("\\", "/") if find_platform(identifiers[0]) == "windows" else command,
        requires=options.words("test-requires"),
        sources=options.words("test-sources"),
        extras=options.words("test-extras"),
        groups=options.words("test-groups"),
        environment={one.name: _format_value(one) for one in options.assignments("test-environment")},
    )


def _format_value(assignment: Assignment) -> str:
    """Return the value of an assignment; variables in it are replaced where the tests run."""
    return "".join(f"${{{part.text}}}" if part.is_name else part.text for part in assignment.parts)
