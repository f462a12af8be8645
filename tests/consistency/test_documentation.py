"""Test that every command the pages show exists, and that the reference pages match the code."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from wheelworks.__main__ import COMMANDS
from wheelworks.audit.findings import CODES
from wheelworks.core import manifest, summary, targets

from docs import generated
from tests.fixtures import pages
from tests.fixtures.commands import ROOT, wheelworks

PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts)]
SESSIONS = generated.described_sessions((ROOT / "noxfile.py").read_text(encoding="utf-8"))
# Options with which a command only prints text, so that it is cheap to run.
CHEAP = ("--list", "--help", "--explain")
# Lines that run no command of this project. tests/wheelworks/test_distribution.py runs all lines of the tutorial.
OTHERS = {
    "README.md": {"pip download --no-deps --no-binary :all: tornado==6.6.1"},
    # run by tests/wheelworks/build/test_third_party.py
    "docs/howto/bring-a-library.md": {
        "pip download --no-deps --no-binary :all: ruamel.yaml.clib==0.2.15 pyyaml==6.0.4",
        "tar xf ruamel_yaml_clib-0.2.15.tar.gz",
        "sh libyaml.sh win_arm64",
        "sh libyaml.sh macosx_11_0_arm64",
    },
}


def shown() -> list[tuple[str, str]]:
    """Return every command line as a pair of the page that shows it and the line."""
    return [(path.relative_to(ROOT).as_posix(), line) for path in PAGES for line in pages.commands(path)]


def calls() -> list[tuple[str, str, list[str]]]:
    found = ((page, pages.session(line)) for page, line in shown())
    return [(page, *call) for page, call in found if call]


def contributing() -> list[tuple[str, list[str]]]:
    """Return the commands in the table of CONTRIBUTING."""
    lines = re.findall(r"`(nox -s [^`]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    return [call for line in lines if (call := pages.session(line))]


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|toml|json|txt))`", text)) | set(
        re.findall(r"`((?:scripts|src|tests|docs)/[\w./]+)`", text)
    )
    folders = [ROOT, ROOT / "scripts/wheelworks", ROOT / "src/tornado_speedups"]
    missing = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert len(named) > 15 and missing <= {"dist/manifest.json", "dist/provenance.json", "dist/.release.json"}


def test_pages_show_commands() -> None:
    assert len(calls()) > 40 and len(contributing()) > 15
    assert len(PAGES) == 15


def test_every_other_line_is_known() -> None:
    for path in PAGES:
        name = path.relative_to(ROOT).as_posix()
        others = {line for line in pages.commands(path) if not pages.session(line)}
        if name != "docs/tutorial.md":
            assert others == OTHERS.get(name, set()), name


@pytest.mark.parametrize(("page", "name", "words"), calls(), ids=str)
def test_a_command_is_understood(page: str, name: str, words: list[str]) -> None:
    if name in COMMANDS:
        pages.understood(name, words)
    else:
        assert name in SESSIONS, page


@pytest.mark.parametrize(("name", "words"), contributing(), ids=str)
def test_a_command_of_contributing_is_understood(name: str, words: list[str]) -> None:
    if name in COMMANDS and "DIR" not in words and "FILE.whl" not in words:
        pages.understood(name, words)
    assert name in SESSIONS


@pytest.mark.integration
@pytest.mark.parametrize(("page", "name", "words"), [one for one in calls() if set(CHEAP) & {*one[2]}], ids=str)
def test_a_cheap_command_runs(page: str, name: str, words: list[str], tmp_path: Path) -> None:
    ended = wheelworks(name, *words, cache=tmp_path)
    assert ended.status == 0 and ended.out, page


def test_the_reference_lists_every_session_and_command() -> None:
    page = generated.sessions()
    assert SESSIONS.keys() >= {"docs", "cross-arm64", "lint"} and all(f"| `{name}` |" in page for name in SESSIONS)
    assert all(f"\n## {name}\n" in generated.options() for name in COMMANDS)
    assert "[`wheelworks audit`](options.md#audit)" in page
    assert re.search(r"\| `release` \| .* \| this repository only \|", page)


def test_the_reference_lists_every_target_and_finding() -> None:
    assert all(f"| `{target.id}` |" in generated.target_page() for target in targets.load_targets())
    assert all(f"| `{code}` " in generated.findings() for code in CODES)


def test_every_field_of_the_manifest_is_explained() -> None:
    rows = list(generated.fields(manifest.generate_schema()))
    assert [place for place, _, text in rows if not text] == []
    assert len(rows) > 45 and all(f"| `{place}` |" in generated.manifest_page() for place, _, _ in rows)


def test_every_field_of_a_result_and_every_command_with_one_is_explained() -> None:
    rows = list(generated.fields(summary.generate_schema()))
    page = generated.results_page()
    assert [place for place, kind, text in rows if not text or not kind] == []
    assert len(rows) > 10 and all(f"| `{place}` |" in page for place, _, _ in rows)
    named = {word for part in generated.PARTS for word in part.replace(" --source", "").split(", ")}
    helps = {name: importlib.import_module(module).parser().format_help() for name, module in COMMANDS.items()}
    assert named == {name for name, text in helps.items() if "FILE.json" in text} - {"lint-project"}


def test_the_reference_is_written_once(tmp_path: Path) -> None:
    generated.write(tmp_path)
    names = {path.stem: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert names.keys() == {"sessions", "options", "targets", "findings", "manifest", "results"}
    generated.write(tmp_path)
    assert {path.stem: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == names
    page = (tmp_path / "manifest.md").read_text()
    assert json.loads(page.split("```json\n")[1].split("```")[0]) == manifest.generate_schema()
