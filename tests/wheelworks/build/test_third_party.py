"""Build real extensions with static libraries that were built for their targets, as the page about them shows."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import downloads, pages, projects
from tests.fixtures.commands import ROOT, environment, wheelworks
from tests.fixtures.wheels import read_files

pytestmark = pytest.mark.integration

PAGE = ROOT / "docs/howto/bring-a-library.md"
TARGETS = ("win_arm64", "manylinux_2_17_aarch64")
SETUP = """\
import os
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
class searching(build_ext):
    def build_extensions(self):
        found = self.compiler.find_library_file(self.compiler.library_dirs, "third")
        assert found and os.path.isfile(os.path.join(os.environ["CPATH"], "third.h"))
        super().build_extensions()
made = Extension(
    "sample", ["sample.c"], libraries=["third"], define_macros=[("Py_LIMITED_API", "0x030b0000")], py_limited_api=True
)
setup(
    py_modules=[], ext_modules=[made], cmdclass={"build_ext": searching},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
"""
SOURCE = projects.module("return PyLong_FromLong(third()[0]);", "#include <third.h>")


def build_library(folder: Path, target: str, cache: Path) -> Path:
    """Build a library of one function that names its target, by the compiler that is shown."""
    (folder / "include").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "include/third.h").write_text("const char *third(void);\n")
    (folder / "third.c").write_text(f'const char *third(void) {{ return "built for {target}"; }}\n')
    shown = f"{sys.executable} -m wheelworks cross-arm64 --show-compiler {target}"
    script = f'eval "$({shown})"; $CC $CFLAGS -c third.c -o third.o; $AR rcs lib/libthird.a third.o'
    subprocess.run(["sh", "-ec", script], cwd=folder, env=environment(cache), check=True)
    return folder


def test_each_target_gets_its_own_library(tmp_path: Path, wheelworks_cache: Path) -> None:
    table = f"{projects.PYPROJECT}[tool.wheelworks]\nsbom = true\n"
    project = projects.sample(tmp_path / "p", SOURCE, SETUP, **{"pyproject.toml": table})
    brought = [
        word
        for name in TARGETS
        for word in ("--prefix", f"{name}={build_library(tmp_path / name, name, wheelworks_cache)}")
    ]
    chosen = [word for name in TARGETS for word in ("--target", name)]
    command = ("cross-arm64", "--no-run", project, "--out", tmp_path / "out")
    ended = wheelworks(*command, *chosen, *brought, cache=wheelworks_cache, seconds=300)
    assert ended.status == 0, ended.err
    wheels = sorted((tmp_path / "out").glob("*.whl"))
    found = [re.findall(rb"built for (\w+)", b"".join(read_files(wheel).values())) for wheel in wheels]
    assert sorted(found) == sorted([name.encode()] for name in TARGETS), (
        "the musl wheel has no library, and isn't built"
    )
    boms = [read_files(wheel)["sample-1.0.dist-info/sboms/wheelworks.cdx.json"] for wheel in wheels]
    hashes = [hashlib.sha256((tmp_path / name / "lib/libthird.a").read_bytes()).hexdigest() for name in TARGETS]
    assert sorted(json.loads(bom)["components"][0]["hashes"][0]["content"] for bom in boms) == sorted(hashes)


def test_a_header_that_is_missing_is_suggested(tmp_path: Path, wheelworks_cache: Path) -> None:
    words = (projects.sample(tmp_path / "p", SOURCE), "--target", "win_arm64", "--out", tmp_path / "out")
    ended = wheelworks("cross-arm64", "--no-run", *words, cache=wheelworks_cache)
    said = " ".join(ended.err.split())
    assert ended.status == 1 and "hint: if third.h belongs to a third-party C library" in said
    assert "--prefix win_arm64=DIR" in said


@pytest.mark.release
def test_pyyaml_has_libyaml(published: downloads.Published, tmp_path: Path, wheelworks_cache: Path) -> None:
    """Type what the page shows, and load a document with the result under a real CPython."""
    [script] = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "libyaml.sh").write_text(script)
    lines = pages.commands(PAGE)
    [download] = [line for line in lines if line.startswith("pip download ")]
    for requirement in download.split()[-2:]:
        shutil.copy2(published.sdist(requirement), tmp_path)
    suite = tmp_path / "bin/nox"
    suite.parent.mkdir()
    suite.write_text(f'#!/bin/sh\nshift\nname=$1\nshift 2\nexec "{sys.executable}" -m wheelworks "$name" "$@"\n')
    suite.chmod(0o755)
    env = environment(wheelworks_cache)
    env["PATH"] = f"{suite.parent}:{env['PATH']}"
    for line in lines[lines.index(download) + 1 :]:
        ended = subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=env, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
    wheels = sorted((tmp_path / "dist-pyyaml").glob("*.whl"))
    assert len(wheels) == 2
    loads = "import yaml; assert yaml.load('a: [1, b]', Loader=yaml.CSafeLoader) == dict(a=[1, 'b'])"
    own = ("--tests", "project", "--source", tmp_path / "pyyaml-6.0.4.tar.gz", "--test-command", f'python -c "{loads}"')
    ended_run = wheelworks("test-foreign", *wheels, "--how", "cpython", *own, cache=wheelworks_cache, seconds=600)
    assert ended_run.status == 0, ended_run.out + ended_run.err
