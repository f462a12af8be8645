"""Build one source for many targets and ABIs: the order of things, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from wheelworks.build import tasks, wheel
from wheelworks.build.context import BuildContext
from wheelworks.build.tasks import BuildResult, BuildTask, Built, Failed, UpToDate
from wheelworks.core import manifest, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target, family_of

T = TypeVar("T")


def run_tasks(
    shop: BuildContext, wanted: Sequence[BuildTask], done: Callable[[BuildTask], None], *, force: bool = True
) -> list[BuildResult]:
    """Do jobs side by side on this machine's cores; ``done`` hears of each at its end.

    Without ``force`` a wheel that ``shop.out`` holds already, made of just the same things, is left as it is.
    """
    there = [] if force else _load_records(shop)

    def one(job: BuildTask) -> list[BuildResult]:
        outcomes = _run_task(shop, job, there)
        done(job)
        return outcomes

    with process.thread_pool() as pool:
        return [outcome for outcomes in pool.map(one, wanted) for outcome in outcomes]


def _load_records(shop: BuildContext) -> list[manifest.WheelRecord]:
    """What the folder's manifest knows of wheels that are still there."""
    try:
        record = manifest.load(shop.out)
    except WheelworksError:
        return []
    return manifest.existing(record, shop.out).wheels if record else []


def _run_task(shop: BuildContext, job: BuildTask, there: Sequence[manifest.WheelRecord]) -> list[BuildResult]:
    made_of = tasks.compute_fingerprint(shop, family_of(job.rows[0]) if job.rows else (), job.abi)
    if tasks.is_up_to_date(there, made_of, job.rows):
        fitting = [record for record in there if tasks.is_up_to_date([record], made_of, ())]
        return [UpToDate(shop.out / record.file, record) for record in fitting]
    if job.abi is None:
        return [_catch_failure(shop, job, lambda: wheel.build_pure_wheel(shop, made_of))]
    return _build_family(shop, job, job.abi, wheel.FamilyContext(shop, made_of, there))


def _build_family(shop: BuildContext, job: BuildTask, abi: Abi, around: wheel.FamilyContext) -> list[BuildResult]:
    """The wheels of targets that share system and CPU: one where the binary calls no libc, else one for each libc.

    Which it is shows when the family's first target has been compiled, asked for or not.
    """
    family = family_of(job.rows[0])

    def one(row: Target, serves: tuple[Target, ...]) -> BuildResult | None:
        return _catch_failure(shop, job, lambda: wheel.build_wheel(around, row, abi, serves, job.rows))

    first = one(family[0], family)
    if isinstance(first, Failed) or (isinstance(first, Built) and len(first.record.targets) == len(family)):
        return [first]
    rest = [one(row, (row,)) for row in job.rows if row is not family[0]]
    return [outcome for outcome in (first, *rest) if outcome is not None]


def _catch_failure(shop: BuildContext, job: BuildTask, make: Callable[[], T]) -> T | Failed:
    try:
        return make()
    except WheelworksError as error:
        return Failed(job, error)
    except OSError as error:
        return Failed(job, WheelworksError(f"{job}: {error.strerror}: {error.filename or shop.work}"))
