"""Compare the matrices of the CI jobs with the target table."""

from __future__ import annotations

from wheelworks.cli import ci_matrix
from wheelworks.core import targets
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures.package import RELEASE_ABIS

PLANNED = targets.plan_wheels("a-1.0", targets.load_targets(), RELEASE_ABIS, pure=True)
HOSTED = {target.runner for target in targets.load_targets() if target.runner}


def test_every_hosted_machine_tests_every_abi_under_the_ends_of_its_range() -> None:
    found = {(row["runner"], row["architecture"], row["python"]) for row in ci_matrix.make_native_rows(PLANNED)}
    machines = {(row["runner"], row["architecture"]) for row in ci_matrix.make_native_rows(PLANNED)}
    assert {runner for runner, _ in machines} == HOSTED
    assert ("windows-2025", "x86") in machines and ("windows-2025", "x64") in machines
    assert found == {
        (*machine, python) for machine in machines for python in ("3.11", "3.14", "3.14t", "3.15", "3.15t")
    }


def test_a_row_names_a_planned_wheel_that_its_machine_takes() -> None:
    by_name = {one.name: one for one in PLANNED}
    for row in ci_matrix.make_native_rows(PLANNED):
        wheel = by_name[row["wheel"]]
        assert row["runner"] in {target.runner for target in wheel.targets}
        assert wheel.abi and (row["python"].endswith("t") <= wheel.abi.free_threaded)


def test_nothing_is_tested_twice() -> None:
    rows = [tuple(sorted(row.items())) for row in ci_matrix.make_native_rows(PLANNED)]
    assert len(set(rows)) == len(rows) != 0


def test_musl_alone_has_no_machine() -> None:
    musl = [target for target in targets.load_targets() if target.id.startswith("musllinux")]
    planned = targets.PlannedWheel("a-1-cp311-abi3-musllinux_1_2_x86_64.whl", tuple(musl), None)
    assert ci_matrix.make_native_rows([planned]) == []
    assert ci_matrix.make_native_rows(targets.plan_wheels("a-1.0", targets.load_targets(), [], pure=True)) == []


def test_cibuildwheel_builds_every_target_once() -> None:
    rows = ci_matrix.make_cibuildwheel_rows(targets.load_targets())
    assert sorted(row["target"] for row in rows["official"] + rows["emulated"]) == sorted(
        target.id for target in targets.load_targets()
    )
    assert {row["runner"] for row in rows["official"]} == HOSTED
    assert {row["runner"] for row in rows["emulated"]} == {ci_matrix.EMULATING}


def test_pip_gives_each_python_the_wheel_of_its_row() -> None:
    """Pip chooses the newest ABI that a Python accepts. No other row has the same machine and Python."""
    seen: dict[tuple[str, str, str], str] = {}
    for row in ci_matrix.make_native_rows(PLANNED):
        key = (row["runner"], row["architecture"], row["python"])
        assert key not in seen
        seen[key] = parse_wheel_name(row["wheel"]).abi
    assert {abi for (_, _, python), abi in seen.items() if python == "3.15"} == {"cp315-abi3.abi3t"}
