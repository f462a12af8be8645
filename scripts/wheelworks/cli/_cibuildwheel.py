"""``build-wheels --builder cibuildwheel``: build a project's wheels for this system, by the official toolchains."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wheelworks.build import cibuildwheel
from wheelworks.build.context import prepare_context
from wheelworks.build.source import unpack_source
from wheelworks.cli import _page
from wheelworks.cli._command import create_work_folder
from wheelworks.core import console, manifest
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import Abi, Target


def build_wheels(source: Path, out: Path, targets: Sequence[Target], abis: Sequence[Abi], *, narrowed: bool) -> int:
    """Build the wheels that the project's cibuildwheel settings say into ``out``, or only some if ``narrowed``.

    Returns the exit status. Raises WheelworksError.
    """
    start = time.perf_counter()
    chosen = cibuildwheel.select_host_targets(targets, narrowed=narrowed)
    variables = cibuildwheel.make_variables(chosen, abis, os.environ, narrowed=narrowed)
    with create_work_folder() as work, console.Progress() as progress:
        update = partial(progress.update, "cibuildwheel")
        sdist = source if source.is_file() else prepare_context(source, work, out, update).sdist
        records = cibuildwheel.run_cibuildwheel(sdist, variables, work, out, update)
        tree, toolchain = unpack_source(sdist, work / "saved"), cibuildwheel.describe_toolchain(os.environ)
        merged = manifest.merge(_page.load_previous(out), tree.record(), toolchain, records)
        _page.save_with_page(manifest.drop_changed(merged, out), out)
    console.out.print(_make_table(records, time.perf_counter() - start))
    return 0


def list_wheels(source: Path, targets: Sequence[Target], abis: Sequence[Abi], *, narrowed: bool) -> int:
    """Print the wheels that cibuildwheel says it would build; return the exit status."""
    chosen = cibuildwheel.select_host_targets(targets, narrowed=narrowed)
    variables = cibuildwheel.make_variables(chosen, abis, os.environ, narrowed=narrowed)
    known = cibuildwheel.map_identifiers(targets, abis)
    table = console.create_table("", "identifier", "target", "ABI")
    with create_work_folder() as work:
        for name in cibuildwheel.list_identifiers(source, variables, work):
            table.add_row(name, *(one.id for one in known.get(name, ())))  # its settings may have other ABIs
    console.out.print(table)
    return 0


def _make_table(records: Sequence[WheelRecord], seconds: float) -> object:
    table = console.create_table("", "wheel", "size", "serves")
    for record in records:
        table.add_row(console.wrap_wheel_name(record.file), f"{record.size / 1000:.1f} kB", "\n".join(record.targets))
    table.caption = f"built, repaired and tested by cibuildwheel, {seconds:.1f} s in all"
    return table
