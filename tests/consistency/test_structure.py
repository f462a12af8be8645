"""Test the structure of the code: imports have no cycles and follow the allowed directions, and no file is long."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "scripts" / "wheelworks", ROOT / "src" / "tornado_speedups")
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.suffix in (".py", ".c", ".h"))
LONGEST = 400  # lines

# The packages of wheelworks that each package may import, besides itself and `core`. `cli` may import all.
USES = {
    "core": set[str](),
    "build": set[str](),
    "emulator": set[str](),
    "testing": set[str](),
    "foreign": {"testing"},
    "audit": set[str](),
    "compare": set[str](),
    "reproduce": set[str](),
    "report": set[str](),
    "bench": {"emulator"},
    "release": {"reproduce"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(next(folder.parent for folder in FOLDERS if folder in path.parents)).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES if path.suffix == ".py"}


def imported_modules(package: str, text: str) -> Iterator[str]:
    """Yield the project's modules that a file imports, including imports in functions and under ``TYPE_CHECKING``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                if f"{source}.{alias.name}" in MODULES:
                    yield f"{source}.{alias.name}"
                elif source in MODULES:
                    yield source


def read_imports(name: str) -> list[str]:
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return sorted(set(imported_modules(package, path.read_text(encoding="utf-8"))) - {name})


@cache
def read_all_imports() -> dict[str, list[str]]:
    return {name: read_imports(name) for name in MODULES}


def find_cycle(graph: dict[str, list[str]]) -> list[str]:
    """Return the nodes of a cycle, or an empty list."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node not in done:
            for following in graph[node]:
                if cycle := search(following, [*path, node]):
                    return cycle
            done.add(node)
        return []

    return next(filter(None, (search(node, []) for node in graph)), [])


def package_of(name: str) -> str:
    """Return the wheelworks package that a module belongs to, or "" for a module outside the packages."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "wheelworks" and parts[1] in {*USES, "cli"} else ""


def test_a_cycle_is_found() -> None:
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert find_cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize(
    "text",
    [
        "from wheelworks.core import git",
        "import wheelworks.core.git",
        "if TYPE_CHECKING:\n    from wheelworks.core.git import run_git",
        "def f():\n    from . import git",
        "from .git import run_git",
        "from ..core.git import run_git",
    ],
)
def test_every_kind_of_import_counts(text: str) -> None:
    assert list(imported_modules("wheelworks.core", text)) == ["wheelworks.core.git"]


def test_no_module_imports_itself_through_others() -> None:
    assert find_cycle(read_all_imports()) == []


@pytest.mark.parametrize("name", sorted(name for name in MODULES if package_of(name) not in ("", "cli")))
def test_imports_point_down(name: str) -> None:
    own = package_of(name)
    allowed = {own, "core", "", *USES[own]}
    assert [other for other in read_all_imports()[name] if package_of(other) not in allowed] == []


def test_every_package_has_its_place() -> None:
    folders = {path.parent.name for path in (ROOT / "scripts" / "wheelworks").glob("*/__init__.py")}
    assert folders == {*USES, "cli"}


def test_the_package_imports_nothing_of_the_suite() -> None:
    package = {name: imports for name, imports in read_all_imports().items() if name.startswith("tornado_speedups")}
    assert {name: imports for name, imports in package.items() if any("wheelworks" in one for one in imports)} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_pytest_enters_every_folder_of_tests(pytestconfig: pytest.Config) -> None:
    """Pytest's default settings silently skip folders with names such as build, and so hundreds of tests."""
    folders = {name for path in (ROOT / "tests").rglob("test_*.py") for name in path.relative_to(ROOT).parts[:-1]}
    assert "build" in folders
    patterns = pytestconfig.getini("norecursedirs")
    assert [name for name in folders if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
