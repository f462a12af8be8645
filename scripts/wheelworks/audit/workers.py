"""Audit many files in worker processes.

The parsers of native files are C++ programs that read untrusted files, so each file is read in a worker process
(``python -m wheelworks.audit.inspection``) that may crash: a crash costs one file's audit and nothing else. The parsers
take half a second to import, which happens in the workers only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

import wheelworks
from wheelworks.audit.findings import FileAudit, Finding
from wheelworks.audit.policy import Policy
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

SECONDS = 600.0  # for one wheel; the largest real ones take two minutes
WORKER = [sys.executable, "-m", "wheelworks.audit.inspection"]
_CHUNK = 8  # files that one worker is given


def audit_files(
    files: Sequence[Path], policy: Policy, update: Callable[[str], None], seconds: float = SECONDS
) -> list[FileAudit]:
    """Audit wheels and sdists in worker processes, each limited to ``seconds``, on all cores.

    ``update`` is called with the progress. Returns one audit for each file, in the order of ``files``.
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    done: list[FileAudit] = []
    with ThreadPoolExecutor(process.count_cores()) as pool:
        for audits in pool.map(lambda chunk: _audit_chunk(chunk, policy, seconds), chunks):
            done += audits
            update(f"{len(done)} of {len(files)} wheels")
    return done


def _audit_chunk(files: Sequence[Path], policy: Policy, seconds: float) -> list[FileAudit]:
    found: list[FileAudit] = []
    while len(found) < len(files):
        rest = files[len(found) :]
        audits, why = _run_worker(rest, policy, seconds)
        if not audits and len(rest) > 1:  # a sound file may have used up all the time: give each a worker of its own
            return [*found, *(audit for one in rest for audit in _audit_chunk([one], policy, seconds))]
        found += audits[: len(rest)]
        if len(found) < len(files):  # the first file without an audit is the one that ended the worker
            name = files[len(found)].name
            crash = Finding("W001", f"the process that read it {why}", wheel=name)
            found.append(FileAudit(name, (crash,), groups=("archive",)))
    return found


def _run_worker(files: Sequence[Path], policy: Policy, seconds: float) -> tuple[list[FileAudit], str]:
    task = {"files": [str(one) for one in files], "cpu": sorted(policy.cpu), "epoch": policy.epoch}
    path = os.pathsep.join(filter(None, [str(Path(wheelworks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    try:
        ended = process.run([*WORKER, json.dumps(task)], env={**os.environ, "PYTHONPATH": path}, timeout=seconds)
    except WheelworksError:
        if process.is_stopping():
            raise
        return [], f"did not end within {seconds:g} s"
    audits = [audit for line in ended.output.splitlines() if (audit := _parse_line(line))]
    why = f"was ended by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    return audits, why


def _parse_line(line: str) -> FileAudit | None:
    """Return the audit in a worker's line; None for lines that a crashing library wrote in between."""
    try:
        return msgspec.convert(json.loads(line), FileAudit)
    except (ValueError, msgspec.MsgspecError):
        return None
