"""All files of a release, as the index serves them: by the Simple API (PEP 503, PEP 691), each by its hash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pypi_simple
import requests
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelworks.core import cache
from wheelworks.core.errors import UsageError, WheelworksError


def parse(word: str) -> tuple[str, Version]:
    """The project and the version of ``name==version``. Raises UsageError."""
    try:
        requirement = Requirement(word)
        [pin] = requirement.specifier
        if pin.operator != "==" or pin.version.endswith(".*") or requirement.url:
            raise ValueError
        return requirement.name, Version(pin.version)
    except (InvalidRequirement, InvalidVersion, ValueError):
        hint = "name wheel files, folders of them, or a release such as tornado==6.6.1"
        raise UsageError(f"{word}: no such file or folder, and no release", hint) from None


def fetch(word: str, say: Callable[[str], None]) -> list[Path]:
    """Every file of the release ``name==version``, wheels and sdist, sorted by name.

    Files are kept in the cache under their hash. Raises WheelworksError where the index has no such release, or can't
    be reached.
    """
    name, version = parse(word)
    try:
        with pypi_simple.PyPISimple(index_url()) as index:
            page = index.get_project_page(canonicalize_name(name))
            found = [one for one in page.packages if one.version and _is(one.version, version)]
            if not found:
                raise WheelworksError(f"{word}: the index has no file of this version", "look at its list of releases")
            return sorted((stored(index, one, say) for one in found), key=lambda path: path.name)
    except pypi_simple.NoSuchProjectError as error:
        raise WheelworksError(f"{word}: the index has no project of this name", "check the spelling") from error
    except (requests.RequestException, pypi_simple.DigestMismatchError, ValueError) as error:
        raise WheelworksError(f"{word}: the index can't be read: {error}", "check the connection") from error


def _is(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def stored(
    index: pypi_simple.PyPISimple, package: pypi_simple.DistributionPackage, say: Callable[[str], None] = lambda _: None
) -> Path:
    """A file of the index, in the cache under its hash. Raises WheelworksError, and what requests raises."""
    digest = package.digests.get("sha256", "")
    if not digest.isalnum() or Path(package.filename).name != package.filename:
        raise WheelworksError(f"{package.filename!r}: the index gives no SHA-256 hash for it, or no file's name")

    def download(folder: Path) -> None:
        say(f"fetching {package.filename}")
        index.download_package(package, folder / package.filename, verify=True)

    return cache.keep(f"releases/{digest[:32]}", download) / package.filename


def index_url() -> str:
    """The index that pip uses here."""
    if url := os.environ.get("PIP_INDEX_URL"):
        return url
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return found.stdout.strip() or pypi_simple.PYPI_SIMPLE_ENDPOINT
