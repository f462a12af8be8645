"""The files of a release as the package index has them, fetched by their hashes.

Which index that is, pip's own configuration says (PEP 503, PEP 691: the simple API's JSON form).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from wheelworks.core import manifest
from wheelworks.core.errors import UsageError, WheelworksError

JSON = "application/vnd.pypi.simple.v1+json"
MOST = 64 << 20  # bytes of one answer
SECONDS = 60
_SETTING = re.compile(r"^(:env:|global|download)\.([\w-]+)='(.*)'$", re.MULTILINE)
_RANKS = ("global", "download", ":env:")  # pip versions list them in various orders; the last of these wins
_DEFAULT = re.compile(r"\(default (\S+/simple/?)\)")


def is_requirement(word: str) -> bool:
    """Whether a word names a release of a project: ``name==version``."""
    try:
        _parsed(word)
    except ValueError:
        return False
    return True


def _parsed(word: str) -> tuple[str, Version]:
    name, equals, version = word.partition("==")
    if not equals:
        raise ValueError(word)
    return canonicalize_name(name, validate=True), Version(version)


@dataclass(frozen=True)
class File:
    """A file of a release in the index: its name, its address, and the SHA-256 that the index names."""

    name: str
    url: str
    sha256: str


def files(word: str) -> list[File]:
    """Every wheel of the release ``name==version``, and its sdist, sorted by name.

    Raises UsageError where the index has none of it, and WheelworksError where it can't be asked.
    """
    (name, version), settings = _parsed(word), pip_settings()
    listed = [file for index in indexes(settings) for file in _listed(index, name, settings)]
    chosen = {file.name: file for file in reversed(listed) if _is_of(file.name, version)}
    if not chosen:
        raise UsageError(f"{word}: the index has no file of it", "see `pip index versions` for those that there are")
    return [chosen[name] for name in sorted(chosen)]


def fetch(word: str, folder: Path) -> list[Path]:
    """Download every wheel of the release ``name==version`` into a folder.

    Raises UsageError where the index has no wheel of it, and WheelworksError where it can't be asked.
    """
    chosen = [file for file in files(word) if file.name.endswith(".whl")]
    if not chosen:
        raise UsageError(f"{word}: the index has no wheel of it", "see `pip index versions` for those that there are")
    return download(chosen, folder)


def download(chosen: Sequence[File], folder: Path) -> list[Path]:
    """Download files into a folder. Raises WheelworksError, also for one that isn't what the index says."""
    settings = pip_settings()
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda file: _download(file, folder, settings), chosen))


def beside(file: File, name: str) -> bytes | None:
    """What lies beside a file in the index under another name; None where nothing does. Raises WheelworksError."""
    address = urljoin(file.url, name)
    try:
        return _get(address, pip_settings())
    except urllib.error.HTTPError as error:
        if error.code in (403, 404):  # some stores say the one of what they haven't got, some the other
            return None
        raise _unreachable(address, f"{error.code} {error.reason}") from error


def pip_settings() -> dict[str, str]:
    """What pip is configured with, by file and environment, the latter winning. Raises WheelworksError."""
    return dict(_configured(tuple(sorted(item for item in os.environ.items() if item[0].startswith("PIP_")))))


@functools.cache
def _configured(variables: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """What pip says while these variables are set: asking takes half a second."""
    found = sorted(_SETTING.findall(_pip("config", "list")), key=lambda one: _RANKS.index(one[0]))
    return tuple((name, value) for _, name, value in found)


def indexes(settings: Mapping[str, str]) -> list[str]:
    """The addresses of the indexes that pip asks, in its order; those that are folders are left out."""
    first = settings.get("index-url") or _default()
    words = [first, *settings.get("extra-index-url", "").split()]
    return [word.rstrip("/") + "/" for word in words if word.startswith(("http://", "https://"))]


def _default() -> str:
    """pip's own default, as its help says it."""
    found = _DEFAULT.search(" ".join(_pip("download", "--help").split()))
    if not found:
        raise WheelworksError("pip doesn't say which index is its default", "set PIP_INDEX_URL")
    return found[1]


def _pip(*words: str) -> str:
    command = [sys.executable, "-m", "pip", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if ended.returncode:
        raise WheelworksError(f"pip {words[0]} failed: {ended.stderr.strip()[-300:]}")
    return ended.stdout


def _listed(index: str, project: str, settings: Mapping[str, str]) -> list[File]:
    page = urljoin(index, f"{project}/")
    try:
        answer = json.loads(_get(page, settings, JSON))
        return [
            File(str(file["filename"]), urljoin(page, file["url"]), str(file["hashes"]["sha256"]))
            for file in answer["files"]
            if "sha256" in file["hashes"]
        ]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise _unreachable(index, f"{error.code} {error.reason}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreachable(index, f"it doesn't speak the JSON form of the simple API ({error})") from error


def _is_of(name: str, version: Version) -> bool:
    try:
        found = parse_wheel_filename(name) if name.endswith(".whl") else parse_sdist_filename(name)
        return found[1] == version and Path(name).name == name
    except ValueError:
        return False


def _download(file: File, folder: Path, settings: Mapping[str, str]) -> Path:
    try:
        data = _get(file.url, settings)
    except urllib.error.HTTPError as error:
        raise _unreachable(file.url, f"{error.code} {error.reason}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise WheelworksError(f"{file.name}: its bytes aren't those that the index names by hash")
    return manifest.write(folder / file.name, data)


def _get(address: str, settings: Mapping[str, str], accept: str = "*/*") -> bytes:
    """Fetch an address, with the name and password that stand in it. Raises WheelworksError, HTTPError."""
    parts = urlsplit(address)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(plain, headers={"Accept": accept, "User-Agent": "wheelworks"})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    trust = ssl.create_default_context(cafile=settings.get("cert"))
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=trust) as answer:
            data = bytes(answer.read(MOST + 1))
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        raise _unreachable(plain, str(getattr(error, "reason", error))) from error
    if len(data) > MOST:
        raise WheelworksError(f"{plain}: more than {MOST >> 20} MiB: refused")
    return data


def _unreachable(address: str, why: str) -> WheelworksError:
    host = urlsplit(address).hostname
    return WheelworksError(f"the package index at {host} can't be asked: {why}", "look at `pip config list`")
