"""Compare the object file reader with LIEF, on objects that a compiler wrote in each format."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import lief
import pytest
from wheelworks.build import objects
from wheelworks.core.zig import find_zig

pytestmark = pytest.mark.integration

SOURCE = """\
#ifdef _WIN32
__declspec(dllimport) extern int imported_data;
__declspec(dllimport) int imported_function_with_a_long_name(void);
#else
extern int imported_data;
int imported_function_with_a_long_name(void);
#endif
int called(int);
extern int data_of_another;
int short1, tentative_with_a_long_name;
static int of_the_file;
static int helper(int x) { return x + of_the_file++; }
__attribute__((weak)) int weak_definition(void) { return 1; }
int (*address)(int) = called;
int defined_here(int x) {
    short1 += data_of_another + imported_data;
    return called(x) + helper(x) + imported_function_with_a_long_name() + weak_definition();
}
"""
WITH_WEAK_REFERENCE = "__attribute__((weak)) int maybe(void);\nint asks(void) { return maybe ? maybe() : 0; }\n"
COMPILERS = {
    "aarch64-linux-musl": "",
    "x86_64-linux-musl": "",
    "arm-linux-musleabi": "",
    "s390x-linux-musl": "",
    "aarch64-macos": "_",
    "x86_64-macos": "_",
    "aarch64-windows-gnu": "",
    "x86_64-windows-gnu": "",
    "x86-windows-gnu": "_",
}


@pytest.fixture(params=COMPILERS)
def compiled(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Return a compiler target, and the path of the sample compiled for it."""
    (tmp_path / "sample.c").write_text(SOURCE)
    zig("cc", "-target", request.param, "-O1", "-fcommon", "-g", "-c", "sample.c", "-o", "sample.o", cwd=tmp_path)
    return request.param, tmp_path / "sample.o"


def zig(*words: str, cwd: Path) -> None:
    subprocess.run([find_zig(), *words], cwd=cwd, check=True, capture_output=True)


def by_lief(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the external symbols that LIEF reads, and whether each is defined."""
    coff = lief.COFF.parse(str(path))
    parsed = coff or lief.parse(path.read_bytes())
    if isinstance(parsed, lief.COFF.Binary):
        yield from coff_symbols(parsed)
    elif isinstance(parsed, lief.ELF.Binary):
        for symbol in parsed.symtab_symbols:
            if symbol.binding in (lief.ELF.Symbol.BINDING.GLOBAL, lief.ELF.Symbol.BINDING.WEAK):
                yield str(symbol.name), symbol.shndx != 0
    elif isinstance(parsed, lief.MachO.Binary):
        for one in parsed.symbols:
            if one.raw_type & 0x01 and not one.raw_type & 0xE0:
                yield str(one.name), one.raw_type & 0x0E != 0 or one.value != 0


def coff_symbols(binary: lief.COFF.Binary) -> Iterator[tuple[str, bool]]:
    for symbol in binary.symbols:
        if symbol.storage_class == lief.COFF.Symbol.STORAGE_CLASS.WEAK_EXTERNAL:
            yield str(symbol.name), True  # a default definition accompanies a weak external
        elif symbol.storage_class == lief.COFF.Symbol.STORAGE_CLASS.EXTERNAL:
            yield str(symbol.name), symbol.section_idx != 0 or symbol.value != 0


def test_agrees_with_lief(compiled: tuple[str, Path]) -> None:
    target, path = compiled
    found, prefix = objects.read_symbols(path.read_bytes()), COMPILERS[target]

    def plain(name: str) -> str:
        return name.removeprefix("__imp_").removeprefix(prefix)

    listed = list(by_lief(path))
    # LIEF gives no name to a COFF symbol whose name is the end of another symbol's name.
    named = [(name, defined) for name, defined in listed if name]
    expected = (
        {plain(name) for name, defined in named if defined},
        {plain(name) for name, defined in named if not defined and not name.startswith("__imp_")},
        {plain(name) for name, defined in named if not defined and name.startswith("__imp_")},
    )
    ours = (found.defined, found.undefined, found.imported)
    assert all(theirs <= own for theirs, own in zip(expected, ours, strict=True))
    assert sum(map(len, ours)) == len(listed)
    assert "windows" in target or (list(ours) == list(expected) and named == listed)


def test_says_what_the_source_says(compiled: tuple[str, Path]) -> None:
    target, path = compiled
    found = objects.read_symbols(path.read_bytes())
    imported = {"imported_data", "imported_function_with_a_long_name"}
    assert {"called", "data_of_another"} <= found.undefined
    assert {"defined_here", "short1", "tentative_with_a_long_name", "weak_definition"} <= found.defined
    assert not {"helper", "of_the_file"} & (found.defined | found.undefined)
    assert imported <= (found.imported if "windows" in target else found.undefined)


@pytest.mark.parametrize("target", ["aarch64-linux-musl", "aarch64-macos", "aarch64-windows-gnu"])
def test_a_library_is_read_like_its_objects(target: str, tmp_path: Path) -> None:
    for name, text in {
        "one": SOURCE,
        "a name of more than fifteen letters": "int called(int x) { return x; }\n",
    }.items():
        (tmp_path / f"{name}.c").write_text(text)
        zig("cc", "-target", target, "-O1", "-c", f"{name}.c", "-o", f"{name}.o", cwd=tmp_path)
    files = sorted(path.name for path in tmp_path.glob("*.o"))
    zig("ar", "rcs", "all.a", *files, cwd=tmp_path)
    together = objects.Symbols()
    for file in files:
        together |= objects.read_symbols((tmp_path / file).read_bytes())
    found = objects.read_symbols((tmp_path / "all.a").read_bytes())
    assert found == together
    assert "called" in found.defined and "called" not in found.undefined


@pytest.mark.parametrize("target", ["aarch64-linux-musl", "aarch64-macos"])
def test_a_weak_reference_is_asked_for(target: str, tmp_path: Path) -> None:
    (tmp_path / "weak.c").write_text(WITH_WEAK_REFERENCE)
    zig("cc", "-target", target, "-O1", "-c", "weak.c", "-o", "weak.o", cwd=tmp_path)
    assert objects.read_symbols((tmp_path / "weak.o").read_bytes()).undefined == {"maybe"}
