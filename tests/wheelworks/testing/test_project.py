"""The plan of a project's tests: the command, the requirements, and the files without the project's packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from packaging.markers import default_environment
from wheelworks.core.archive import Limits
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.wheel import parse_wheel_name
from wheelworks.testing import requirements
from wheelworks.testing.commands import Step
from wheelworks.testing.project import NoTests, ProjectOptions, ProjectTests, find_tests, plan_tests, read_test_paths
from wheelworks.testing.project_source import check_size, is_test_file, list_files, open_source, split_project

from tests.fixtures import projects
from tests.fixtures.archives import file, sdist, special

TALLIES = Path(__file__).parents[2] / "projects" / "tallies"
WHEEL_FILES = ["tallies/__init__.py", "tallies/_speedups.abi3.so", "tallies-1.0.dist-info/METADATA"]
METADATA = "Metadata-Version: 2.4\nName: tallies\nVersion: 1.0\n"


def plan(
    source: Path, platform: str = "manylinux_2_17_aarch64", metadata: str = METADATA, **options: object
) -> ProjectTests:
    name = parse_wheel_name(f"tallies-1.0-cp311-abi3-{platform}.whl")
    chosen = ProjectOptions(source, **options)  # type: ignore[arg-type]
    return plan_tests(chosen, split_project(source, WHEEL_FILES), name, WHEEL_FILES, metadata)


def test_the_projects_settings_decide() -> None:
    tests = plan(TALLIES)
    assert tests.steps == (Step("pytest", ("{project}/tests",)),) and tests.origin == "[tool.cibuildwheel]"
    assert (tests.start, tests.requires, dict(tests.environment)) == (
        "run",
        ("pytest>=8", "packaging"),
        {"TALLIES_LIMIT": "64"},
    )


def test_another_platform_has_other_settings() -> None:
    [step] = plan(TALLIES, "win_arm64").steps
    assert step.kind == "python" and step.words[:2] == ("-m", "unittest")
    assert plan(TALLIES, "macosx_11_0_arm64").sources == ("tests", "pyproject.toml")


def test_the_users_options_win() -> None:
    tests = plan(TALLIES, test_command="python -m unittest", test_requires=("iniconfig",))
    assert tests.steps == (Step("python", ("-m", "unittest")),)
    assert (tests.origin, tests.requires) == ("--test-command", ("iniconfig",))
    assert plan(TALLIES, test_command="pytest", test_requires=("pytest-x",)).requires == ("pytest-x", "pytest")


def test_backslashes_of_windows_are_slashes_here(tmp_path: Path) -> None:
    text = "[tool.cibuildwheel]\ntest-command = 'pytest {project}\\tests'\n"
    projects.write(tmp_path, {"pyproject.toml": text})
    assert plan(tmp_path, "win_arm64").steps[0].words == ("{project}/tests",)


def test_without_settings_pytest_runs_the_tests(tmp_path: Path) -> None:
    text = "[dependency-groups]\ntest = ['pytest>=7']\nlint = ['x']\n"
    projects.write(tmp_path, {"pyproject.toml": text, "tests/test_a.py": "", "tallies/__init__.py": ""})
    tests = plan(tmp_path)
    assert (tests.steps, tests.start, tests.requires) == ((Step("pytest", ("tests",)),), "project", ("pytest>=7",))
    assert tests.origin == "pytest on tests"


def test_an_extra_that_is_named_as_tests_is_installed(tmp_path: Path) -> None:
    projects.write(tmp_path, {"pyproject.toml": "", "tests/test_a.py": ""})
    tests = plan(tmp_path, metadata=f"{METADATA}Provides-Extra: dev\nProvides-Extra: tests\n")
    assert (tests.extras, tests.requires) == (("tests",), ("pytest",))


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({"tests/test_a.py": ""}, ["tests"]),
        ({"test/a_test.py": ""}, ["test"]),
        ({"tests/readme": "", "test/test_a.py": ""}, ["tests"]),
        ({"pytest.ini": "[pytest]\ntestpaths = a b", "a/x.py": "", "tests/test_a.py": ""}, ["a"]),
        ({"pytest.ini": "[pytest]\ntestpaths = none", "tests/test_a.py": ""}, ["tests"]),
        ({"tox.ini": "[pytest]\ntestpaths = a", "a/x.py": ""}, ["a"]),
        ({"setup.cfg": "[tool:pytest]\ntestpaths =\n  a\n  b\n", "a/x.py": "", "b/x.py": ""}, ["a", "b"]),
        ({"setup.cfg": "[pytest", "tests/test_a.py": ""}, ["tests"]),
        ({"src/tallies/__init__.py": "", "src/tallies/tests/test_a.py": ""}, ["--pyargs", "tallies.tests"]),
        ({"tallies/__init__.py": "", "tallies/test_a.py": ""}, ["--pyargs", "tallies.test_a"]),
        ({"test_a.py": "", "setup.py": ""}, ["test_a.py"]),
    ],
)
def test_tests_are_found(tmp_path: Path, files: dict[str, str], arguments: list[str]) -> None:
    projects.write(tmp_path, files)
    assert find_tests(split_project(tmp_path, WHEEL_FILES), WHEEL_FILES, {}) == arguments


def test_a_project_without_tests(tmp_path: Path) -> None:
    projects.write(tmp_path, {"setup.py": "", "tallies/__init__.py": ""})
    with pytest.raises(NoTests, match="no tests found") as caught:
        plan(tmp_path)
    assert "--test-command" in caught.value.hint


@pytest.mark.parametrize("table", ["[tool.pytest.ini_options]", "[tool.pytest]"])
def test_paths_in_pyproject(tmp_path: Path, table: str) -> None:
    import tomllib

    assert read_test_paths(tmp_path, tomllib.loads(f"{table}\ntestpaths = ['a', 'b']")) == ["a", "b"]
    assert read_test_paths(tmp_path, tomllib.loads(f"{table}\ntestpaths = 'a b'")) == ["a", "b"]


def test_a_projects_packages_are_left_out(tmp_path: Path) -> None:
    files = dict.fromkeys(("lib/a/__init__.py", "lib/a/x.c", "lib/a/tests/data/y", "one.py", "tests/a/b.py"), "")
    projects.write(tmp_path, {**files, "docs/a/__init__.py": "", "test_one.py": ""})
    split = split_project(tmp_path, ["a/__init__.py", "one.py", "tests/a/b.py"])
    assert dict(split.moved) == {"lib/a": "a", "one.py": "one.py"}
    assert split.kept == ("docs/a/__init__.py", "test_one.py", "tests/a/b.py")
    assert dict(split.added) == {"lib/a/tests/data/y": "a/tests/data/y"}
    (tmp_path / "site/a").mkdir(parents=True)
    split.copy_added(tmp_path / "site")
    assert (tmp_path / "site/a/tests/data/y").is_file()


def test_names_of_test_files() -> None:
    found = [name for name in ("a/test_x.py", "x_test.py", "tests/x", "conftest.py", "a/x.py", "test_x.c")
             if is_test_file(name)]  # fmt: skip
    assert found == ["a/test_x.py", "x_test.py", "tests/x", "conftest.py"]


def test_an_sdist_is_unpacked(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "a-1.0.tar.gz", file("a-1.0/setup.py"), file("a-1.0/tests/test_a.py", b"x"))
    assert list_files(open_source(archive, tmp_path / "out")) == ["setup.py", "tests/test_a.py"]


@pytest.mark.parametrize("member", [file("a-1.0/../../evil"), special("a-1.0/x", b"2", "/etc/passwd")])
def test_a_hostile_sdist_is_refused(tmp_path: Path, member: tuple[object, bytes]) -> None:
    archive = sdist(tmp_path / "a-1.0.tar.gz", file("a-1.0/setup.py"), member)  # type: ignore[arg-type]
    with pytest.raises(WheelworksError):
        open_source(archive, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.skipif(os.name == "nt", reason="makes links")
def test_of_a_folder_only_its_own_files_are_copied(tmp_path: Path) -> None:
    folder = projects.write(tmp_path / "in", {"setup.py": "", "a/x": ""})
    (tmp_path / "secret").write_text("s")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")
    (folder / "own").symlink_to("a/x")
    os.mkfifo(folder / "pipe")
    copied = open_source(folder, tmp_path / "copy")
    assert sorted(path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()) == [
        "a/x",
        "own",
        "setup.py",
    ]


def test_a_large_tree_is_refused(tmp_path: Path) -> None:
    projects.write(tmp_path, {"a": "xx", "b": ""})
    check_size(tmp_path, ["a", "b"], Limits(2, 2))
    for limits in (Limits(1, 2), Limits(2, 1)):
        with pytest.raises(WheelworksError, match="more than"):
            check_size(tmp_path, ["a", "b"], limits)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_source(tmp_path / "none", tmp_path / "out")


ENVIRONMENT = requirements.make_environment("3.13", "aarch64")
EXTRAS = """\
Metadata-Version: 2.4
Name: My_Project
Version: 1.0
Requires-Dist: base>=1
Requires-Dist: old; python_version < "3.13"
Requires-Dist: win; sys_platform == "win32"
Requires-Dist: arm[x]>2; platform_machine == "aarch64"
Requires-Dist: one; extra == "one"
Requires-Dist: my-project[one]; extra == "all"
Requires-Dist: my-project[all]; extra == "all"
Provides-Extra: one
Provides-Extra: all
"""


def test_requirements_of_a_wheel() -> None:
    assert requirements.list_requirements(EXTRAS, [], [], ENVIRONMENT) == ["base>=1", "arm[x]>2"]
    assert requirements.list_requirements(EXTRAS, ["ALL"], [], ENVIRONMENT) == ["base>=1", "arm[x]>2", "one"]
    words = ["my.project[one]", "pytest; python_version >= '3.13'", "no; sys_platform == 'win32'", "pytest-cov>4"]
    assert requirements.list_requirements(EXTRAS, [], words, ENVIRONMENT) == ["base>=1", "arm[x]>2", "pytest", "one"]
    assert requirements.list_extras(EXTRAS) == ["one", "all"]


def test_markers_are_those_of_the_python_that_runs_the_tests() -> None:
    assert ENVIRONMENT.keys() == default_environment().keys()
    assert requirements.make_environment("3.14t", "s390x")["python_full_version"] == "3.14.0"


def test_groups() -> None:
    table = {
        "dependency-groups": {"a": ["x", {"include-group": "b"}], "b": ["y>1"], "loop": [{"include-group": "loop"}]}
    }
    assert requirements.read_groups(table, ["a"]) == ["x", "y>1"] and requirements.read_groups({}, []) == []
    for group in ("loop", "missing"):
        with pytest.raises(WheelworksError, match="dependency-groups"):
            requirements.read_groups(table, [group])


def test_files_of_requirements(tmp_path: Path) -> None:
    lines = "# all\n-r more/b.txt\nx==1 \\\n  --hash=sha256:00\ny # why\n--index-url z\n\n-c c.txt\n"
    projects.write(tmp_path / "p", {"a.txt": lines, "more/b.txt": "z\n-r c.txt", "more/c.txt": "w", "loop": "-r loop"})
    (tmp_path / "out.txt").touch()
    words = requirements.expand_files(["v", "-r", "{project}/a.txt"], tmp_path / "p")
    assert words == ["v", "x==1", "y", "z", "w"]
    assert requirements.expand_files(["-rmore/c.txt"], tmp_path / "p") == ["w"]
    assert requirements.expand_files(["--requirement=more/c.txt"], tmp_path / "p") == ["w"]
    for words in (["-r", "../out.txt"], ["-r", "none"], ["-r"], ["--pre"], ["-r", "loop"]):
        with pytest.raises(UsageError, match="requirements of the tests"):
            requirements.expand_files(words, tmp_path / "p")


def test_what_is_no_requirement_is_refused() -> None:
    with pytest.raises(WheelworksError, match="is no requirement"):
        requirements.list_requirements(METADATA, [], ["a b"], ENVIRONMENT)


def test_the_sample_project_is_whole(tmp_path: Path) -> None:
    assert "tests/test_tallies.py" in list_files(Path(shutil.copytree(TALLIES, tmp_path / "copy")))
