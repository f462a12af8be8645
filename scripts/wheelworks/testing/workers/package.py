"""Run a shard of a project's own tests by pytest.

``python -m wheelworks_workers.package RESULTS SHARD SHARDS FOLDER MARKS MODULE...``; MARKS is the value of pytest's
option ``-m``. pytest's own option --junitxml writes its file at the end: a crash would lose it.
"""

from __future__ import annotations

import os
import sys

import pytest

from . import JUnitWriter, watch
from .pytest_reporter import EXPLAINED, Recorder

RESULTS = JUnitWriter(sys.argv[1])
SHARD, SHARDS, FOLDER, MARKS, MODULES = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6:]


class ShardReporter(Recorder):
    """Keeps the tests of this shard."""

    @pytest.hookimpl(trylast=True)  # after pytest has applied -m
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Record every test, and keep those of this shard."""
        RESULTS.collect(item.nodeid for item in items)
        items[:] = items[SHARD::SHARDS]


OPTIONS = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={FOLDER}", FOLDER]
OPTIONS += ["--continue-on-collection-errors", "-m", MARKS, "-o", "markers=integration\nexhaustive"]


if __name__ == "__main__":
    watch()
    code = pytest.main(OPTIONS, [ShardReporter(RESULTS)])
    RESULTS.close(MODULES)
    sys.exit(0 if code in EXPLAINED else int(code))
