"""Run README's code for installing the speedups at start-up, with the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("value", ["", "1"])
def test_it_installs_only_if_asked(value: str, tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    blocks = [each.split("```")[0] for each in readme.read_text(encoding="utf-8").split("```python\n")[1:]]
    [start_up] = [each for each in blocks if "TORNADO_SPEEDUPS_INSTALL" in each]
    (tmp_path / "sitecustomize.py").write_text(start_up)
    show = "import sys; s = sys.modules.get('tornado_speedups'); print(s and s.status()['websocket'])"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TORNADO_SPEEDUPS_INSTALL": value}
    finished = subprocess.run(
        [sys.executable, "-c", show], check=False, env=environment, capture_output=True, text=True
    )
    assert (finished.stdout, finished.stderr) == ("installed\n" if value else "None\n", "")
