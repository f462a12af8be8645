"""``manifest.json``, the file beside wheels in which every session records what it found out about them.

The classes below are the format: reading checks a file against them, and the JSON schema is generated from them. A
manifest holds no time of day, no duration and no path, so that two builds of one source write the same file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec.structs import replace

from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, write_file

SCHEMA: Final = 2
FILE = "manifest.json"


def _meta(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object of the manifest."""


class Source(_Part, frozen=True, kw_only=True):
    """What the wheels were built from."""

    name: Annotated[str, _meta("Project and version, as in the sdist's name.")]
    kind: Annotated[Literal["directory", "sdist"], _meta("What was given to build from.")]
    tree_sha256: Annotated[str, _meta("Hash over all files' names and contents.")]
    archive_sha256: Annotated[str, _meta("Hash of the sdist.")]
    commit: Annotated[str, _meta("The commit; empty where the source is no git work tree.")] = ""
    dirty: Annotated[bool, _meta("Whether files differed from that commit.")] = False
    epoch: Annotated[int, _meta("The timestamp of the wheels' files, in seconds since 1970.")]
    url: Annotated[str, _meta("The project's repository, as its metadata states it; empty where it doesn't.")] = ""


class Toolchain(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """The versions that decide the bytes, besides CPython's headers."""

    wheelworks: Annotated[str, _meta("The suite's version, or `checkout`.")] = ""
    ziglang: Annotated[str, _meta("The compiler's version.")] = ""
    deflate: Annotated[str, _meta("The compressor's version.")] = ""
    python: Annotated[str, _meta("The CPython that ran the project's build.")] = ""
    build_requirements: Annotated[
        dict[str, str], _meta("What was installed for the project's build: name and version.")
    ] = {}
    cibuildwheel: Annotated[str, _meta("The version of cibuildwheel, where it was the builder.")] = ""
    settings: Annotated[dict[str, str], _meta("cibuildwheel's environment variables.")] = {}

    def versions(self) -> dict[str, Any]:
        """Return what is known of the tools, by name."""
        versions: dict[str, Any] = msgspec.to_builtins(self)
        return versions


class Fingerprint(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """What the wheel was made of: where the hashes are the same, it isn't built again."""

    recipe_sha256: Annotated[str, _meta("Hash over source, tools, builder and target.")]
    headers: Annotated[str, _meta("The release of CPython's headers.")] = ""
    headers_sha256: Annotated[str, _meta("Their hash.")] = ""


class ExtensionRecord(_Part, frozen=True, kw_only=True):
    """A native file of a wheel."""

    file: Annotated[str, _meta("The path in the wheel.")]
    format: Annotated[str, _meta("`ELF`, `PE` or `Mach-O`.")]
    machine: Annotated[str, _meta("The CPU.")]
    minimum: Annotated[str, _meta("The lowest system version, where the format states it.")]
    imports: Annotated[
        dict[str, list[str]], _meta("Library and symbols; symbols without a library are under an empty name.")
    ]
    exports: Annotated[list[str], _meta("The exported symbols.")]


class FindingRecord(_Part, frozen=True, kw_only=True):
    """A finding of the audit."""

    code: Annotated[str, _meta("Its code.")]
    name: Annotated[str, _meta("Its name.")]
    severity: Annotated[
        Literal["error", "warning", "information"], _meta("Errors fail the audit; warnings fail it with `--strict`.")
    ]
    member: Annotated[str, _meta("The file in the wheel.")]
    evidence: Annotated[str, _meta("What was seen.")]


class AuditRecord(_Part, frozen=True, kw_only=True):
    """What `audit` found."""

    checks: Annotated[dict[str, str], _meta("Each group of checks: `passed`, or the worst severity that was found.")]
    findings: Annotated[list[FindingRecord], _meta("The [findings](findings.md).")]


class RunRecord(_Part, frozen=True, kw_only=True):
    """A run of the wheel's machine code."""

    how: Annotated[str, _meta("Emulated CPU or real CPython, in words.")]
    outcome: Annotated[
        Literal["passed", "failed", "unsupported"],
        _meta("`failed` is the wheel's fault; `unsupported` means that it could not be run here."),
    ]
    checks: Annotated[int, _meta("How many checks passed.")]
    findings: Annotated[list[str], _meta("What failed.")]
    why: Annotated[str, _meta("Why it failed or couldn't be run, or a remark.")]


class ReproductionRecord(_Part, frozen=True, kw_only=True):
    """What `reproduce` found."""

    same: Annotated[bool, _meta("Whether the bytes were the same.")]
    varied: Annotated[list[str], _meta("What was varied.")]
    not_varied: Annotated[dict[str, str], _meta("What wasn't varied, and why.")]
    differs_by: Annotated[dict[str, list[str]], _meta("Which variation made a difference, and where in the wheel.")]


class WheelRecord(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """A wheel."""

    file: Annotated[str, _meta("The wheel's file name.")]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", description="Its hash.")]
    size: Annotated[int, _meta("Its size in bytes.")]
    abi: Annotated[str, _meta("The Python and ABI tags.")]
    tags: Annotated[list[str], _meta("Every tag, spelled out.")]
    targets: Annotated[list[str], _meta("The [targets](targets.md) that it serves; none for a pure wheel.")]
    link: Annotated[
        Literal["freestanding", "libc", "none", "unknown"],
        _meta("How it was linked: `none` for a pure wheel, `unknown` for another builder's."),
    ]
    libc_calls: Annotated[list[str], _meta("Some of the functions for whose sake libc was linked.")]
    extensions: Annotated[list[ExtensionRecord], _meta("Its native files.")]
    builder: Annotated[str, _meta("The builder, where it was another: `cibuildwheel`.")] = ""
    fingerprint: Fingerprint | None = None
    audit: AuditRecord | None = None
    runs: Annotated[list[RunRecord], _meta("How its machine code was run.")] = []
    reproduced: ReproductionRecord | None = None


class FailureRecord(_Part, frozen=True, kw_only=True):
    """A build that failed."""

    targets: Annotated[list[str], _meta("The targets of its wheel; none for a pure wheel.")]
    abi: Annotated[str, _meta("The ABI of its wheel.")]
    error: Annotated[str, _meta("What went wrong, without the compiler's command line.")]
    hint: Annotated[str, _meta("What to do.")]


class Manifest(_Part, frozen=True, kw_only=True):
    """`manifest.json` records what the wheels beside it were made of, and what sessions found out about them."""

    schema: Annotated[Literal[2], _meta("The version of this format.")]
    source: Source
    toolchain: Toolchain
    wheels: Annotated[list[WheelRecord], _meta("One for each wheel, by file name.")]
    failures: Annotated[list[FailureRecord], _meta("The builds whose last try failed.")] = []


class _Version(msgspec.Struct):
    schema: int


def generate_schema() -> dict[str, Any]:
    """Return the manifest's format as JSON Schema."""
    return msgspec.json.schema(Manifest)


def load(folder: Path) -> Manifest | None:
    """Return a folder's manifest; None where there is none. Raises WheelworksError for one that can't be read."""
    path = folder / FILE
    if not path.is_file():
        return None
    data, hint = path.read_bytes(), "delete it and build again: nox -s build-wheels"
    try:
        if (version := msgspec.json.decode(data, type=_Version).schema) != SCHEMA:
            raise msgspec.DecodeError(f"it has version {version}, not {SCHEMA}")
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WheelworksError(f"{path}: no manifest of this version: {error}", hint) from error


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold back other sessions that change a folder's manifest: else each would undo what the other has recorded.

    The folder itself is locked, so that no file of the lock is left among the wheels. Windows can't do that, and there
    sessions don't wait for each other.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    import fcntl  # Windows has none

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def merge(
    old: Manifest | None,
    source: Source,
    toolchain: Toolchain,
    wheels: Iterable[WheelRecord],
    failures: Sequence[FailureRecord] = (),
    tried: Collection[tuple[str, str]] = (),
) -> Manifest:
    """Return a manifest of ``wheels`` and of those of an earlier build of the same source by the same tools.

    A wheel that was built again to the same bytes keeps what other sessions have recorded of it. Failures of earlier
    builds are kept, except those of the targets and ABIs that were ``tried`` again.
    """
    failed = list(failures)
    kept: dict[str, WheelRecord] = {}
    if old is not None and (old.source, old.toolchain) == (source, toolchain):
        kept = {wheel.file: wheel for wheel in old.wheels}
        failed = [*(one for one in old.failures if not _is_tried(one, tried)), *failed]
    for wheel in wheels:
        before = kept.get(wheel.file)
        if before is None or before.sha256 != wheel.sha256:
            before = wheel
        audit, runs = wheel.audit or before.audit, wheel.runs or before.runs
        kept[wheel.file] = replace(wheel, audit=audit, runs=runs, reproduced=wheel.reproduced or before.reproduced)
    found = [kept[name] for name in sorted(kept)]
    return Manifest(schema=SCHEMA, source=source, toolchain=toolchain, wheels=found, failures=failed)


def _is_tried(failure: FailureRecord, tried: Collection[tuple[str, str]]) -> bool:
    return all((target, failure.abi) in tried for target in failure.targets or [""])


def drop_changed(record: Manifest, folder: Path) -> Manifest:
    """Return the manifest without wheels that are missing from the folder or have other bytes there."""
    return replace(record, wheels=[one for one in record.wheels if hash_file(folder / one.file) == one.sha256])


def save(record: Manifest, folder: Path) -> Path:
    """Write a folder's manifest, whole or not at all."""
    data = msgspec.json.encode(record, order="sorted")
    return write_file(folder / FILE, msgspec.json.format(data, indent=2) + b"\n")
