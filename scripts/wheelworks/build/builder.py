"""Build the wheels of one source for many targets and ABIs, several at a time, and skip those that are up to date."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from wheelworks.build.context import BuildContext
from wheelworks.build.log import Compilation
from wheelworks.build.plan import BuildTask, accepts_wheel
from wheelworks.build.wheel import FinishedWheel, build_pure_wheel, build_wheel
from wheelworks.core import manifest, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file, write_file
from wheelworks.core.manifest import Fingerprint, WheelRecord
from wheelworks.core.targets import Abi, Target

_SUITE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Built:
    """A wheel that was built, verified and written."""

    file: Path
    record: WheelRecord
    seconds: float
    compilation: Compilation


@dataclass(frozen=True)
class UpToDate:
    """A wheel that existed, with the same fingerprint."""

    file: Path
    record: WheelRecord


@dataclass(frozen=True)
class Failed:
    """A task that failed, and its error."""

    task: BuildTask
    error: WheelworksError


BuildResult = Built | UpToDate | Failed


def run_tasks(
    context: BuildContext, tasks: Sequence[BuildTask], done: Callable[[BuildTask], None], *, force: bool = True
) -> list[BuildResult]:
    """Run tasks in parallel on this machine's cores; call ``done`` at the end of each.

    Without ``force`` the wheels in ``context.out`` that have the same fingerprint aren't built again. A task is left
    out if a wheel of an earlier task with the stable ABI serves its Python, too.
    """
    existing = [] if force else _load_records(context.out)
    chains: dict[object, list[BuildTask]] = {}
    for task in tasks:
        key = (task.targets[0].family, task.abi.free_threaded) if task.abi else None
        chains.setdefault(key, []).append(task)

    def run(chain: list[BuildTask]) -> dict[BuildTask, list[BuildResult]]:
        results: dict[BuildTask, list[BuildResult]] = {}
        for task in chain:
            made = [result.record for one in results.values() for result in one if not isinstance(result, Failed)]
            results[task] = [] if is_served(task, made) else _TaskRun(context, task, existing).run()
            done(task)
        return results

    with process.thread_pool() as pool:
        results = {task: made for chain in pool.map(run, chains.values()) for task, made in chain.items()}
    return [result for task in tasks for result in results[task]]


def is_served(task: BuildTask, made: Iterable[WheelRecord]) -> bool:
    """Return whether wheels that were made for older Pythons serve all of a task's targets and its Python."""
    if task.abi is None:
        return False
    served = {name for record in made if accepts_wheel(task.abi, record.file) for name in record.targets}
    return {target.id for target in task.targets} <= served


def _load_records(folder: Path) -> list[WheelRecord]:
    try:
        record = manifest.load(folder)
    except WheelworksError:
        return []
    return manifest.drop_changed(record, folder).wheels if record else []


class _TaskRun:
    def __init__(self, context: BuildContext, task: BuildTask, existing: Sequence[WheelRecord]) -> None:
        self.context = context.select_abi(task.abi) if task.abi else context
        self.task, self.existing = task, existing
        self.family = task.family
        self.fingerprint = compute_fingerprint(self.context, task)

    def run(self) -> list[BuildResult]:
        if records := find_up_to_date(self.existing, self.fingerprint, self.task.targets):
            return [UpToDate(self.context.out / record.file, record) for record in records]
        if self.task.abi is None:
            result = self._build(lambda: build_pure_wheel(self.context))
            return [result] if result else []
        return self._build_family(self.task.abi)

    def _build_family(self, abi: Abi) -> list[BuildResult]:
        """Build the wheels of targets that share system and CPU: one if the binary uses no libc, else one a libc.

        Compiling for the first target of the family shows which, whether or not that target was requested.
        """
        family = self.family

        def build(target: Target, serves: tuple[Target, ...]) -> BuildResult | None:
            return self._build(lambda: build_wheel(self.context, self.task, target, abi, serves))

        first = build(family[0], family)
        if isinstance(first, Failed) and family[0] not in self.task.targets:
            first = None  # nobody asked for that target: the error to show, if any, is of one that was requested
        if isinstance(first, Failed) or (isinstance(first, Built) and len(first.record.targets) == len(family)):
            return [first]
        rest = [build(target, (target,)) for target in self.task.targets if target != family[0]]
        return [result for result in (first, *rest) if result is not None]

    def _build(self, make: Callable[[], FinishedWheel | None]) -> BuildResult | None:
        start = time.perf_counter()
        try:
            finished = make()
            if finished is None:
                return None
            record = replace(finished.record, fingerprint=self.fingerprint)
            _check_header_releases(self.existing, record)
            file = write_file(self.context.out / record.file, finished.data)
            return Built(file, record, time.perf_counter() - start, finished.compilation)
        except WheelworksError as error:
            return Failed(self.task, error)
        except OSError as error:
            message = f"{self.task}: {error.strerror}: {error.filename or self.context.work}"
            return Failed(self.task, WheelworksError(message))


def compute_fingerprint(context: BuildContext, task: BuildTask) -> Fingerprint:
    """Return the fingerprint of a task's wheels: those of one family and ABI, or the pure wheel.

    ``recipe_sha256`` covers the source, the tools, this builder and the rows of the target table. ``headers_sha256`` is
    separate, because another release's headers should make no difference.
    """
    recipe = {
        "tree": context.source.tree_sha256,
        "name": context.source.name,
        "epoch": context.source.epoch,
        "variables": dict(context.variables),
        "allowed_missing": sorted(context.allowed_missing),
        "toolchain": context.toolchain().versions(),
        "builder": hash_builder(),
        "family": [asdict(target) for target in task.family],
        "abi": asdict(task.abi) if task.abi else {},
        "settings": asdict(task.settings),
        "prefixes": [prefix.sha256 for prefix in task.prefixes],
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    if task.abi is None:
        return Fingerprint(recipe_sha256=digest)
    headers = context.headers[task.abi.id]
    return Fingerprint(recipe_sha256=digest, headers=headers.release, headers_sha256=headers.sha256)


@cache
def hash_builder() -> str:
    """Return the SHA-256 of the code that builds, and of the lock files, which a wheel's SBOM lists."""
    files = [*_SUITE.glob("*.py"), *(_SUITE / "core").glob("*.py"), _SUITE / "build" / "pyconfig.h"]
    files += (path for pattern in ("*.py", "*.c") for path in (_SUITE / "build").rglob(pattern))
    files += _SUITE.glob("locks/*.txt")
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(_SUITE).as_posix()}\0{hash_file(path)}\n".encode())
    return total.hexdigest()


def find_up_to_date(
    records: Iterable[WheelRecord], fingerprint: Fingerprint, targets: Iterable[Target]
) -> list[WheelRecord]:
    """Return the wheels with a fingerprint if together they serve all of ``targets``, else none."""
    matching = [record for record in records if _hashes(record.fingerprint) == _hashes(fingerprint)]
    served = {name for record in matching for name in record.targets}
    return matching if {target.id for target in targets} <= served else []


def only_headers_differ(old: WheelRecord, new: WheelRecord) -> bool:
    """Return whether the fingerprints of two wheels differ only by CPython's headers."""
    before, after = _hashes(old.fingerprint), _hashes(new.fingerprint)
    return before[0] == after[0] and before != after


def _hashes(fingerprint: Fingerprint | None) -> tuple[str, str]:
    return (fingerprint.recipe_sha256, fingerprint.headers_sha256) if fingerprint else ("", "")


def _check_header_releases(existing: Iterable[WheelRecord], record: WheelRecord) -> None:
    """Refuse to replace a wheel by one that differs only because this machine has another release's headers."""
    for old in existing:
        if old.file == record.file and old.sha256 != record.sha256 and only_headers_differ(old, record):
            before, after = ((one.fingerprint and one.fingerprint.headers) or "?" for one in (old, record))
            raise WheelworksError(
                f"{record.file}: the headers of CPython {after} give another wheel than those of {before} did",
                f"build with the headers of {before}, or replace the wheel by --force",
            )
