"""Test how the shim libraries are built and cached, and what the Windows one exports."""

from __future__ import annotations

import re
from pathlib import Path

import lief
import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.foreign.rewrap import shims, symbols

EXPORTS = re.compile(r"EXPORT\((\w+),")


def test_windows_code_for_another_cpu_has_no_shim() -> None:
    with pytest.raises(WheelworksError, match="windows for the CPU x86_64"):
        shims.build_shim("windows", "x86_64")


def test_each_system_gets_its_own_sources_and_those_of_both() -> None:
    windows, macos = ({path.name for path in shims.list_sources(name)} for name in ("windows", "macos"))
    assert {"common.c", "variadic.c"} <= windows & macos
    assert "windows_long.c" in windows - macos


def test_a_changed_source_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shims, "SOURCES", tmp_path)
    digests = set()
    for name, text in (("common.c", "1"), ("common.c", "2"), ("windows_a.c", ""), ("shim.h", ""), ("macos_a.c", "")):
        (tmp_path / name).write_text(text)
        digests.add(shims.compute_digest("windows"))
    assert len(digests) == 4  # a source of macOS doesn't matter
    assert shims.compute_digest("macos") not in digests


def test_no_function_is_both_the_shims_and_glibcs() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in shims.list_sources("windows"))
    listed = (shims.SOURCES / "same_in_glibc.txt").read_text(encoding="utf-8")
    names = {name for line in listed.splitlines() if not line.startswith("#") for name in line.split()}
    assert names & set(EXPORTS.findall(sources)) == set()
    assert not {name for name in names if name.startswith(("wcs", "_")) and name != "_exit"}


def test_modules_are_looked_up_in_glibc_as_imports_are() -> None:
    source = (shims.SOURCES / "windows_modules.c").read_text(encoding="utf-8")
    lists = dict(re.findall(r"const (c_runtimes|system_modules)\[\] = \{(.*?)\}", source, re.DOTALL))
    found = {name: re.findall(r'"(\w+)"', text) for name, text in lists.items()}
    assert all(symbols.C_RUNTIMES.fullmatch(f"{name}.dll") for name in found["c_runtimes"]) and found["c_runtimes"]
    assert not any(symbols.C_RUNTIMES.fullmatch(f"{name}.dll") for name in found["system_modules"])


@pytest.mark.integration
def test_the_library_exports_only_names_of_the_system() -> None:
    library = shims.build_shim("windows", "aarch64")
    assert shims.build_shim("windows", "aarch64") == library  # from the cache
    binary = lief.ELF.parse(str(library))
    assert binary is not None
    exported = {str(symbol.name) for symbol in binary.dynamic_symbols if symbol.shndx and symbol.value}
    assert {"w_teb", "w_start_image", "w_unresolved", "w_PyArg_ParseTuple", "w_RaiseException"} <= exported
    assert {name for name in exported if not name.startswith("w_")} == set()
