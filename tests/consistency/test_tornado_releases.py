"""Every release of Tornado 6.5 and 6.6 on the package index: its files are known, and install() installs all hooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.fixtures.downloads import Published
from tornado_speedups import definitions, fingerprints

pytestmark = [pytest.mark.release, pytest.mark.needs("index")]

VERSIONS = [*("6.5" + (f".{number}" if number else "") for number in range(11)), "6.6", "6.6.1"]

# The wheels for Windows have the ends of lines of Windows.
PLATFORMS = ["manylinux1_x86_64", "win_amd64"]

PROGRAM = """
import json, sys, tornado, tornado_speedups
tornado_speedups.install()
print(json.dumps([tornado.version, tornado_speedups.status(), "tornado_speedups.definitions" in sys.modules]))
"""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_its_files_are_known_as_wholes_if_all_their_definitions_are(
    version: str, platform: str, published: Published
) -> None:
    known, expected = {}, {}
    with ZipFile(published.wheel(f"tornado=={version}", platform)) as wheel:
        for name in fingerprints.RELEASED:
            text = wheel.read(f"{name.replace('.', '/')}.py").replace(b"\r\n", b"\n")
            known[name] = fingerprints.is_released(text, name)
            expected[name] = not definitions.find_unknown(text, name)
    assert known == expected
    assert [name for name in known if not known[name]] == (["tornado.httputil"] if version == "6.5" else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_all_hooks_are_installed(version: str, published: Published, tmp_path: Path) -> None:
    with ZipFile(published.wheel(f"tornado=={version}", PLATFORMS[0])) as wheel:
        wheel.extractall(tmp_path)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    output = subprocess.check_output([sys.executable, "-c", PROGRAM], text=True, env=environment)
    found, status, searched = json.loads(output)
    assert (found, searched) == (version, version == "6.5")
    left = {hook for hook, text in status.items() if text.startswith("left") and not text.endswith("C is faster")}
    assert left == ({"headers", "http"} if version == "6.5" else set())
