"""The errors and verdicts that need no foreign program, and the folders of runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import Wheel, open_wheel, parse_wheel_name
from wheelworks.foreign import machine, run
from wheelworks.foreign.pythons import find_runtime
from wheelworks.foreign.rootfs import CannotMakeRootfs
from wheelworks.foreign.run import run_wheel
from wheelworks.foreign.run_folder import create_run_folder
from wheelworks.foreign.site_packages import create_site_packages

from tests.fixtures.commands import environment
from tests.wheelworks.foreign.made import WheelMaker


def test_another_platforms_wheel_is_unsupported(own_cache: Path) -> None:
    for tag in ("cp311-abi3-win_arm64", "cp311-abi3-musllinux_1_2_aarch64", "cp314-cp314t-manylinux_2_17_aarch64"):
        path = Path(f"demo-1.0-{tag}.whl")
        verdict = run_wheel(
            Wheel(path, parse_wheel_name(path.name), {}), find_runtime("aarch64", "3.11"), tests="smoke"
        )
        assert verdict.outcome == "unsupported" and verdict.why.startswith("it is for ") and verdict.checks == 0


def test_a_missing_emulator_says_how_to_get_it(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    verdict = run_wheel(
        open_wheel(make_wheel({}, tag="cp311-abi3-linux_s390x")), find_runtime("s390x", "3.11"), tests="smoke"
    )
    assert verdict.outcome == "unsupported"
    assert "qemu-s390x-static" in verdict.why and "apt-get install" in verdict.why


def test_a_root_that_cannot_be_made_is_no_pass(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Path:
        raise CannotMakeRootfs("mmdebstrap isn't installed", "apt-get install mmdebstrap")

    monkeypatch.setattr(machine, "find_emulator", lambda cpu: "/usr/bin/qemu")
    monkeypatch.setattr(machine, "make_compiled_rootfs", fail)
    wheel = make_wheel({"demo.abi3.so": b""})
    verdict = run_wheel(open_wheel(wheel), find_runtime("aarch64", "3.11"), tests="smoke")
    assert (verdict.outcome, verdict.why) == (
        "unsupported",
        "mmdebstrap isn't installed\napt-get install mmdebstrap",
    )


def test_a_wheel_beyond_its_record_is_refused(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "find_emulator", lambda cpu: "/usr/bin/qemu")
    monkeypatch.setattr(machine, "make_compiled_rootfs", lambda *_: tmp_path)
    wheel = open_wheel(make_wheel({"demo.abi3.so": b""}, record="demo.abi3.so,sha256=x,0"))
    with pytest.raises(WheelworksError, match=r"demo.abi3.so is not in RECORD"):
        run_wheel(wheel, find_runtime("aarch64", "3.11"), tests="smoke")
    assert not list((own_cache / "runs").iterdir())


def test_a_wheel_without_extension_is_refused(make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no extension module"):
        create_site_packages(open_wheel(make_wheel({"demo.py": b""})), tmp_path / "site", with_dependencies=False)


def test_missing_tests_are_refused(make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no such folder of tests"):
        create_site_packages(
            open_wheel(make_wheel({"demo.abi3.so": b""})),
            tmp_path / "s",
            with_dependencies=False,
            tests_folder=tmp_path / "gone",
        )


def test_the_site_has_the_wheel_the_programs_and_the_tests(make_wheel: WheelMaker, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/test_x.py").touch()
    site = create_site_packages(
        open_wheel(make_wheel({"demo/_c.abi3.so": b"\0PyModuleDef_Init\0PyInit__c\0", "demo/x.so": b""})),
        tmp_path / "s",
        with_dependencies=False,
        tests_folder=tmp_path / "mine",
    )
    assert (site.modules, site.package, site.tests) == (("demo._c",), "demo", "tests/mine")
    assert site.libraries == ("demo/x.so",)
    for name in ("demo/_c.abi3.so", "wheelworks_workers/smoke.py", "tests/mine/test_x.py"):
        assert (site.folder / name).exists()


def test_a_run_that_ends_meanwhile_stops_no_other_one(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "gone"]))
    with create_run_folder() as folder:
        assert folder.is_dir()


def test_a_run_folder_is_gone_afterwards(own_cache: Path) -> None:
    with create_run_folder() as folder:
        (folder / "sub").mkdir()
    assert not list((own_cache / "runs").iterdir())


def test_the_next_run_removes_a_killed_runs_folder_but_no_living_ones(own_cache: Path) -> None:
    code = "import time\nfrom wheelworks.foreign.run_folder import create_run_folder\n"
    code += "with create_run_folder() as folder:\n"
    code += "    print(folder, flush=True)\n    time.sleep(30)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment(own_cache)
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    with create_run_folder():
        assert folder.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    with create_run_folder():
        assert not folder.exists()


@pytest.mark.parametrize(("seconds", "times"), [(0.5, 1.0), (6.0, 1.0), (12.0, 2.0), (99.0, 5.0)])
def test_a_busy_machine_gets_more_time(seconds: float, times: float) -> None:
    assert run.choose_patience(seconds) == times
