"""``build-wheels --builder cibuildwheel``: this system's wheels of a project by its own compilers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wheelworks.build import cibuildwheel, context
from wheelworks.build.cibuildwheel import map_identifiers
from wheelworks.build.source import unpack_source
from wheelworks.cli import _manifest
from wheelworks.cli._output import work_folder
from wheelworks.core import console, manifest
from wheelworks.core.targets import Abi, Target


def run(source: Path, out: Path, targets: Sequence[Target], abis: Sequence[Abi], *, narrowed: bool) -> int:
    """Build into ``out`` what the project's cibuildwheel settings say, or, where ``narrowed``, of that these only.

    Returns the exit status. Raises WheelworksError.
    """
    start = time.perf_counter()
    chosen = cibuildwheel.select_host_targets(targets, narrowed=narrowed)
    with work_folder() as work, console.Progress() as progress:
        say = partial(progress.say, "cibuildwheel")
        sdist = source if source.is_file() else context.prepare_context(source, work, out, {}, "", say).sdist
        records = cibuildwheel.run_cibuildwheel(
            cibuildwheel.WheelRequest(sdist, chosen, abis, narrowed), work, out, say
        ).records
        _save(sdist, work / "saved", out, records)
    console.out.print(_table(records, time.perf_counter() - start))
    return 0


def tell(source: Path, targets: Sequence[Target], abis: Sequence[Abi], *, narrowed: bool) -> int:
    """List what ``run`` would have cibuildwheel build, as that tells it itself; returns the exit status."""
    order = cibuildwheel.WheelRequest(
        source, cibuildwheel.select_host_targets(targets, narrowed=narrowed), abis, narrowed
    )
    known = map_identifiers(targets, abis)
    made = console.table("", "identifier", "target", "ABI")
    with work_folder() as work:
        for name in cibuildwheel.list_identifiers(source, cibuildwheel.make_variables(order, os.environ), work):
            made.add_row(name, *(one.id for one in known.get(name, ())))  # its settings may go beyond our ABIs
    console.out.print(made)
    return 0


def _save(sdist: Path, work: Path, out: Path, records: Sequence[manifest.WheelRecord]) -> None:
    source = unpack_source(sdist, work).record()
    merged = manifest.merge(_manifest.previous(out), source, cibuildwheel.describe_toolchain(os.environ), records)
    _manifest.save(manifest.existing(merged, out), out)


def _table(records: Sequence[manifest.WheelRecord], seconds: float) -> object:
    made = console.table("", "wheel", "size", "serves")
    for record in records:
        size = f"{record.size / 1000:.1f} kB"
        made.add_row(console.folded(record.file), size, "\n".join(record.targets))
    made.caption = f"built, repaired and tested by cibuildwheel, {seconds:.1f} s in all"
    return made
