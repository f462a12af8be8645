"""Run or parse the commands that README shows to users of the package, and check its table of applications."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PAGE = README.read_text(encoding="utf-8").partition("\n---\n")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES = [re.sub(r"\s+#.*", "", line) for block in BLOCKS for line in block.splitlines()]
MEASURED = [line for line in LINES if " --compare " in line]
RUN = sorted({*LINES} - {*MEASURED, "pip install tornado-speedups"})


def test_all_ways_to_use_it_are_shown() -> None:
    assert len(MEASURED) == 2 and len(RUN) == 5
    assert LINES[0] == "pip install tornado-speedups"


@pytest.mark.parametrize("line", MEASURED)
def test_a_comparison_is_understood(line: str) -> None:
    words = shlex.split(line)
    assert words[:4] == ["python", "-m", "tornado_speedups", "--compare"]
    plan = import_module("tornado_speedups.commands.compare").parse_arguments(words[4:])
    assert plan.program == ["app.py", "--port=8888"] and plan.load.urls[0].port == 8888


@pytest.mark.integration
@pytest.mark.parametrize("line", RUN)
def test_a_command_runs(line: str, tmp_path: Path) -> None:
    """With programs that only print what they got in place of an application and of Jupyter."""
    for name in ("app.py", "jupyterlab.py"):
        (tmp_path / name).write_text("import sys, tornado_speedups\nprint(sys.argv[1:], tornado_speedups.status())\n")
    words = shlex.split(line)
    assert words[0] == "python"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    ended = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = "{'masking': 'installed', 'websocket': 'installed', 'headers': 'installed', 'http': 'installed'}"
    arguments = [word for word in words[3:] if word.startswith("--")]
    checked = words[3:] in ([], ["--self-test"])
    assert ("http: installed\n" in ended.stdout) if checked else (ended.stdout == f"{arguments} {shown}\n")
    assert f"```text\n{shown}\n```" in PAGE


def test_the_table_begins_with_what_gains_nothing() -> None:
    head = "| CPU time of the server | Tornado | speedups | share |\n|---|---|---|---|\n"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.split(head)[1].splitlines()[:15]]
    assert rows[0][0].startswith("Jupyter") and rows[1][0].startswith("Bokeh")
    assert [len(row) for row in rows] == [4] * 15 and all(0 < float(row[3]) < 1 for row in rows)
    assert "Jupyter by more than what is gained" in PAGE.replace("\n", " ")
