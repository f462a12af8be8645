"""The client of the package index: list and download the files of a release, each checked by its hash.

pip's own configuration says which indexes are asked and how: files, environment variables and the sections ``global``
and ``download`` (https://pip.pypa.io/en/stable/topics/configuration/). The client speaks the JSON form of the Simple
API (PEP 503, 691 and 658).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import netrc
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from wheelworks.core import process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import get_cached_folder, write_file

JSON = "application/vnd.pypi.simple.v1+json"
MAX_ANSWER = 64 << 20  # bytes
TIMEOUT = 60.0  # seconds, where pip's configuration names no other
_SETTING = re.compile(r"^(:env:|global|download)\.([\w-]+)='(.*)'$", re.MULTILINE)
_SECTIONS = ("global", "download", ":env:")  # the last one wins; versions of pip list them in different orders
_DEFAULT_INDEX = re.compile(r"\(default (\S+/simple/?)\)")
_HINT = "see `pip index versions` for the existing ones"


@dataclass(frozen=True)
class IndexFile:
    """A file on the index: its name, its address, its SHA-256, and whether its metadata is served beside it."""

    name: str
    url: str
    sha256: str
    has_metadata: bool = False


def is_release(word: str) -> bool:
    """Return whether a word names a release of a project: ``name==version``."""
    return _parse_release(word) is not None


def _parse_release(word: str) -> tuple[str, Version] | None:
    name, equals, version = word.partition("==")
    try:
        return (canonicalize_name(name.strip(), validate=True), Version(version)) if equals else None
    except ValueError:
        return None


def list_release(word: str) -> list[IndexFile]:
    """Return every wheel of the release ``name==version``, and its sdist, sorted by name.

    Raises UsageError where no index has a file of it, and WheelworksError where one cannot be read.
    """
    release = _parse_release(word)
    if release is None:
        hint = "name wheel files, folders of them, or a release such as tornado==6.6.1"
        raise UsageError(f"{word}: not a file, folder or release", hint)
    files = [file for file in list_project(release[0]) if _is_of_version(file.name, release[1])]
    if not files:
        raise UsageError(f"{word}: the index has no file of it", _HINT)
    return sorted(files, key=lambda file: file.name)


def list_project(name: str) -> list[IndexFile]:
    """Return all files of a project, one for each name: that of the first index that has it.

    Raises WheelworksError where an index cannot be read.
    """
    settings, project = read_pip_settings(), canonicalize_name(name)
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        raise WheelworksError(f"{name}: pip is configured to ask no index (no-index)", "look at `pip config list`")
    listed = [file for index in list_indexes(settings) for file in _list_files(index, project, settings)]
    return list({file.name: file for file in reversed(listed)}.values())


def fetch_wheels(word: str, update: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Return every wheel of the release ``name==version``, as `fetch_release` does; UsageError where it has none."""
    files = [file for file in list_release(word) if file.name.endswith(".whl")]
    if not files:
        raise UsageError(f"{word}: the index has no wheel of it", _HINT)
    return [fetch(file, update) for file in files]


def fetch_release(word: str, update: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Return every file of the release ``name==version``, from the cache or downloaded; sorted by name.

    Raises UsageError where the index has no file of it, and WheelworksError for what cannot be downloaded.
    """
    return [fetch(file, update) for file in list_release(word)]


def fetch(file: IndexFile, update: Callable[[str], None] = lambda text: None) -> Path:
    """Return a file of the index, kept in the cache under its hash. Raises WheelworksError."""

    def fill(folder: Path) -> None:
        update(f"downloading {file.name}")
        download([file], folder)

    return get_cached_folder(f"releases/{file.sha256[:32]}", fill) / file.name


def download(files: Sequence[IndexFile], folder: Path) -> list[Path]:
    """Download files into a folder. Raises WheelworksError, also for bytes that differ from the index's hash."""
    settings = read_pip_settings()
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda file: _download(file, folder, settings), files))


def read_beside(file: IndexFile, name: str) -> bytes | None:
    """Return the file ``name`` that is served beside another; None where the index has none. Raises WheelworksError."""
    # stores answer with either status for a missing file
    return _get(urljoin(file.url, name), read_pip_settings(), missing=(403, 404))


def read_metadata(file: IndexFile) -> str:
    """Return a wheel's core metadata, served beside it (PEP 658); empty where it is not. Raises WheelworksError."""
    name = f"{urlsplit(file.url).path.rpartition('/')[2]}.metadata"
    return (read_beside(file, name) or b"").decode("utf-8", "replace") if file.has_metadata else ""


def read_pip_settings() -> dict[str, str]:
    """Return pip's configuration, where environment variables win over files. Raises WheelworksError."""
    return dict(_ask_pip(tuple(sorted(item for item in os.environ.items() if item[0].startswith("PIP_")))))


@functools.cache
def _ask_pip(variables: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return pip's configuration while these variables are set; asking takes half a second."""
    found = sorted(_SETTING.findall(_run_pip("config", "list")), key=lambda one: _SECTIONS.index(one[0]))
    return tuple((name, value) for _, name, value in found)


def list_indexes(settings: Mapping[str, str]) -> list[str]:
    """Return the addresses of the indexes that pip asks, in its order, without those that are local folders."""
    first = settings.get("index-url") or _find_default_index()
    words = [first, *settings.get("extra-index-url", "").split()]
    return [word.rstrip("/") + "/" for word in words if word.startswith(("http://", "https://"))]


def _find_default_index() -> str:
    """Return pip's default index, as its help names it."""
    found = _DEFAULT_INDEX.search(" ".join(_run_pip("download", "--help").split()))
    if not found:
        raise WheelworksError("pip does not name its default index", "set PIP_INDEX_URL")
    return found[1]


def _run_pip(*words: str) -> str:
    ended = process.run([sys.executable, "-m", "pip", *words], timeout=TIMEOUT, separate_stderr=True)
    if ended.status:
        raise WheelworksError(f"pip {words[0]} failed: {ended.errors.strip()[-300:]}")
    return ended.output


def _list_files(index: str, project: str, settings: Mapping[str, str]) -> list[IndexFile]:
    page = urljoin(index, f"{project}/")
    try:
        data = _get(page, settings, JSON, missing=(404,))
        return [] if data is None else list(_parse_page(json.loads(data), page))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(index, f"it does not speak the JSON form of the simple API ({error})") from error


def _parse_page(answer: dict[str, list[dict[str, object]]], page: str) -> Iterator[IndexFile]:
    for file in answer["files"]:
        name, hashes = str(file["filename"]), dict(file["hashes"])  # type: ignore[call-overload]
        if "sha256" in hashes and str(hashes["sha256"]).isalnum() and Path(name).name == name:
            has_metadata = bool(file.get("core-metadata", file.get("dist-info-metadata", False)))
            yield IndexFile(name, urljoin(page, str(file["url"])), str(hashes["sha256"]), has_metadata)


def _is_of_version(name: str, version: Version) -> bool:
    try:
        found = parse_wheel_filename(name) if name.endswith(".whl") else parse_sdist_filename(name)
    except ValueError:
        return False
    return found[1] == version


def _download(file: IndexFile, folder: Path, settings: Mapping[str, str]) -> Path:
    data = _get(file.url, settings) or b""
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise WheelworksError(f"{file.name}: its bytes do not have the hash that the index names")
    return write_file(folder / file.name, data)


def _get(address: str, settings: Mapping[str, str], accept: str = "*/*", missing: Container[int] = ()) -> bytes | None:
    """Return the body at an address, tried as often as pip would; None for a status of ``missing``."""
    request, retries = _make_request(address, accept), int(settings.get("retries", "5"))
    opener, timeout = _make_opener(request, settings), float(settings.get("timeout", TIMEOUT))
    for attempt in range(retries + 1):
        try:
            with opener.open(request, timeout=timeout) as answer:
                data = bytes(answer.read(MAX_ANSWER + 1))
            break
        except urllib.error.HTTPError as error:
            if error.code in missing:
                return None
            if error.code not in (500, 502, 503, 520, 527) or attempt == retries:  # those that pip retries
                raise _unreadable(request.full_url, f"{error.code} {error.reason}") from error
        except OSError as error:
            if attempt == retries or isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                raise _unreadable(request.full_url, str(getattr(error, "reason", error))) from error
        time.sleep(0.25 * 2**attempt)
    if len(data) > MAX_ANSWER:
        raise WheelworksError(f"{request.full_url}: more than {MAX_ANSWER >> 20} MiB: refused")
    return data


def _make_request(address: str, accept: str) -> urllib.request.Request:
    """Return a request with the user name and password that the address holds, or else netrc has for its host."""
    parts = urlsplit(address)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(plain, headers={"Accept": accept, "User-Agent": "wheelworks"})
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.username is None:
        user, password = _read_netrc(parts.hostname or "")
    if user or password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {pair}")  # not for a host that it redirects to
    return request


def _read_netrc(host: str) -> tuple[str, str]:
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return "", ""
    return (found[0], found[2] or "") if found else ("", "")


def _make_opener(request: urllib.request.Request, settings: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """Return what opens a request with pip's certificates, trusted hosts and proxy."""
    context = ssl.create_default_context(cafile=settings.get("cert"))
    if settings.get("client-cert"):
        context.load_cert_chain(settings["client-cert"])
    host = request.host
    if {host, host.partition(":")[0]} & set(settings.get("trusted-host", "").split()):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    proxy = settings.get("proxy")
    handlers = [urllib.request.ProxyHandler({"http": proxy, "https": proxy})] if proxy else []
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *handlers)


def _unreadable(address: str, why: str) -> WheelworksError:
    host = urlsplit(address).hostname
    return WheelworksError(f"the package index at {host} cannot be read: {why}", "look at `pip config list`")
