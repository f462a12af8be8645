"""The projects of ``frameworks.toml``: their releases, wheels and tests, each file checked by its hash."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import tarfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from wheelworks.core import debian, index, process
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.files import get_cached_folder, hash_file
from wheelworks.testing.suites import Update

TABLE, LOCKS = Path(__file__).with_name("frameworks.toml"), Path(__file__).with_name("frameworks")
_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)[^\\\n]*((?: \\\n +--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)


class DebianSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source package of Debian: its name, version, suite, and the SHA-256 of its upstream tar file."""

    package: str
    version: str
    suite: str
    sha256: str


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table."""

    pythons: tuple[str, ...]
    arguments: tuple[str, ...]
    debian: DebianSource | None = None
    note: str = ""


@dataclass(frozen=True)
class Framework:
    """A project with its row, and the release that its lock file pins: the version and the hashes of all its files."""

    name: str
    row: Row
    lock: Path
    version: str
    hashes: frozenset[str]

    @property
    def label(self) -> str:
        """Return the release for people: "bokeh 2.4.3"."""
        return f"{self.name} {self.version}"


@cache
def read_frameworks() -> dict[str, Framework]:
    """Return the projects of the table by name. Raises WheelworksError for a wrong table, or one without a pin."""
    try:
        rows = msgspec.convert(tomllib.loads(TABLE.read_text(encoding="utf-8")), dict[str, Row])
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise WheelworksError(f"{TABLE.name}: {error}") from error
    return {name: _read_release(name, row, LOCKS / f"{name}.txt") for name, row in rows.items()}


def _read_release(name: str, row: Row, lock: Path) -> Framework:
    for found, version, hashes in _PIN.findall(lock.read_text(encoding="utf-8")):
        if canonicalize_name(found) == name:
            return Framework(name, row, lock, version, frozenset(re.findall(r"[0-9a-f]{64}", hashes)))
    raise WheelworksError(f"{lock.name} has no {name}", "nox -s lock")


def select_frameworks(names: Sequence[str]) -> list[Framework]:
    """Return the named projects, or all. Raises UsageError for an unknown name."""
    known = read_frameworks()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{', '.join(unknown)}: no such project", f"one of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names or known)]


def fetch_files(framework: Framework, update: Update) -> tuple[Path, Path]:
    """Return a release's wheel and the archive with its tests, cached or downloaded. Raises WheelworksError."""
    files = index.list_release(f"{framework.name}=={framework.version}")
    wheel = _fetch(framework, [file for file in files if file.name.endswith("-none-any.whl")], update)
    if framework.row.debian:
        return wheel, fetch_debian_source(framework.row.debian, update)
    return wheel, _fetch(framework, [file for file in files if file.name.endswith(".tar.gz")], update)


def _fetch(framework: Framework, files: Sequence[index.IndexFile], update: Update) -> Path:
    locked = [file for file in files if file.sha256 in framework.hashes]
    if not locked:
        what = ", ".join(file.name for file in files) or "the index lacks the sdist or the pure wheel"
        raise WheelworksError(f"{framework.label}: no file with a hash of {framework.lock.name}: {what}", "nox -s lock")
    return index.fetch(locked[0], update)


def fetch_debian_source(source: DebianSource, update: Update) -> Path:
    """Return the upstream files of a source package as a ``.tar.gz``, from the cache or downloaded by mmdebstrap.

    Raises WheelworksError if mmdebstrap is missing or fails, and for a file with another hash.
    """
    name = f"{source.package}.tar.gz"

    def fill(folder: Path) -> None:
        update(f"downloading the source package {source.package}")
        _download_source(source, folder / "root.tar", folder / "upstream")
        with lzma.open(folder / "upstream") as packed, gzip.open(folder / name, "wb", compresslevel=1) as repacked:
            shutil.copyfileobj(packed, repacked)
        for file in ("root.tar", "upstream"):
            (folder / file).unlink()

    return get_cached_folder(f"debian-sources/{source.sha256[:32]}", fill) / name


def _download_source(source: DebianSource, root: Path, file: Path) -> None:
    failure = f"Debian's source package {source.package} {source.version} can't be fetched"
    if not shutil.which("mmdebstrap"):
        raise WheelworksError(f"{failure}: there is no mmdebstrap", debian.MMDEBSTRAP_HINT)
    release = f"{source.package}={source.version}"
    apt = f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get source --download-only --tar-only {release}'
    hooks = [
        "--setup-hook=sed -i 's/^deb /deb-src /' \"$1/etc/apt/sources.list\"",
        f'--customize-hook=mkdir "$1/source" && cd "$1/source" && {apt}',
    ]
    command = debian.make_mmdebstrap_command("custom", source.suite, *hooks)
    process.run_checked([*command[:-1], root], failure, timeout=600)
    with tarfile.open(root) as tar:
        found = [member for member in tar if re.fullmatch(r"\./source/[^/]+\.orig\.tar\.xz", member.name)]
        contents = tar.extractfile(found[0]) if len(found) == 1 else None
        file.write_bytes(contents.read() if contents else b"")
    if (digest := hash_file(file)) != source.sha256:
        raise WheelworksError(f"{failure}: its SHA-256 is {digest}, not {source.sha256}", f"compare with {TABLE.name}")
