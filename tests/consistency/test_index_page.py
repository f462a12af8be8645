"""Test the page that the package index makes of README: twine accepts it, and every link and picture works there."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
from email import message_from_string
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock
from urllib.parse import urlsplit

import pytest
import setuptools.command.build_ext  # before a test imports pip: setuptools then takes the deprecated distutils
from markdown_it import MarkdownIt
from readme_renderer.clean import clean

ROOT = Path(__file__).parents[2]
BUILD = "import setuptools.build_meta as backend, sys; print(backend.build_sdist(sys.argv[1]))"
README = """\
# A title with a [link](https://one.example/page) and a [relative one](docs/page.md)

![A picture](assets/picture.svg)

![Another](https://one.example/picture.png) is elsewhere.

---

[The suite](docs/suite.md)
"""


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=source, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz"))


def read_metadata(sdist: Path) -> str:
    with tarfile.open(sdist) as archive:
        file = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert file
        return file.read().decode()


def references(page: str) -> set[str]:
    """Return every address that a Markdown page links to or shows, as the index renders it."""
    rendered = clean(MarkdownIt("commonmark").enable("table").render(page))
    assert rendered
    return set(re.findall(r'(?:href|src|srcset)="([^"]*)"', rendered))


def relative(page: str) -> set[str]:
    return {each for each in references(page) if urlsplit(each).scheme not in ("http", "https")}


@pytest.fixture
def setup_py(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module setup.py, without a build."""
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("setup_of_the_package", ROOT / "setup.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(setuptools, "setup"):
        spec.loader.exec_module(module)
    return module


def test_the_page_has_no_relative_link_or_picture(sdist: Path) -> None:
    metadata = message_from_string(read_metadata(sdist))
    page = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert isinstance(page, str) and page.lstrip().startswith("# tornado-speedups\n")
    assert len(references(page)) >= 1 and relative(page) == set()
    assert "pip install tornado-speedups" in page and "wheelworks" not in page


def test_twine_accepts_the_sdist(sdist: Path) -> None:
    from twine.commands import check  # takes half a second to import

    assert check.check([str(sdist)], strict=True) is False, "returns whether something is wrong"


def test_readme_itself_would_not_work_there() -> None:
    assert "docs/tutorial.md" in relative((ROOT / "README.md").read_text(encoding="utf-8"))


def test_an_address_makes_links_absolute(setup_py: ModuleType) -> None:
    assert references(setup_py.describe_package(README, "https://code.example/them/it/")) == {
        "https://one.example/page",
        "https://code.example/them/it/blob/main/docs/page.md",
        "https://code.example/them/it/raw/main/assets/picture.svg",
        "https://one.example/picture.png",
    }


def test_without_an_address_only_their_text_stays(setup_py: ModuleType) -> None:
    page = setup_py.describe_package(README, None)
    assert references(page) == {"https://one.example/page", "https://one.example/picture.png"}
    assert "and a relative one\n" in page and "A picture" not in page


def test_only_cpython_needs_the_extension(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_py, "switch", "")
    assert [each.name for each in setup_py.configure()["ext_modules"]] == ["tornado_speedups._speedups"]
    monkeypatch.setattr(setup_py.sys, "implementation", SimpleNamespace(name="pypy"))
    assert "ext_modules" not in setup_py.configure()
