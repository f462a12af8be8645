"""Build one wheel: the backend's, verified, normalised, and written to its place."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec.structs import replace
from packaging.tags import Tag

from wheelworks.build import crossenv, fingerprint, report, sbom, sysconfigdata, verify
from wheelworks.build.backend import Backend, BackendError, last_lines
from wheelworks.build.context import Workshop
from wheelworks.build.tasks import Built
from wheelworks.core import cache, manifest
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target
from wheelworks.core.wheel import (
    WheelName,
    find_dist_info,
    format_wheel_name,
    parse_wheel_name,
    read_members,
    replace_record,
    replace_tags,
)


@dataclass(frozen=True)
class Surroundings:
    """What the wheels of one family and ABI share: what they are made of, and which wheels were there before."""

    shop: Workshop
    made_of: manifest.Fingerprint
    there: Sequence[WheelRecord]


def build(
    around: Surroundings, target: Target, abi: Abi, family: tuple[Target, ...], rows: Sequence[Target]
) -> Built | None:
    """Build the wheel of ``target``, which serves all of ``family`` if it calls no libc; None if no row wants it.

    Raises WheelworksError that says what failed, for which target.
    """
    start, shop = time.perf_counter(), around.shop
    place, log = crossenv.place_of(target, abi, shop.work), crossenv.log_of(target, abi, shop.work)
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    backend = Backend(tree, shop.environment, crossenv.variables(shop, target, abi))
    try:
        made = backend.make("wheel", place / "wheel")
    except BackendError as error:
        why = report.failure(report.read(log)) or f"{error}\n{last_lines(error.output)}"
        raise WheelworksError(f"{target.id}: {why}") from error
    events = report.read(log)
    if why := report.failure([event for event in events if _is_the_sources(event, shop.source.tree)]):
        raise WheelworksError(f"{target.id}: {why}")
    compilation = report.summary(events)
    serves = family if compilation.freestanding else (target,)
    if not set(serves) & set(rows):
        return None
    path, record = _finish(around, target, abi, made, serves)
    link: Literal["freestanding", "libc"] = "freestanding" if compilation.freestanding else "libc"
    record = replace(record, link=link, libc_calls=list(compilation.calls))
    return Built(path, record, time.perf_counter() - start, compilation)


def _is_the_sources(event: report.Event, tree: Path) -> bool:
    """Whether an event is about a file of the project; what isn't is a probe, which may fail."""
    return event["step"] == "link" or (tree / str(event["file"])).exists()


def _check_platform(name: WheelName, target: Target) -> None:
    wanted = target.platform.replace("-", "_").replace(".", "_")
    if name.platforms == {"any"}:
        raise WheelworksError(
            f"{target.id}: the project builds a wheel for any platform: it has no extension module",
            "a wheel of pure Python needs no cross-building",
        )
    if name.platforms != {wanted}:
        raise WheelworksError(
            f"{target.id}: the build backend made a wheel for {', '.join(sorted(name.platforms))}, not {wanted}",
            "it ignores the target's sysconfig",
        )


def _finish(
    around: Surroundings, target: Target, abi: Abi, made: Path, serves: Sequence[Target]
) -> tuple[Path, WheelRecord]:
    """Verify what the backend made, normalise it, and write it to its place."""
    shop, members, name = around.shop, read_members(made), parse_wheel_name(made.name)
    _check_platform(name, target)
    check_abi(name, target, abi)
    found = verify.extensions(members, target)
    verify.stable_abi(found, name, target)
    verify.file_time(found, shop.source.epoch, target)
    verify.no_host_path(members, (str(shop.work), str(cache.folder()), str(Path.home() / ".cache")), target)
    tags = frozenset(
        Tag(tag.interpreter, tag.abi, platform) for tag in name.tags for row in serves for platform in row.tags
    )
    renamed = _for_every_libc(members, target, abi) if len(serves) > 1 else dict.fromkeys(members)
    info = find_dist_info(members, made.name)
    placed = {renamed.get(file) or file: member for file, member in members.items()} | sbom.members(shop, name, info)
    data = build_archive(replace_record(replace_tags(placed, tags, info), info), shop.source.epoch)
    record = described(
        format_wheel_name(name, tags),
        data,
        tags,
        serves,
        extensions=[_extension(one, renamed.get(one.member) or one.member) for one in found],
        fingerprint=around.made_of,
    )
    _same_with_other_headers(around.there, record)
    return manifest.write(shop.out / record.file, data), record


def _for_every_libc(members: Mapping[str, Member], target: Target, abi: Abi) -> dict[str, str | None]:
    """New names for extensions that are called after one libc's CPython: that of the other looks for another name."""
    ending = f".{sysconfigdata.soabi(target, abi)}.so"
    return {file: file.removesuffix(ending) + ".so" for file in members if file.endswith(ending)}


def check_abi(name: WheelName, target: Target, abi: Abi) -> None:
    """Whether the backend built for the ABI that it was asked for. Raises WheelworksError."""
    if not abi.makes(name.abi):
        raise WheelworksError(
            f"{target.id}: the build backend made a wheel for {name.abi}, not {abi.id}",
            "it ignores the target's sysconfig",
        )


def _same_with_other_headers(there: Sequence[WheelRecord], record: WheelRecord) -> None:
    """Refuse a wheel that is another one only because this machine has another release's headers."""
    for old in there:
        if old.file != record.file or old.sha256 == record.sha256:
            continue
        if fingerprint.only_headers_differ(old, record):
            before, after = ((one.fingerprint and one.fingerprint.headers) or "?" for one in (old, record))
            raise WheelworksError(
                f"{record.file}: the headers of CPython {after} give another wheel than those of {before} did",
                f"build with the headers of {before}, or replace the wheel by --force",
            )


def described(
    file: str,
    data: bytes,
    tags: Iterable[Tag],
    serves: Sequence[Target] = (),
    link: Literal["freestanding", "libc", "none", "unknown"] = "unknown",
    extensions: Sequence[manifest.ExtensionRecord] = (),
    fingerprint: manifest.Fingerprint | None = None,
    builder: str = "",
) -> WheelRecord:
    """Return what the manifest keeps of any wheel."""
    return WheelRecord(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        tags=sorted(map(str, tags)),
        targets=[row.id for row in serves],
        abi=parse_wheel_name(file).abi,
        link=link,
        libc_calls=[],
        extensions=list(extensions),
        builder=builder,
        fingerprint=fingerprint,
    )


def _extension(one: verify.Extension, file: str) -> manifest.ExtensionRecord:
    return manifest.ExtensionRecord(
        file=file,
        format=one.binary.format,
        machine=one.binary.machine,
        minimum=one.binary.minimum,
        imports={library: list(symbols) for library, symbols in one.binary.imports.items()},
        exports=list(one.binary.exports),
    )
