"""Hold the audit's answer about search paths against the loader of this machine's glibc."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import lief
import pytest
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.wheel import replace_record
from wheelworks.core.zig import find_zig, make_cache_variables

from tests.wheelworks.audit import made

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or platform.machine() != "x86_64", reason="glibc on x86-64"),
]
RPATH, RUNPATH = lief.ELF.DynamicEntryRpath, lief.ELF.DynamicEntryRunPath
PathEntry: TypeAlias = "lief.ELF.DynamicEntryRpath | lief.ELF.DynamicEntryRunPath"
TARGET = "x86_64-linux-gnu.2.17"
SITE = "lib/python3/site-packages"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A helper library, a library that needs it, and a module that needs that: no paths, no full names."""
    folder = tmp_path_factory.mktemp("built")
    env = {**os.environ, **make_cache_variables(folder / "cache")}
    functions = {"libhelper.so": "helper", "libmiddle.so": "middle", "_native.so": "PyInit__native"}
    below = ""
    for name, function in functions.items():
        call = f"int {below}(void);" if below else ""
        body = f"return {below}();" if below else "return 1;"
        (folder / "code.c").write_text(f"{call} int {function}(void) {{ {body} }}")
        needed = [f"-l:{one}" for one in ("libhelper.so", "libmiddle.so") if (folder / one).exists()][-1:]
        command = [find_zig(), "cc", "-target", TARGET, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-s", "-o", name]
        command += ["code.c", "-L.", *needed]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
        below = function
    return {name: (folder / name).read_bytes() for name in functions}


def _with_paths(data: bytes, kind: type[PathEntry], *paths: str) -> bytes:
    parsed = lief.ELF.parse(list(data))
    assert parsed is not None
    if paths:
        parsed.add(kind(":".join(paths)))
    return bytes(parsed.write_to_bytes())


# The kind and the paths of the module, those of the library that it needs, and where the helper lies.
CASES = {
    "none": (RUNPATH, [], [], "sample"),
    "own-folder": (RUNPATH, ["$ORIGIN"], ["$ORIGIN"], "sample"),
    "runpath-is-not-inherited": (RUNPATH, ["$ORIGIN", "$ORIGIN/../sample.libs"], [], "sample.libs"),
    "rpath-is-inherited": (RPATH, ["$ORIGIN", "$ORIGIN/../sample.libs"], [], "sample.libs"),
    "another-folder": (RUNPATH, ["$ORIGIN"], ["${ORIGIN}/../sample.libs"], "sample.libs"),
    "wrong-folder": (RPATH, ["$ORIGIN"], ["$ORIGIN/libs"], "sample.libs"),
    "rpath-below-runpath": (RPATH, ["$ORIGIN", "$ORIGIN/sub"], ["$ORIGIN/other"], "sample/sub"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_loader_agrees(
    case: tuple[type[PathEntry], list[str], list[str], str], built: dict[str, bytes], tmp_path: Path
) -> None:
    kind, own, below, place = case
    files = {
        "sample/_native.so": _with_paths(built["_native.so"], kind, *own),
        "sample/libmiddle.so": _with_paths(built["libmiddle.so"], RUNPATH, *below),
        f"{place}/libhelper.so": built["libhelper.so"],
    }
    for name, data in files.items():
        path = tmp_path / SITE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    program = f"import ctypes; ctypes.CDLL({str(tmp_path / SITE / 'sample/_native.so')!r}, 2)"
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False)
    found = {one.code for one in inspect_wheel(_write_wheel(files, tmp_path)).findings}
    assert ("W121" in found) is (loaded.returncode != 0), loaded.stderr


def _write_wheel(files: dict[str, bytes], folder: Path) -> Path:
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    texts = {"WHEEL": made.WHEEL.replace("true", "false").replace("py3-none-any", tag), "METADATA": made.METADATA}
    members = {name: Member(data) for name, data in files.items()}
    members |= {f"{made.INFO}/{name}": Member(text.encode()) for name, text in texts.items()}
    path = folder / f"sample-1.0-{tag}.whl"
    path.write_bytes(build_archive(replace_record(members, made.INFO), 1_000_000_000))
    return path
