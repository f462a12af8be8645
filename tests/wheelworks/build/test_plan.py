"""Test the plan of a project's builds: what shares a binary, and settings that are carried out or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.build import context, plan, tags
from wheelworks.build.builder import is_served
from wheelworks.build.plan import Wish
from wheelworks.core.errors import WheelworksError
from wheelworks.core.manifest import WheelRecord
from wheelworks.core.targets import find_abi, find_target, load_targets

LINUX = [find_target(name) for name in ("manylinux_2_17_x86_64", "musllinux_1_2_x86_64")]


MARK = {"CIBUILDWHEEL": "1"}
PLAIN = plan.WheelSettings((plan.IN_CIBUILDWHEEL,))


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def settings_of(folder: Path, text: str, **wish: object) -> plan.WheelSettings:
    (task,) = plan.plan_tasks(write(folder, text), Wish([find_target("win32")], [find_abi("cp312")], **wish))  # type: ignore[arg-type]
    return task.settings


def test_a_family_shares_a_binary(tmp_path: Path) -> None:
    (task,) = plan.plan_tasks(tmp_path, Wish(LINUX[:1], [find_abi("cp312")]))
    assert (task.targets, task.family) == (tuple(LINUX[:1]), tuple(LINUX))


def test_a_skipped_target_shares_none(tmp_path: Path) -> None:
    tree = write(tmp_path, "[tool.cibuildwheel]\nskip = '*-musllinux_*'\n")
    (task,) = plan.plan_tasks(tree, Wish(LINUX, [find_abi("cp312")]))
    assert task.targets == task.family == tuple(LINUX[:1])


def test_targets_with_other_settings_share_none(tmp_path: Path) -> None:
    overrides = "[[tool.cibuildwheel.overrides]]\nselect = '*-musllinux_*'\nenvironment = 'MUSL=1'\n"
    first, second = plan.plan_tasks(write(tmp_path, overrides), Wish(LINUX, [find_abi("cp312")]))
    assert (first.family, second.family) == (tuple(LINUX[:1]), tuple(LINUX[1:]))
    assert (first.settings.evaluate({}), second.settings.evaluate({})) == (MARK, {**MARK, "MUSL": "1"})


@pytest.mark.parametrize(
    ("text", "abi", "named", "expected"),
    [
        ("build = 'cp312-*'", "cp312", False, True),
        ("build = 'cp311-*'", "cp312", False, True),
        ("skip = 'cp312-*'", "cp312", False, False),
        ("skip = 'cp312-*'", "cp312", True, True),
    ],
)
def test_the_user_may_replace_the_selection(text: str, abi: str, named: bool, expected: bool, tmp_path: Path) -> None:
    wish = Wish([find_target("win32")], [find_abi(abi)], named=named)
    tree = write(tmp_path, f"[tool.cibuildwheel]\n{text}\n")
    if expected:
        assert plan.plan_tasks(tree, wish)
    else:
        with pytest.raises(WheelworksError, match="skips them"):
            plan.plan_tasks(tree, wish)


@pytest.mark.parametrize(
    ("archs", "built"),
    [
        ("", ["manylinux_2_17_x86_64", "manylinux_2_17_i686", "macosx_11_0_arm64", "win_arm64", "win32"]),
        ("linux.archs = ['x86_64', 's390x']", ["manylinux_2_17_x86_64", "macosx_11_0_arm64", "win_arm64", "win32"]),
        (
            "macos.archs = 'universal2'\nwindows.archs = 'ARM64'\nlinux.archs = 'auto32'",
            ["manylinux_2_17_i686", "macosx_11_0_arm64", "win_arm64"],
        ),
        ("archs = 'auto64'", ["manylinux_2_17_x86_64", "macosx_11_0_arm64", "win_arm64"]),
        (
            "archs = 'x86_64, x86'\nlinux.archs = ['auto', 'riscv64']",
            ["manylinux_2_17_x86_64", "manylinux_2_17_i686", "win32"],
        ),
    ],
)
def test_archs_selects_cpus_unless_the_user_does(archs: str, built: list[str], tmp_path: Path) -> None:
    names = ("manylinux_2_17_x86_64", "manylinux_2_17_i686", "macosx_11_0_arm64", "win_arm64", "win32")
    tree, wish = (
        write(tmp_path, f"[tool.cibuildwheel]\n{archs}\n"),
        Wish([*map(find_target, names)], [find_abi("cp312")]),
    )
    found = {target.id for task in plan.plan_tasks(tree, wish) for target in task.targets}
    assert found == set(built)
    for other in (replace(wish, named=True), replace(wish, one_abi=True)):
        assert {target.id for task in plan.plan_tasks(tree, other) for target in task.targets} == set(names)


def test_an_unknown_cpu_is_refused(tmp_path: Path) -> None:
    tree = write(tmp_path, "[tool.cibuildwheel]\narchs = 'amd65'\n")
    with pytest.raises(WheelworksError, match="archs: 'amd65' is unknown"):
        plan.plan_tasks(tree, Wish(LINUX, [find_abi("cp312")]))


@pytest.mark.parametrize(
    ("abi", "text", "tag"),
    [
        ("cp311", "", "macosx_10_9_x86_64"),
        ("cp312", "", "macosx_10_13_x86_64"),
        ("cp314t", "", "macosx_10_15_x86_64"),
        (
            "cp311",
            "[tool.cibuildwheel.macos]\nenvironment = { MACOSX_DEPLOYMENT_TARGET = '10.14' }\n",
            "macosx_10_14_x86_64",
        ),
        (
            "cp314",
            "[tool.cibuildwheel.macos]\nenvironment = { MACOSX_DEPLOYMENT_TARGET = '10.9' }\n",
            "macosx_10_15_x86_64",
        ),
        ("cp314", "[tool.wheelworks]\nminimum-macos = '10.9'\n", "macosx_10_9_x86_64"),
    ],
)
def test_the_lowest_macos(abi: str, text: str, tag: str, tmp_path: Path) -> None:
    wish = Wish([find_target("macosx_10_9_x86_64")], [find_abi(abi)])
    (task,) = plan.plan_tasks(write(tmp_path, text), wish)
    assert task.targets[0].tags == (tag,) and task.targets == task.family


@pytest.mark.parametrize(
    ("variable", "tag"),
    [
        ("11.0", "macosx_11_0_x86_64"),
        ("10.9", "macosx_10_15_x86_64"),
        ("11", "macosx_11_0_x86_64"),
        ("10.15.7", "macosx_10_15_x86_64"),
        ("26.1", "macosx_26_0_x86_64"),
    ],
)
def test_the_users_lowest_macos_comes_before_the_projects(variable: str, tag: str, tmp_path: Path) -> None:
    tree = write(tmp_path, "[tool.cibuildwheel.macos]\nenvironment = { MACOSX_DEPLOYMENT_TARGET = '12.0' }\n")
    variables = {"MACOSX_DEPLOYMENT_TARGET": variable}
    wish = Wish([find_target("macosx_10_9_x86_64")], [find_abi("cp314")], variables=variables)
    (task,) = plan.plan_tasks(tree, wish)
    assert task.targets[0].tags == (tag,)


def test_a_wrong_macos_is_refused(tmp_path: Path) -> None:
    wish = Wish([find_target("macosx_10_9_x86_64")], [find_abi("cp311")])
    with pytest.raises(WheelworksError, match="'ten' is no version of macOS"):
        plan.plan_tasks(write(tmp_path, "[tool.wheelworks]\nminimum-macos = 'ten'\n"), wish)


def test_variables_and_configuration_reach_the_build(tmp_path: Path) -> None:
    text = "[tool.cibuildwheel]\nenvironment = { A = '$HOME/x' }\nconfig-settings = { a = ['1', '2'], b = '3' }\n"
    settings = settings_of(tmp_path, text)
    assert settings.evaluate({"HOME": "/h"}) == {**MARK, "A": "/h/x"}
    assert settings.config_settings() == {"a": ["1", "2"], "b": "3"}
    assert hash(settings) == hash(settings_of(tmp_path, text))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("before-all", "yum install -y zlib-devel"),
        ("before-build", "python tools/make.py"),
        ("before-build", "pip install cython && make"),
        ("repair-wheel-command", "python patch.py {wheel}"),
        ("build-frontend", "build; args: --no-isolation"),
        ("xbuild-tools", "cmake"),
        ("audit-command", "abi3audit --strict {wheel}"),
        ("dependency-versions", "ci/constraints.txt"),
        ("environment-pass", "SET_HERE"),
        ("environment", "CC=clang"),
    ],
)
def test_what_another_tool_does_is_refused_by_name(
    option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_HERE", "1")
    text = f"[tool.cibuildwheel]\n{option} = '{value}'\n"
    with pytest.raises(WheelworksError, match=rf"cp312-win32: \[tool.cibuildwheel\] {option} = .* isn't carried out"):
        settings_of(tmp_path, text)
    assert settings_of(tmp_path, text, without=[option]) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "before-build = 'pip install -r requirements/build.txt'",
        "before-build = ['pip install cython', 'python -m pip install numpy>=2']".replace(">=", "=="),
        "repair-wheel-command = ''",
        "[tool.cibuildwheel.windows]\nrepair-wheel-command = 'delvewheel repair -w {dest_dir} {wheel}'",
        "build-frontend = 'build[uv]'",
        "dependency-versions = 'latest'\naudit-command = ''",
        "environment-pass = ['NOT_SET_HERE']",
        "manylinux-x86_64-image = 'manylinux2014'",
        "test-command = 'pytest'\ntest-requires = 'pytest'",
    ],
)
def test_what_has_no_effect_here_is_accepted(text: str, tmp_path: Path) -> None:
    assert settings_of(tmp_path, f"[tool.cibuildwheel]\n{text}\n") == PLAIN


def test_an_image_of_the_users_own_is_refused(tmp_path: Path) -> None:
    tree = write(tmp_path, "[tool.cibuildwheel]\nmanylinux-x86_64-image = 'me/with-openssl'\n")
    with pytest.raises(WheelworksError, match="manylinux-x86_64-image"):
        plan.plan_tasks(tree, Wish(LINUX, [find_abi("cp312")]))


def test_an_unknown_option_to_leave_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="--without before: no option"):
        settings_of(tmp_path, "", without=["before"])


def record(file: str, *targets: str) -> WheelRecord:
    return WheelRecord(
        file=file, sha256="", size=0, tags=[], targets=list(targets), abi="", link="none", libc_calls=[], extensions=[]
    )


@pytest.mark.parametrize(
    ("abi", "file", "served"),
    [
        ("cp313", "a-1-cp312-abi3-win32.whl", True),
        ("cp311", "a-1-cp312-abi3-win32.whl", False),
        ("cp313", "a-1-cp312-cp312-win32.whl", False),
        ("cp314t", "a-1-cp312-abi3-win32.whl", False),
        ("cp315t", "a-1-cp315-abi3.abi3t-win32.whl", True),
    ],
)
def test_a_stable_abi_serves_later_pythons(abi: str, file: str, served: bool) -> None:
    (task,) = plan.make_tasks([find_target("win32")], [find_abi(abi)])
    assert is_served(task, [record(file, "win32")]) is served
    assert not is_served(task, [record(file, "win_amd64")])


def test_a_wheel_of_one_libc_serves_no_other() -> None:
    (task,) = plan.make_tasks(LINUX, [find_abi("cp313")])
    first = record("a-1-cp312-abi3-manylinux_2_17_x86_64.whl", LINUX[0].id)
    second = record("a-1-cp312-abi3-musllinux_1_2_x86_64.whl", LINUX[1].id)
    assert not is_served(task, [first]) and is_served(task, [first, second])


def test_names_are_those_of_each_python_without_the_stable_abi(tmp_path: Path) -> None:
    tasks = plan.make_tasks([find_target("win32")], map(find_abi, ("cp311", "cp312", "cp314t")))
    names = tags.choose_tags(tmp_path, (), tasks, dict)
    assert [one.name for one in tags.plan_names("a-1", tasks, names)] == [
        f"a-1-{abi}-win32.whl" for abi in ("cp311-cp311", "cp312-cp312", "cp314-cp314t")
    ]


def test_one_name_stands_for_the_pythons_that_it_serves() -> None:
    tasks = plan.make_tasks(load_targets(), map(find_abi, ("cp311", "cp312", "cp313", "cp314t")))
    names = {
        "cp311-abi3": "cp311-cp311",
        "cp312-abi3": "cp312-abi3",
        "cp313-abi3": "cp312-abi3",
        "cp314-cp314t": "cp314-cp314t",
    }
    found = [one.name for one in tags.plan_names("a-1", tasks, names) if one.name.endswith("-win32.whl")]
    assert found == [f"a-1-{abi}-win32.whl" for abi in ("cp311-cp311", "cp312-abi3", "cp314-cp314t")]


@pytest.mark.parametrize(
    "text", ["py_limited_api = 'cp312'", "[bdist_wheel]\npy-limited-api = cp312", "Py_LIMITED_API"]
)
def test_only_projects_that_mention_it_are_asked_for_the_stable_abi(text: str, tmp_path: Path) -> None:
    tasks = plan.make_tasks([find_target("win32")], [find_abi("cp312")])
    (tmp_path / "setup.cfg").write_text(text, encoding="utf-8")
    assert tags.choose_tags(tmp_path, (), tasks, lambda: {"x": "y"}) == {"x": "y"}
    assert tags.choose_tags(tmp_path, [find_abi("cp312")], tasks, dict) == {"cp312-abi3": "cp312-abi3"}


def test_constraints_of_the_build_requirements_are_files_of_the_tree(tmp_path: Path) -> None:
    names = "PIP_CONSTRAINT = 'pins/a.txt', UV_BUILD_CONSTRAINT = 'pins/a.txt'"
    tree = write(tmp_path, f"[tool.cibuildwheel]\nenvironment = {{ {names} }}\n")
    with pytest.raises(WheelworksError, match=r"names pins/a\.txt, which it doesn't have"):
        context.find_constraints(tree, {})
    (tree / "pins").mkdir()
    (tree / "pins/a.txt").write_text("cython==3.1.0\n", encoding="utf-8")
    assert context.find_constraints(tree, {}) == [tree / "pins/a.txt"]
    assert context.find_constraints(tree, {"PIP_CONSTRAINT": "", "UV_BUILD_CONSTRAINT": ""}) == []
    with pytest.raises(WheelworksError, match="PIP_CONSTRAINT"):
        context.find_constraints(tree, {"PIP_CONSTRAINT": "../outside.txt"})
