"""A run's folder is gone after it, and after a killed one when the next begins."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from wheelworks.foreign.runs import run_folder

from tests.fixtures.commands import environment


def test_a_run_folder_is_gone_afterwards(own_cache: Path) -> None:
    with run_folder() as folder:
        (folder / "sub").mkdir()
    assert not list((own_cache / "runs").iterdir())


def test_the_next_run_sweeps_a_killed_runs_folder_but_no_living_ones(own_cache: Path) -> None:
    code = "import time\nfrom wheelworks.foreign.runs import run_folder\nwith run_folder() as folder:\n"
    code += "    print(folder, flush=True)\n    time.sleep(30)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment(own_cache)
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    with run_folder():
        assert folder.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    with run_folder():
        assert not folder.exists()
