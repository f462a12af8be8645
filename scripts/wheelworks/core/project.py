"""Which CPythons and platforms a project has wheels for, as its own files say.

In this order: ``[tool.wheelworks] abis`` names the tags of its wheels; ``[tool.cibuildwheel]`` selects wheels by their
identifiers; otherwise ``Requires-Python`` and the classifiers name the Pythons.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from wheelworks.core import cibuildwheel
from wheelworks.core.cibuildwheel import format_identifier
from wheelworks.core.errors import WheelworksError
from wheelworks.core.source_tree import read_pyproject, read_settings
from wheelworks.core.targets import Abi, Target, find_abi, get_build_abi, load_abis, load_targets

ABIS_HINT = """\
[tool.wheelworks]
abis = ["cp311-abi3", "cp314-cp314t"]   # the tags of the project's wheels"""
_FREE_THREADING = "Programming Language :: Python :: Free Threading"
_MAX_METADATA = 4 << 20  # bytes


@dataclass(frozen=True)
class Project:
    """What a project says about its wheels.

    ``stated`` are the ABIs of ``[tool.wheelworks]``, ``settings`` those of cibuildwheel, ``requires_python`` and
    ``classifiers`` its metadata. Each may be missing.
    """

    stated: tuple[Abi, ...]
    settings: cibuildwheel.Settings | None
    requires_python: SpecifierSet
    classifiers: tuple[str, ...]

    def supports(self, abi: Abi) -> bool:
        """Return whether the project has wheels for an ABI on some platform."""
        if self.stated:
            return abi in self.stated
        if not self.requires_python.contains(f"3.{abi.minor}.99"):  # as cibuildwheel asks
            return False
        if self.settings:
            return any(self.settings.is_selected(format_identifier(target, abi)) for target in load_targets())
        return self._is_classified(abi)

    def _is_classified(self, abi: Abi) -> bool:
        versions = (re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", one) for one in self.classifiers)
        minors = {int(match[1]) for match in versions if match}
        if abi.free_threaded and not any(one.startswith(_FREE_THREADING) for one in self.classifiers):
            return False
        return not minors or abi.minor in minors

    def has_wheel(self, target: Target, abi: Abi, *, any_abi: bool = False, any_arch: bool = False) -> bool:
        """Return whether the project's settings select a wheel of a supported ABI.

        With ``any_abi`` it is enough that they don't skip it; with ``any_arch``, ``archs`` isn't asked.
        """
        if self.stated or not self.settings:
            return True
        if not any_arch and not self.settings.has_arch(target):
            return False
        identifier = format_identifier(target, abi)
        return not self.settings.is_skipped(identifier) if any_abi else self.settings.is_selected(identifier)

    def list_abis(self) -> list[Abi]:
        """Return the ABIs that the project supports, in the table's order. Raises WheelworksError if there are none."""
        found = [abi for abi in load_abis() if self.supports(abi)]
        if not found:
            known = f"{load_abis()[0].python} to {load_abis()[-1].python}"
            raise WheelworksError(
                f"the project supports none of CPython {known}", "name one by --abi, or look at Requires-Python"
            )
        return found

    def choose_abi(self) -> Abi:
        """Return the ABI for a build of one ABI: of the oldest Python, but not below that which runs builds."""
        found = [abi for abi in self.list_abis() if not abi.free_threaded] or self.list_abis()
        return next((abi for abi in found if abi.minor >= get_build_abi().minor), found[-1])


def read_project(tree: Path) -> Project:
    """Read what a project's folder says. Raises WheelworksError for what can't be read, and names the file."""
    requires_python, classifiers = _read_metadata(tree)
    try:
        specifier = SpecifierSet(requires_python)
    except InvalidSpecifier as error:
        raise WheelworksError(f"{tree.name}: Requires-Python can't be read: {error}") from error
    return Project(read_stated_abis(tree), cibuildwheel.read_settings(tree), specifier, tuple(classifiers))


def read_stated_abis(tree: Path) -> tuple[Abi, ...]:
    """Return the ABIs that ``[tool.wheelworks] abis`` names, in the table's order; none without that setting.

    Raises WheelworksError unless it is a list of tags, UsageError for an unknown one.
    """
    names = read_settings(tree).get("abis", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] abis must be a list of tags", ABIS_HINT)
    named = {find_abi(name) for name in names}
    return tuple(abi for abi in load_abis() if abi in named)


def _read_metadata(tree: Path) -> tuple[str, Sequence[str]]:
    """Return Requires-Python and the classifiers: of an sdist's PKG-INFO, of pyproject.toml, or of setup.cfg."""
    file = tree / "PKG-INFO"
    if file.is_file() and file.stat().st_size <= _MAX_METADATA:
        raw, _ = parse_email(file.read_bytes())
        return raw.get("requires_python", ""), raw.get("classifiers", [])
    project = read_pyproject(tree).get("project", {})
    if not isinstance(project, dict):
        raise WheelworksError(f"pyproject.toml of {tree.name}: [project] must be a table")
    config = _read_setup_cfg(tree)
    requires_python = project.get("requires-python") or config.get("options", "python_requires", fallback="")
    listed: Any = project.get("classifiers") or config.get("metadata", "classifiers", fallback="").splitlines()
    return str(requires_python), [str(line).strip() for line in _as_list(listed) if str(line).strip()]


def _as_list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else []


def _read_setup_cfg(tree: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(tree / "setup.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise WheelworksError(f"setup.cfg of {tree.name} can't be read: {error}") from error
    return parser
