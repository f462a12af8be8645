"""Test the shim's functions of Windows: a module compiled for Windows ARM64 calls them and checks what they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.wheelworks.foreign.rewrap.windows_modules import compile_module, rewrap_module, run_python

pytestmark = [pytest.mark.integration, pytest.mark.needs("mmdebstrap", "qemu-user")]

HERE = Path(__file__).parent
CASES = (
    *("waits", "locks", "slots", "memory", "texts", "formats", "files", "times"),
    *("functions", "modules", "sockets"),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What each check found, in one run."""
    folder = tmp_path_factory.mktemp("system")
    module = compile_module(folder, HERE / "windows_system.c", link=["-lws2_32"])
    assert rewrap_module(module, folder, "system").unresolved == ()
    code = f"import json, system; print(json.dumps({{n: getattr(system, n)() for n in {CASES!r}}}))"
    ended = run_python(folder, "-c", code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answer: dict[str, str | None] = json.loads(ended.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("name", CASES)
def test_functions_do_what_windows_documentation_says(results: dict[str, str | None], name: str) -> None:
    assert results[name] is None
