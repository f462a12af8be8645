"""Test that facts stated in several places agree: locks, versions, sessions and targets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from wheelworks.bench import measurements, plot, readme
from wheelworks.core import interpreters, targets
from wheelworks.report import pictures

from docs import generated
from tests.fixtures.package import RELEASE_ABIS
from tornado_speedups import websocket
from tornado_speedups.websocket import plain, transport

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
INPUTS = sorted((ROOT / "requirements").glob("*.in"))
HASHES = r"(?: \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n))+)"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?: ;[^\\]*)?)" + HASHES, re.MULTILINE)
ADDRESS = re.compile(r"://|--(extra-)?index-url|--find-links|--trusted-host| @ |\bfile:|/(home|opt|tmp|usr)/")
SESSION = re.compile(r"(?:nox|bootstrap\.py) (?:-R )?-s ([a-z][a-z0-9-]*)")
TARGET = re.compile(r"\b(?:win|macosx_\d+_\d+|(?:many|musl)linux_\d+_\d+)_(?:arm64|aarch64|x86_64|amd64)\b")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def pins(lock: Path) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version, _ in PINNED.findall(lock.read_text(encoding="utf-8"))}


def test_every_input_has_a_lock_and_every_lock_an_input() -> None:
    assert [path.stem for path in INPUTS] == [path.stem for path in LOCKS] != []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_line_of_a_lock_is_pinned_and_hashed(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    rest = PINNED.sub("", text)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert pins(lock)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_an_address(lock: Path) -> None:
    assert not ADDRESS.search(lock.read_text(encoding="utf-8"))


def test_locks_agree_with_each_other() -> None:
    versions: dict[str, dict[str, str]] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            versions.setdefault(name, {})[lock.name] = version
    assert {name: found for name, found in versions.items() if len(set(found.values())) > 1} == {}


def test_the_other_builder_tests_with_the_same_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    required = [Requirement(line) for line in settings["test-requires"]]
    native, tornado = pins(ROOT / "requirements/native.txt"), pins(ROOT / "requirements/wheelworks.txt")["tornado"]
    expected = {name: f"=={version}" for name, version in {**native, "tornado": tornado}.items()}
    assert {one.name: str(one.specifier) for one in required} == expected


def wanted(file: Path) -> list[str]:
    """Return the requirements of an input file, and of the files that it includes."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        word = line.partition("#")[0].strip()
        if word.startswith("-r "):
            found += wanted(file.with_name(word.removeprefix("-r ")))
        elif word:
            found.append(word)
    return found


@pytest.mark.parametrize("file", INPUTS, ids=lambda path: path.name)
def test_a_lock_answers_its_input(file: Path) -> None:
    locked = pins(file.with_suffix(".txt"))
    for requirement in map(Requirement, wanted(file)):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True)


def test_the_build_lock_answers_pyproject() -> None:
    locked = pins(ROOT / "requirements/build.txt")
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    for requirement in map(Requirement, table["requires"]):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])


def test_classifiers_are_requires_python() -> None:
    prefix = "Programming Language :: Python :: 3."
    minors = [int(one.removeprefix(prefix)) for one in project()["classifiers"] if one.startswith(prefix)]
    assert minors == list(range(min(minors), max(minors) + 1)), "in order, without a gap"
    supported = SpecifierSet(project()["requires-python"])
    assert all(supported.contains(f"3.{minor}") for minor in minors)
    assert not supported.contains(f"3.{min(minors) - 1}")
    assert minors == list(interpreters.SUPPORTED_MINORS)


def test_each_classifier_is_one_string() -> None:
    assert all(one.count(" :: ") in (1, 2, 3) and one == one.strip() for one in project()["classifiers"])
    assert len(set(project()["classifiers"])) == len(project()["classifiers"])


def test_the_floor_is_the_same_everywhere() -> None:
    floor = project()["requires-python"].removeprefix(">=")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    nodot = floor.replace(".", "")
    assert config["mypy"]["python_version"] == floor
    assert config["ruff"]["target-version"] == f"py{nodot}"
    assert floor == targets.BUILD_VERSION
    setup = (ROOT / "setup.py").read_text()
    assert f"return ({floor.replace('.', ', ')})" in setup
    assert f"--python-version={floor}" in (ROOT / "noxfile.py").read_text()
    assert f"({floor.replace('.', ', ')})" in (ROOT / "bootstrap.py").read_text()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_the_version_stands_in_one_place() -> None:
    version = re.escape(project()["version"])
    pattern = re.compile(rf'^\s*(__version__|version)\s*(:\s*str\s*)?=\s*"{version}"', re.MULTILINE)
    places = [path.relative_to(ROOT).as_posix() for path in tracked() if path.suffix in (".py", ".toml", ".c", ".h")]
    found = [place for place in places if pattern.search((ROOT / place).read_text(encoding="utf-8"))]
    assert [place for place in found if not place.startswith("scripts/")] == ["pyproject.toml"]


def sessions() -> set[str]:
    command = [sys.executable, "-m", "nox", "--list", "-f", str(ROOT / "noxfile.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(re.findall(r"^[*-] (\S+) -> \S", ended.stdout, re.MULTILINE))


@pytest.mark.integration
def test_every_session_has_a_description() -> None:
    names = set(re.findall(r'@nox\.session\(name="([^"]+)"', (ROOT / "noxfile.py").read_text()))
    names |= set(re.findall(r"@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text()))
    assert names == sessions() != set()


@pytest.mark.integration
@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", ".ci/run", "CHANGELOG.md"])
def test_sessions_that_are_named_exist(file: str) -> None:
    if not (ROOT / file).is_file():
        pytest.skip(f"no {file} yet")
    named = set(SESSION.findall((ROOT / file).read_text(encoding="utf-8")))
    assert named <= sessions()


def test_targets_that_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(
        re.findall(r"\b(?:win|macosx_\d+_\d+|(?:many|musl)linux_\d+_\d+)_(?:arm64|aarch64|x86_64|amd64)\b", text)
    )
    known = {tag for target in targets.load_targets() for tag in target.tags}
    assert named <= known


def test_nothing_names_a_folder_of_this_machine() -> None:
    folders = [f"{folder}/" for folder in (ROOT, Path.home(), Path(sys.prefix)) if len(folder.parts) > 1]
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        assert [folder for folder in folders if folder in text] == [], path


def test_readme_shows_the_target_table() -> None:
    head = "| target | wheel tags | needs at least |\n|---|---|---|\n"
    table = (ROOT / "README.md").read_text(encoding="utf-8").split(head)[1].split("\n\n")[0]
    assert table.splitlines() == generated.target_rows()


def test_readme_counts_what_a_release_holds() -> None:
    every = targets.load_targets()
    wheels = targets.plan_wheels("a-1.0", every, RELEASE_ABIS, pure=False)
    platforms = {target.family for target in every}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{len(wheels)} wheels for {len(platforms)} platforms" in text
    assert f"so the {len(platforms)} platforms are these {len(every)} targets" in text


def test_readme_shows_the_figures_that_are_checked_in() -> None:
    for table in readme.format_tables(measurements.load_results(ROOT / "assets/bench.json")):
        assert table in (ROOT / "README.md").read_text(encoding="utf-8"), (
            "python -m wheelworks bench --table assets/bench.json"
        )


def test_pictures_that_readme_shows_are_there_and_small() -> None:
    shown = re.findall(
        r"\((assets/[^)]+)\)|srcset=\"(assets/[^\"]+)\"|src=\"(assets/[^\"]+)\"", (ROOT / "README.md").read_text()
    )
    names = {name for found in shown for name in found if name}
    assert {path.name for path in map(Path, names) if path.suffix == ".png"} == set(pictures.PICTURES)
    assert all((ROOT / name).stat().st_size < 150_000 for name in names)


def test_the_plots_are_those_of_the_figures(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "assets/bench.json", tmp_path / "bench.json")
    made = {path.name: path.read_bytes() for path in plot.write_plots(tmp_path / "bench.json")}
    kept = {path.name: path.read_bytes() for path in (ROOT / "assets").glob("*.svg")}
    assert kept
    assert {name: made.get(name) for name in kept} == kept


def test_constants_of_c_are_those_of_python() -> None:
    """The types in C and their twins hold answers back, and leave messages to Python, by the same numbers."""
    defined: dict[str, str] = {}
    for path in (ROOT / "src/tornado_speedups/_speedups").glob("*.h"):
        defined |= re.findall(r"^#define (\w+) (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    constants = {
        "TEXT": websocket.TEXT,
        "BINARY": websocket.BINARY,
        "LONG_FRAME": websocket.LONG,
        "EMPTY_FRAME": plain.EMPTY_FRAME,
        "TURN_BYTES": transport._TURN_BYTES,
        "MAX_HELD_SECONDS": transport.MAX_HELD_SECONDS,
    }
    assert {name: eval(defined[name], {}) for name in constants} == constants
