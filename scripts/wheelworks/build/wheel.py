"""Build one wheel: the backend's, verified, normalised, and written to its place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from wheelworks.build import backend, context, crossenv, driver, source, tasks, verify
from wheelworks.build.backend import Backend, BackendError, last_lines
from wheelworks.build.context import BuildContext
from wheelworks.build.tasks import Built
from wheelworks.core import cache, manifest, plan
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.binary import SUFFIXES
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
class FamilyContext:
    """What the wheels of one family and ABI share: what they are made of, and which wheels were there before."""

    shop: BuildContext
    made_of: manifest.Fingerprint
    there: Sequence[WheelRecord]


def build_wheel(
    around: FamilyContext, target: Target, abi: Abi, family: tuple[Target, ...], rows: Sequence[Target]
) -> Built | None:
    """Build the wheel of ``target``, which serves all of ``family`` if it calls no libc; None if no row wants it.

    Raises WheelworksError that says what failed, for which target.
    """
    start, shop = time.perf_counter(), around.shop
    place, log = crossenv.build_folder(target, abi, shop.work), crossenv.log_path(target, abi, shop.work)
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    backend = Backend(tree, shop.environment, crossenv.prepare_hooks(shop, target, abi))
    try:
        made = backend.make("wheel", place / "wheel")
    except BackendError as error:
        why = driver.describe_failure(driver.read_log(log)) or f"{error}\n{last_lines(error.output)}"
        raise WheelworksError(f"{target.id}: {why}") from error
    events = driver.read_log(log)
    if why := driver.describe_failure([event for event in events if _is_project_file(event, shop.source.tree)]):
        raise WheelworksError(f"{target.id}: {why}")
    compilation = driver.summarize_log(events)
    serves = family if compilation.freestanding else (target,)
    if not set(serves) & set(rows):
        return None
    path, record = _repack(around, target, abi, made, serves)
    link: Literal["freestanding", "libc"] = "freestanding" if compilation.freestanding else "libc"
    record = replace(record, link=link, libc_calls=list(compilation.calls))
    return Built(path, record, time.perf_counter() - start, compilation)


def _is_project_file(event: driver.Event, tree: Path) -> bool:
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


def _repack(
    around: FamilyContext, target: Target, abi: Abi, made: Path, serves: Sequence[Target]
) -> tuple[Path, WheelRecord]:
    """Verify what the backend made, normalise it, and write it to its place."""
    shop, members, name = around.shop, read_members(made), parse_wheel_name(made.name)
    _check_platform(name, target)
    check_abi(name, target, abi)
    found = verify.check_native_files(members, target)
    verify.check_stable_abi(found, name, target)
    verify.check_timestamps(found, shop.source.epoch, target)
    verify.check_host_paths(members, (str(shop.work), str(cache.folder()), str(Path.home() / ".cache")), target)
    tags = frozenset(
        Tag(tag.interpreter, tag.abi, platform) for tag in name.tags for row in serves for platform in row.tags
    )
    renamed = _drop_libc_names(members, target, abi) if len(serves) > 1 else dict.fromkeys(members)
    info = find_dist_info(members, made.name)
    placed = {renamed.get(file) or file: member for file, member in members.items()} | make_sbom_member(
        shop, name, info
    )
    data = build_archive(replace_record(replace_tags(placed, tags, info), info), shop.source.epoch)
    record = describe_wheel(
        format_wheel_name(name, tags),
        data,
        tags,
        serves,
        extensions=[_describe_native_file(one, renamed.get(one.member) or one.member) for one in found],
        fingerprint=around.made_of,
    )
    _check_header_releases(around.there, record)
    return manifest.write(shop.out / record.file, data), record


def _drop_libc_names(members: Mapping[str, Member], target: Target, abi: Abi) -> dict[str, str | None]:
    """New names for extensions that are called after one libc's CPython: that of the other looks for another name."""
    ending = f".{crossenv.format_soabi(target, abi)}.so"
    return {file: file.removesuffix(ending) + ".so" for file in members if file.endswith(ending)}


def check_abi(name: WheelName, target: Target, abi: Abi) -> None:
    """Whether the backend built for the ABI that it was asked for. Raises WheelworksError."""
    if not abi.makes(name.abi):
        raise WheelworksError(
            f"{target.id}: the build backend made a wheel for {name.abi}, not {abi.id}",
            "it ignores the target's sysconfig",
        )


def _check_header_releases(there: Sequence[WheelRecord], record: WheelRecord) -> None:
    """Refuse a wheel that is another one only because this machine has another release's headers."""
    for old in there:
        if old.file != record.file or old.sha256 == record.sha256:
            continue
        if tasks.only_headers_differ(old, record):
            before, after = ((one.fingerprint and one.fingerprint.headers) or "?" for one in (old, record))
            raise WheelworksError(
                f"{record.file}: the headers of CPython {after} give another wheel than those of {before} did",
                f"build with the headers of {before}, or replace the wheel by --force",
            )


def describe_wheel(
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


def _describe_native_file(one: verify.NativeFile, file: str) -> manifest.ExtensionRecord:
    return manifest.ExtensionRecord(
        file=file,
        format=one.binary.format,
        machine=one.binary.machine,
        minimum=one.binary.minimum,
        imports={library: list(symbols) for library, symbols in one.binary.imports.items()},
        exports=list(one.binary.exports),
    )


def build_pure_wheel(shop: BuildContext, made_of: manifest.Fingerprint) -> Built:
    """Build the pure wheel, with the variables that the project declares for it.

    Raises WheelworksError where it declares none, and where what comes out isn't pure.
    """
    start, place = time.perf_counter(), shop.work / "pure"
    variables = shop.pure_variables()
    if variables is None:
        raise WheelworksError(
            f"{shop.source.name}: its pyproject.toml doesn't say how it builds purely", source.PURE_HINT
        )
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    settings = context.make_environment(os.environ, place, shop.source.epoch, {**shop.extra, **variables})
    try:
        made = Backend(tree, shop.environment, settings).make("wheel", place / "wheel")
    except BackendError as error:
        raise WheelworksError(f"{plan.PURE}: {error}\n{last_lines(error.output)}") from error
    members, name = read_members(made), parse_wheel_name(made.name)
    natives = [file for file in members if file.endswith(SUFFIXES)]
    if natives or name.platforms != {"any"} or name.abi != plan.PURE.removesuffix("-any"):
        raise WheelworksError(f"{plan.PURE}: the project builds {made.name}{''.join(f', {f}' for f in natives)}")
    info = find_dist_info(members, made.name)
    placed = members | make_sbom_member(shop, name, info)
    finished = replace_record(replace_tags(placed, name.tags, info), info)
    data = build_archive(finished, shop.source.epoch)
    record = describe_wheel(format_wheel_name(name, name.tags), data, name.tags, fingerprint=made_of, link="none")
    path = manifest.write(shop.out / record.file, data)
    return Built(path, record, time.perf_counter() - start, driver.summarize_log([]))


_SBOM_FILE = "sboms/wheelworks.cdx.json"
_SBOM_TOOLS = ("ziglang", "deflate")
_PIN_WITH_HASHES = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)[^\n]*\\\n((?:\s+--hash=sha256:[0-9a-f]{64}[^\n]*\n?)+)", re.MULTILINE
)


def make_sbom_member(shop: BuildContext, name: WheelName, info: str) -> dict[str, Member]:
    """The document as a file of the wheel whose ``.dist-info`` is ``info``; nothing where the project asks for none.

    Raises WheelworksError where the project asks in other words.
    """
    wish = source.read_pyproject(shop.source.tree).get("tool", {}).get("wheelworks", {}).get("sbom", False)
    if not isinstance(wish, bool):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] sbom must be true or false")
    if not wish:
        return {}
    toolchain = shop.toolchain().versions()
    versions = {tool: toolchain[tool] for tool in _SBOM_TOOLS} | shop.environment.versions
    hashes = parse_hashes(*(file.read_text(encoding="utf-8") for file in sorted(backend.LOCK.parent.glob("*.txt"))))
    text = json.dumps(make_sbom(name.distribution, name.version, shop.source.epoch, versions, hashes), indent=2)
    return {f"{info}/{_SBOM_FILE}": Member((text + "\n").encode())}


def parse_hashes(*locks: str) -> dict[tuple[str, str], list[str]]:
    """The SHA-256 hashes, in hexadecimal, that lock files allow for each (name, version)."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, version, lines in (pin for lock in locks for pin in _PIN_WITH_HASHES.findall(lock)):
        found.setdefault((canonicalize_name(name), version), set()).update(re.findall(r"sha256:([0-9a-f]{64})", lines))
    return {pin: sorted(hashes) for pin, hashes in found.items()}


def make_sbom(
    name: str, version: str, epoch: int, tools: Mapping[str, str], hashes: Mapping[tuple[str, str], list[str]]
) -> dict[str, Any]:
    """A CycloneDX 1.6 document for a wheel dated ``epoch`` (seconds since 1970) that ``tools`` made, by version."""
    used = [_make_component(tool, tools[tool], "application") for tool in sorted(tools)]
    for one in used:
        if allowed := hashes.get((one["name"], one["version"])):
            one["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in allowed]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": used},
            "component": _make_component(canonicalize_name(name), version, "library"),
        },
        "components": [],
    }


def _make_component(name: str, version: str, kind: str) -> dict[str, Any]:
    place = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "bom-ref": place, "name": name, "version": version, "purl": place}
