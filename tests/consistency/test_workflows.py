"""Test that workflows contain no logic, and that the sessions, options, runners and pins in them exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from wheelworks.cli import ci_matrix, lint_project
from wheelworks.core import targets

import bootstrap
from tests.fixtures import pages
from tests.fixtures.commands import ROOT, environment
from tests.fixtures.package import RELEASE_ABIS

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
NOX = re.compile(r'^(?:plan="\$\()?python bootstrap\.py -s (?P<session>[a-z0-9-]+)(?: -- (?P<words>.*?))?(?:\)")?$')
SCRIPTS = (".ci/run", ".ci/packages")
# The two lines that run no command of this project: one passes a matrix on, the other makes the gate fail.
OTHERS = ('echo "plan=$plan" >> "$GITHUB_OUTPUT"', "exit 1")
PINNED = re.compile(r"^\S+@[0-9a-f]{40}$")
LINTERS = (
    ("lint-project", "--strict"),  # runs zizmor, and checks the lock files
    ("check-jsonschema", "--builtin-schema=vendor.github-workflows"),
)


def read(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    return loaded


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    return dict(read(file)["jobs"])


def lines() -> Iterator[tuple[str, str]]:
    """Yield every line of every ``run``, with the file and the job that contain it."""
    for file in FILES:
        for name, job in jobs(file).items():
            for step in job.get("steps", ()):
                for line in step.get("run", "").splitlines():
                    yield f"{file.name}: {name}", line.strip()


def nox() -> list[tuple[str, str, list[str]]]:
    """Return the place, session and options of every nox command line. A wheel's name replaces each variable."""
    found = []
    for place, line in lines():
        if match := NOX.match(line):
            words = shlex.split(re.sub(r"\$\w+", "1.0.whl", match["words"] or ""))
            found.append((place, match["session"], words))
    return found


def test_there_are_workflows() -> None:
    assert {file.name for file in FILES} == {"ci.yml", "release.yml"}
    assert len(nox()) >= 8


def test_nothing_is_decided_in_a_workflow() -> None:
    others = [line for _, line in lines() if not NOX.match(line) and line not in (*SCRIPTS, *OTHERS)]
    assert others == []


@pytest.mark.parametrize(("place", "session", "words"), nox(), ids=str)
def test_a_nox_command_line_is_understood(place: str, session: str, words: list[str]) -> None:
    """The parser of the command accepts the options, so a removed session or a renamed option fails here."""
    pages.understood(session, words)


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with environments of Nox that use the packages of the current one."""
    folder = tmp_path_factory.mktemp("nox")
    for lock in ("wheelworks", "cibuildwheel", "audit", "report"):
        place = bootstrap.name_environment(ROOT / "requirements" / f"{lock}.txt", folder)
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", "--no-seed", place], check=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        (place / bootstrap.STAMP).write_text(str(place), encoding="utf-8")
    return folder


def helped(session: str, environments: Path) -> subprocess.CompletedProcess[str]:
    """Run a session with --help through nox."""
    command = [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "--envdir", str(environments)]
    command += ["-s", session, "--", "--help"]
    return subprocess.run(command, env=environment(environments), check=False, capture_output=True, text=True)


@pytest.mark.integration
@pytest.mark.parametrize("session", sorted({session for _, session, _ in nox()}))
def test_a_session_of_a_workflow_helps(session: str, environments: Path) -> None:
    ended = helped(session, environments)
    assert ended.returncode == 0 and f"usage: nox -s {session} --" in ended.stdout, ended.stderr
    assert "installing" not in ended.stderr


@pytest.mark.integration
def test_a_session_that_is_gone_does_not_help(environments: Path) -> None:
    assert helped("build-wheel", environments).returncode != 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_with_their_version(file: Path) -> None:
    uses = re.findall(r"uses: (\S+)(.*)", file.read_text(encoding="utf-8"))
    foreign = [(what, comment) for what, comment in uses if not what.startswith("$/")]
    assert foreign != []
    for what, comment in foreign:
        assert PINNED.match(what) and re.match(r"^ # v\d+\.\d+\.\d+$", comment), what


def test_an_action_is_the_same_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for file in FILES:
        for name, commit, version in re.findall(r"uses: (\S+)@(\S+) # (\S+)", file.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(f"{commit} {version}")
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_permitted_but_by_name(file: Path) -> None:
    assert read(file)["permissions"] == {}
    for name, job in jobs(file).items():
        allowed = {"contents": "read"} if name not in ("publish", "gate") else {"id-token": "write"}
        assert job.get("permissions", {}) in (allowed, {}), name
        for step in job.get("steps", ()):
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
        assert "timeout-minutes" in job or "uses" in job, name


def runs_foreign_code(session: str, words: list[str]) -> bool:
    return session == "test-foreign" or (session == "build-wheels" and not {"--list", "--builder"} & set(words))


def test_what_runs_foreign_code_has_the_packages_for_it() -> None:
    """Some wheels run only under a CPython for their CPU, which needs mmdebstrap and qemu."""
    running = {place for place, session, words in nox() if runs_foreign_code(session, words)}
    assert running == {"ci.yml: build", "release.yml: foreign"}
    for place in running:
        own = [line for where, line in lines() if where == place]
        first = next(at for at, line in enumerate(own) if NOX.match(line))
        assert ".ci/packages" in own[:first], place


def test_only_a_tag_is_published_and_only_by_one_job() -> None:
    assert list(read(FOLDER / "release.yml")["on"]) == ["push"]
    assert read(FOLDER / "release.yml")["on"]["push"] == {"tags": ["v*"]}
    every = [(file.name, name, job) for file in FILES for name, job in jobs(file).items()]
    tokens = [(file, name) for file, name, job in every if "id-token" in str(job.get("permissions"))]
    assert tokens == [("release.yml", "publish")]
    publish = jobs(FOLDER / "release.yml")["publish"]
    assert publish["environment"] and publish["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert set(publish["needs"]) == set(jobs(FOLDER / "release.yml")) - {"publish"}
    assert publish["steps"][-1]["with"]["attestations"] is True


def test_the_gate_waits_for_every_job_and_fails_with_any() -> None:
    every = jobs(FOLDER / "ci.yml")
    gate = every["gate"]
    assert set(gate["needs"]) == set(every) - {"gate"}
    assert gate["if"] == "always()"
    for result in ("failure", "cancelled", "skipped"):
        assert f"contains(needs.*.result, '{result}')" in gate["steps"][0]["if"]


def test_matrices_come_from_the_plan() -> None:
    planned = targets.plan_wheels("a-1.0", targets.load_targets(), RELEASE_ABIS, pure=True)
    rows = {"native": ci_matrix.make_native_rows(planned), **ci_matrix.make_cibuildwheel_rows(targets.load_targets())}
    used = set()
    for name, job in jobs(FOLDER / "ci.yml").items():
        if "strategy" not in job:
            assert "matrix." not in str(job)
            continue
        matrix = job["strategy"]["matrix"]
        assert matrix == {"include": f"${{{{ fromJSON(needs.build.outputs.plan).matrices.{name} }}}}"}
        assert set(re.findall(r"matrix\.(\w+)", json.dumps(job).replace("matrices.", ""))) <= set(rows[name][0])
        used.add(name)
    assert used == set(rows)


def test_machines_are_those_of_the_target_table() -> None:
    hosted = {target.runner for target in targets.load_targets() if target.runner}
    named = {job["runs-on"] for file in FILES for job in jobs(file).values() if "runs-on" in job}
    assert named - {"${{ matrix.runner }}"} <= hosted


def count_weaknesses(*paths: Path) -> int:
    return len(list(lint_project.check_workflows(paths[0].parents[2])))


def check_schema(*paths: Path) -> int:
    program, *options = LINTERS[1]
    command = [str(Path(sys.executable).with_name(program)), *options, *map(str, paths)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def test_the_linters_are_those_of_the_session() -> None:
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for words in LINTERS:
        assert ", ".join(f'"{word}"' for word in words) in text


def test_workflows_pass_the_linters() -> None:
    assert (count_weaknesses(*FILES), check_schema(*FILES)) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "lint"),
    [
        ("        with:\n          persist-credentials: false\n", "", count_weaknesses),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", count_weaknesses),
        ('"dist/$WHEEL"', '"dist/${{ github.head_ref }}"', count_weaknesses),
        ("permissions: {}", "permissions: write-all", count_weaknesses),
        ("runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04", check_schema),
        ("needs: build", "needs: 3", check_schema),
    ],
)
def test_a_bad_workflow_fails(old: str, new: str, lint: Callable[[Path], int], tmp_path: Path) -> None:
    text = (FOLDER / "ci.yml").read_text(encoding="utf-8")
    assert old in text
    bad = tmp_path / ".github" / "workflows" / "ci.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(text.replace(old, new), encoding="utf-8")
    assert lint(bad) != 0


UV_NAMES = {
    ("windows-11-arm", "x64"): "x86_64-pc-windows-msvc",
    ("windows-11-arm", "arm64"): "aarch64-pc-windows-msvc",
    ("windows-2025", "x64"): "x86_64-pc-windows-msvc",
    ("macos-15", "arm64"): "aarch64-apple-darwin",
    ("macos-15-intel", "x64"): "x86_64-apple-darwin",
    ("ubuntu-24.04", "x64"): "x86_64-unknown-linux-gnu",
    ("ubuntu-24.04-arm", "arm64"): "aarch64-unknown-linux-gnu",
}


def lacks(lock: str, machine: tuple[str, str], folder: Path) -> str:
    """Return uv's error if a lock file lacks a wheel for a machine's Python, or "". Nothing is installed."""
    command = ["uv", "pip", "install", "--dry-run", "--quiet", "--only-binary=:all:", "--python-version=3.13"]
    command += [f"--python-platform={UV_NAMES[machine]}", "--target", str(folder), "-r", f"requirements/{lock}.txt"]
    program = str(Path(sys.executable).with_name(command[0]))
    ended = subprocess.run([program, *command[1:]], cwd=ROOT, check=False, capture_output=True, text=True)
    return f"uv: {ended.returncode}\n{ended.stderr}" if ended.returncode else ""


@pytest.mark.integration
@pytest.mark.parametrize("lock", ["nox", "wheelworks", "cibuildwheel"])
def test_every_machine_can_install_what_its_sessions_need(lock: str, tmp_path: Path) -> None:
    planned = targets.plan_wheels("a-1.0", targets.load_targets(), RELEASE_ABIS, pure=True)
    machines = {(row["runner"], row["suite"]) for row in ci_matrix.make_native_rows(planned)}
    assert {machine: said for machine in sorted(machines) if (said := lacks(lock, machine, tmp_path))} == {}


def installs_anywhere(lock: str, python: str, folder: Path) -> bool:
    """Return whether all packages of a lock file have wheels for any platform and ABI, for a Python such as "3.14t"."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--only-binary=:all:", "--no-deps"]
    command += [f"--python-version={python.rstrip('t')}", "--platform=any", "--abi=none", "--target", str(folder)]
    command += ["--ignore-installed", "--require-hashes", "-r", f"requirements/{lock}.txt"]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def native_pythons() -> list[str]:
    planned = targets.plan_wheels("a-1.0", targets.load_targets(), RELEASE_ABIS, pure=True)
    return sorted({row["python"] for row in ci_matrix.make_native_rows(planned)})


@pytest.mark.integration
@pytest.mark.parametrize("python", native_pythons())
def test_every_tested_python_can_install_what_its_tests_need(python: str, tmp_path: Path) -> None:
    """Installing needs no compiler on any machine of the matrices: musl and emulated CPUs of cibuildwheel included."""
    assert installs_anywhere("native", python, tmp_path)


@pytest.mark.integration
def test_packages_with_native_code_are_noticed(tmp_path: Path) -> None:
    assert not installs_anywhere("wheelworks", native_pythons()[0], tmp_path)


@pytest.mark.integration
def test_windows_on_arm_needs_another_python_for_the_suite(tmp_path: Path) -> None:
    """If this fails, the disassembler has wheels for Windows on ARM, and ``matrices.SUITE`` may be unnecessary."""
    said = " ".join(lacks("wheelworks", ("windows-11-arm", "arm64"), tmp_path).split())
    assert re.search(r"\bcapstone==\S+ has no usable wheels", said), said
