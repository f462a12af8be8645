"""``report``: write a folder's manifest as one page, ``report.html``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wheelworks.cli import _page
from wheelworks.cli._command import create_parser, ensure_writable
from wheelworks.core import console, manifest
from wheelworks.core.errors import UsageError
from wheelworks.report import pictures

EPILOG = """\
examples:
  nox -s report                                   dist/report.html, from dist/manifest.json
  nox -s report -- dist-tornado                   another folder's
  nox -s report -- --merge native                 with the native runs in the manifests of other machines
  nox -s report -- --pictures assets              and pictures of it, as in README (needs Chromium)

The sessions that add to a folder's manifest.json write the page, too. The page is one file without scripts that loads
nothing else, and can be mailed; its links to wheels work beside them.
Exit status: 0, 1 (the page can't be written), 2 (wrong use)."""
MERGE = "add the native runs of all manifest.json files below FOLDER, those of CI's machines"


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    purpose = "Write a page about a folder's wheels: how they were built, audited, executed and reproduced."
    made = create_parser("nox -s report --", purpose, EPILOG)
    made.add_argument("folder", nargs="?", type=Path, default=Path("dist"), metavar="DIR", help="default: dist")
    made.add_argument("--merge", type=Path, metavar="FOLDER", help=MERGE)
    made.add_argument("--pictures", type=Path, metavar="DIR", help="take pictures of the page with Chromium")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status. Raises WheelworksError."""
    options = parser().parse_args(argv)
    others = [] if options.merge is None else _load_manifests(options.merge)
    place = _page.update(options.folder, lambda known: _page.add_native_runs(known, others))
    if place is None:
        raise UsageError(f"{options.folder}: there is no {manifest.FILE}", "build wheels first: nox -s cross-arm64")
    made = pictures.take_pictures(place, ensure_writable(options.pictures, "--pictures")) if options.pictures else []
    for path in (place, *made):
        console.out.print(str(path), markup=False, soft_wrap=True)
    return 0


def _load_manifests(folder: Path) -> list[manifest.Manifest]:
    found = [manifest.load(path.parent) for path in sorted(folder.rglob(manifest.FILE))]
    if not found:
        raise UsageError(f"--merge {folder}: there is no {manifest.FILE} below it")
    return [record for record in found if record is not None]
