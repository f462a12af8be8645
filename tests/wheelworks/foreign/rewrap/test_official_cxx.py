"""Official wheels with C++ raise and catch exceptions, rewrapped, in a real CPython."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheelworks.foreign.rewrap import macos_modules, sites

pytestmark = pytest.mark.integration

PLATFORMS = {
    "aarch64": ("macosx_11_0_arm64", "macosx_11_0_universal2", "macosx_12_0_arm64"),
    "x86_64": tuple(f"macosx_{version}_x86_64" for version in ("10_9", "10_12", "10_13", "10_14", "10_15", "11_0")),
}
CASES = {
    "kiwisolver==1.5.1": """
import kiwisolver
solver, variable = kiwisolver.Solver(), kiwisolver.Variable("a")
constraint = variable == 1
solver.addConstraint(constraint)
for wrong, kind in ((constraint, kiwisolver.DuplicateConstraint), (variable == 2, kiwisolver.UnsatisfiableConstraint)):
    try:
        solver.addConstraint(wrong)
    except kind:
        print("raised")
solver.updateVariables()
assert variable.value() == 1
""",
    "greenlet==3.5.6": """
import greenlet, threading
def wait(x):
    try:
        greenlet.getcurrent().parent.switch(x + 1)
    except ValueError as error:
        return str(error)
one = greenlet.greenlet(wait)
assert one.switch(1) == 2
assert one.throw(ValueError("thrown")) == "thrown"
try:
    one.parent = one
except ValueError:
    print("raised")
two = greenlet.greenlet(wait)
two.switch(1)
def switch():
    try:
        two.switch()
    except greenlet.error:
        print("raised")
thread = threading.Thread(target=switch)
thread.start()
thread.join()
""",
    "ujson==6.1.0": """
import ujson
assert ujson.dumps({"a": [1, 2.5, 1e300]}) == '{"a":[1,2.5,1e+300]}'
for wrong in ("[1,", "nul"):
    try:
        ujson.loads(wrong)
    except ujson.JSONDecodeError:
        print("raised")
""",
    "can_ada==3.0.0": """
import can_ada
assert can_ada.parse("https://user@example.org/a?b#c").hostname == "example.org"
for wrong in ("no url", ""):
    try:
        can_ada.parse(wrong)
    except ValueError:
        print("raised")
""",
    "lief==1.0.0": """
import lief, sys
binary = lief.parse(sys.executable)
assert len(list(binary.sections)) > 10
for wrong in (10**6, -(10**6)):
    try:
        binary.sections[wrong]
    except (IndexError, TypeError):
        print("raised")
""",
}  # the last two are made with pybind11 and nanobind
QUICK = {  # each kind of code once; the others run for releases
    ("aarch64", "greenlet==3.5.6"),
    ("aarch64", "ujson==6.1.0"),
    ("x86_64", "kiwisolver==1.5.1"),
    ("x86_64", "can_ada==3.0.0"),
}
RUNS = [
    pytest.param(cpu, requirement, marks=() if (cpu, requirement) in QUICK else pytest.mark.release)
    for cpu in PLATFORMS
    for requirement in CASES
]


@pytest.mark.parametrize(("cpu", "requirement"), RUNS)
def test_exceptions_of_an_official_wheel(cpu: str, requirement: str, tmp_path: Path) -> None:
    """They run under qemu for ARM64, and natively for x86-64."""
    python = sites.find_python("macos", cpu)
    site = tmp_path / "site"
    sites.copy_shim(python, site)
    python = macos_modules.copy_libcxx(python, site)
    wheel = sites.download_wheel(requirement, PLATFORMS[cpu], python.version, tmp_path, seconds=120)
    modules = sites.lay_out(wheel, site, python)
    assert [one.unresolved for one in modules.values() if one.unresolved] == []
    ended = sites.run(python, site, CASES[requirement])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["raised", "raised"]
