"""The wheels of a release as the package index has them, fetched by their hashes.

Which index that is, pip's own configuration says (PEP 503, PEP 691: the simple API's JSON form).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from wheelworks import manifest
from wheelworks.errors import UsageError, WheelworksError

JSON = "application/vnd.pypi.simple.v1+json"
MOST = 64 << 20  # bytes of one answer
SECONDS = 60
_SETTING = re.compile(r"^(?::env:|global|download)\.([\w-]+)='(.*)'$", re.MULTILINE)
_DEFAULT = re.compile(r"\(default (\S+/simple/?)\)")


def is_requirement(word: str) -> bool:
    """Whether a word names a release of a project: ``name==version``."""
    return re.fullmatch(r"[\w.-]+==[\w.!+]+", word) is not None


def fetch(word: str, folder: Path) -> list[Path]:
    """Download every wheel of the release ``name==version`` into a folder.

    Raises UsageError where the index has no wheel of it, and WheelworksError where it can't be asked.
    """
    wanted = Requirement(word)
    version = Version(str(wanted.specifier).removeprefix("=="))
    settings = pip_settings()
    files = [file for index in indexes(settings) for file in _listed(index, canonicalize_name(wanted.name), settings)]
    chosen = {file["filename"]: file for file in reversed(files) if _is_wheel_of(file["filename"], version)}
    if not chosen:
        raise UsageError(f"{word}: the index has no wheel of it", "see `pip index versions` for those that there are")
    with ThreadPoolExecutor(4) as pool:
        return sorted(pool.map(lambda file: _download(file, folder, settings), chosen.values()))


def pip_settings() -> dict[str, str]:
    """What pip is configured with, by file and environment, the later ones winning. Raises WheelworksError."""
    return dict(_SETTING.findall(_pip("config", "list")))


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


def _listed(index: str, project: str, settings: Mapping[str, str]) -> list[dict[str, Any]]:
    page = urljoin(index, f"{project}/")
    try:
        answer = json.loads(_get(page, settings, JSON))
        return [
            {"filename": str(file["filename"]), "url": urljoin(page, file["url"]), "sha256": file["hashes"]["sha256"]}
            for file in answer["files"]
            if "sha256" in file["hashes"]
        ]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise _unreachable(index, f"{error.code} {error.reason}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreachable(index, f"it doesn't speak the JSON form of the simple API ({error})") from error


def _is_wheel_of(name: str, version: Version) -> bool:
    try:
        return name.endswith(".whl") and parse_wheel_filename(name)[1] == version
    except ValueError:
        return False


def _download(file: Mapping[str, str], folder: Path, settings: Mapping[str, str]) -> Path:
    data = _get(file["url"], settings)
    if hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise WheelworksError(f"{file['filename']}: its bytes aren't those that the index names by hash")
    return manifest.write(folder / Path(file["filename"]).name, data)


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
