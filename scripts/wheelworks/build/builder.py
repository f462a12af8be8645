"""Build one source for many targets and ABIs: the order of things, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from wheelworks.build import fingerprint, pure, wheel
from wheelworks.build.context import Workshop
from wheelworks.build.tasks import Built, Failed, Job, Kept, Outcome
from wheelworks.core import manifest, process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target, family_of

T = TypeVar("T")


def build(shop: Workshop, wanted: Sequence[Job], done: Callable[[Job], None], *, force: bool = True) -> list[Outcome]:
    """Do jobs side by side on this machine's cores; ``done`` hears of each at its end.

    Without ``force`` a wheel that ``shop.out`` holds already, made of just the same things, is left as it is.
    """
    there = [] if force else _there(shop)

    def one(job: Job) -> list[Outcome]:
        outcomes = _job(shop, job, there)
        done(job)
        return outcomes

    with process.side_by_side() as pool:
        return [outcome for outcomes in pool.map(one, wanted) for outcome in outcomes]


def _there(shop: Workshop) -> list[manifest.WheelRecord]:
    """What the folder's manifest knows of wheels that are still there."""
    try:
        record = manifest.load(shop.out)
    except WheelworksError:
        return []
    return manifest.existing(record, shop.out).wheels if record else []


def _job(shop: Workshop, job: Job, there: Sequence[manifest.WheelRecord]) -> list[Outcome]:
    made_of = fingerprint.of(shop, family_of(job.rows[0]) if job.rows else (), job.abi)
    if fingerprint.unchanged(there, made_of, job.rows):
        fitting = [record for record in there if fingerprint.unchanged([record], made_of, ())]
        return [Kept(shop.out / record.file, record) for record in fitting]
    if job.abi is None:
        return [_attempt(shop, job, lambda: pure.build(shop, made_of))]
    return _family(shop, job, job.abi, wheel.Surroundings(shop, made_of, there))


def _family(shop: Workshop, job: Job, abi: Abi, around: wheel.Surroundings) -> list[Outcome]:
    """The wheels of targets that share system and CPU: one where the binary calls no libc, else one for each libc.

    Which it is shows when the family's first target has been compiled, asked for or not.
    """
    family = family_of(job.rows[0])

    def one(row: Target, serves: tuple[Target, ...]) -> Outcome | None:
        return _attempt(shop, job, lambda: wheel.build(around, row, abi, serves, job.rows))

    first = one(family[0], family)
    if isinstance(first, Failed) or (isinstance(first, Built) and len(first.record.targets) == len(family)):
        return [first]
    rest = [one(row, (row,)) for row in job.rows if row is not family[0]]
    return [outcome for outcome in (first, *rest) if outcome is not None]


def _attempt(shop: Workshop, job: Job, make: Callable[[], T]) -> T | Failed:
    try:
        return make()
    except WheelworksError as error:
        return Failed(job, error)
    except OSError as error:
        return Failed(job, WheelworksError(f"{job}: {error.strerror}: {error.filename or shop.work}"))
