"""Build one source for many targets: the order of things, and nothing else."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag

from wheelworks import cache, manifest, processes, wheelfile
from wheelworks.cross import doors, report, verify
from wheelworks.cross.backend import Backend, BackendError, last_lines
from wheelworks.cross.workshop import Workshop
from wheelworks.errors import WheelworksError
from wheelworks.targets import Target, family_of


@dataclass(frozen=True)
class Built:
    """A wheel that was built, verified and written: its file, and what the manifest keeps of it."""

    file: Path
    record: manifest.Record
    seconds: float
    compilation: report.Compilation


@dataclass(frozen=True)
class Failed:
    """A target without a wheel, and why."""

    target: Target
    error: WheelworksError


Outcome = Built | Failed


def build(shop: Workshop, targets: Sequence[Target], done: Callable[[Outcome], None]) -> list[Outcome]:
    """Build ``targets``, families side by side on this machine's cores; ``done`` hears of each outcome at once."""
    families: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        families.setdefault(target.family, []).append(target)

    def one(rows: list[Target]) -> list[Outcome]:
        outcomes = _family(shop, rows)
        for outcome in outcomes:
            done(outcome)
        return outcomes

    with ThreadPoolExecutor(max_workers=processes.cores()) as pool:
        try:
            return [outcome for outcomes in pool.map(one, families.values()) for outcome in outcomes]
        except BaseException:
            processes.stop_all()  # else leaving the pool waits for the compilers
            raise


def _family(shop: Workshop, rows: Sequence[Target]) -> list[Outcome]:
    """The wheels of targets that share system and CPU: one where the binary calls no libc, else one for each libc.

    Which it is shows when the family's first target has been compiled, asked for or not.
    """
    family = family_of(rows[0])
    first = _attempt(shop, family[0], family, rows)
    if isinstance(first, Failed) or (first is not None and len(first.record["targets"]) == len(family)):
        return [first]
    rest = [_attempt(shop, row, (row,), rows) for row in rows if row is not family[0]]
    return [outcome for outcome in (first, *rest) if outcome is not None]


def _attempt(shop: Workshop, target: Target, family: Sequence[Target], rows: Sequence[Target]) -> Outcome | None:
    try:
        return _wheel(shop, target, family, rows)
    except WheelworksError as error:
        return Failed(target, error)
    except OSError as error:
        return Failed(target, WheelworksError(f"{target.id}: {error.strerror}: {error.filename or shop.work}"))


def _wheel(shop: Workshop, target: Target, family: Sequence[Target], rows: Sequence[Target]) -> Built | None:
    """Build the wheel of ``target``, which serves all of ``family`` if it calls no libc; None if no row wants it."""
    start = time.perf_counter()
    place = shop.work / target.id
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    backend = Backend(tree, shop.environment, doors.variables(shop, target, place))
    try:
        made = backend.make("wheel", place / "wheel")
    except BackendError as error:
        why = report.failure(report.read(doors.log_of(target, shop.work))) or f"{error}\n{last_lines(error.output)}"
        raise WheelworksError(f"{target.id}: {why}") from error
    events = report.read(doors.log_of(target, shop.work))
    if why := report.failure([event for event in events if _is_the_sources(event, shop.source.tree)]):
        raise WheelworksError(f"{target.id}: {why}")
    compilation = report.summary(events)
    tags_of = family if compilation.freestanding else (target,)
    if not set(tags_of) & set(rows):
        return None
    return _finish(shop, target, made, tags_of, compilation, start)


def _is_the_sources(event: report.Event, tree: Path) -> bool:
    """Whether an event is about a file of the project; what isn't is a probe, which may fail."""
    return event["step"] == "link" or (tree / str(event["file"])).exists()


def _finish(
    shop: Workshop,
    target: Target,
    made: Path,
    tags_of: Sequence[Target],
    compilation: report.Compilation,
    start: float,
) -> Built:
    """Verify what the backend made, normalise it, and write it to its place."""
    members = wheelfile.read(made)
    name = wheelfile.parse_name(made.name)
    _check_platform(name, target)
    found = verify.extensions(members, target)
    verify.stable_abi(found, name, target)
    verify.file_time(found, shop.source.epoch, target)
    verify.no_host_path(members, (str(shop.work), str(cache.folder()), str(Path.home() / ".cache")), target)
    tags = frozenset(
        Tag(tag.interpreter, tag.abi, platform) for tag in name.tags for row in tags_of for platform in row.tags
    )
    info = wheelfile.dist_info(members, made.name)
    finished = wheelfile.with_record(wheelfile.with_tags(members, tags, info), info)
    data = wheelfile.archive(finished, shop.source.epoch)
    path = manifest.write(shop.out / wheelfile.file_name(name, tags), data)
    record = _record(path.name, data, tags, tags_of, name, compilation, found)
    return Built(path, record, time.perf_counter() - start, compilation)


def _check_platform(name: wheelfile.Name, target: Target) -> None:
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


def _record(
    file: str,
    data: bytes,
    tags: Iterable[Tag],
    tags_of: Sequence[Target],
    name: wheelfile.Name,
    compilation: report.Compilation,
    found: Sequence[verify.Extension],
) -> manifest.Record:
    return {
        "file": file,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "tags": sorted(map(str, tags)),
        "targets": [row.id for row in tags_of],
        "abi": name.abi,
        "link": "freestanding" if compilation.freestanding else "libc",
        "libc_calls": list(compilation.calls),
        "extensions": [
            {
                "file": one.member,
                "format": one.binary.format,
                "machine": one.binary.machine,
                "minimum": one.binary.minimum,
                "imports": {library: list(symbols) for library, symbols in one.binary.imports.items()},
                "exports": list(one.binary.exports),
            }
            for one in found
        ],
    }
