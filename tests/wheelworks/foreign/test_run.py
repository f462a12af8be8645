"""What is said before anything foreign runs."""

from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.foreign import run
from wheelworks.foreign.rootfs import CannotLay
from wheelworks.foreign.run import run_wheel
from wheelworks.foreign.site_packages import lay_site

from tests.wheelworks.foreign.made import WheelMaker


def test_another_platforms_wheel_cannot_run_here(own_cache: Path) -> None:
    for tag in ("cp311-abi3-win_arm64", "cp311-abi3-musllinux_1_2_aarch64", "cp314-cp314t-manylinux_2_17_aarch64"):
        verdict = run_wheel(Path(f"demo-1.0-{tag}.whl"), cpu="aarch64", python="3.11", tests="smoke")
        assert verdict.outcome == "unsupported" and verdict.why.startswith("it is for ") and verdict.checks == 0


def test_a_missing_emulator_says_how_to_get_it(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    verdict = run_wheel(make_wheel({}, tag="cp311-abi3-linux_s390x"), cpu="s390x", python="3.11", tests="smoke")
    assert verdict.outcome == "unsupported"
    assert "qemu-s390x-static" in verdict.why and "apt-get install" in verdict.why


def test_a_root_that_cannot_be_laid_is_no_pass(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Path:
        raise CannotLay("mmdebstrap isn't installed", "apt-get install mmdebstrap")

    monkeypatch.setattr(run, "find_emulator", lambda machine: "/usr/bin/qemu")
    monkeypatch.setattr(run, "root_for", fail)
    wheel = make_wheel({"demo.abi3.so": b""})
    verdict = run_wheel(wheel, cpu="aarch64", python="3.11", tests="smoke")
    assert (verdict.outcome, verdict.why) == (
        "unsupported",
        "mmdebstrap isn't installed\napt-get install mmdebstrap",
    )


def test_an_unsound_wheel_is_refused_before_a_root_is_laid(
    make_wheel: WheelMaker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "find_emulator", lambda machine: "/usr/bin/qemu")
    wheel = make_wheel({"demo.abi3.so": b""})
    wheel.write_bytes(wheel.read_bytes()[:99])
    with pytest.raises(WheelworksError, match="damaged, or not a wheel"):
        run_wheel(wheel, cpu="aarch64", python="3.11", tests="smoke")
    assert sorted(path.name for path in own_cache.iterdir()) == ["runs", "runs.lock"]


def test_an_unknown_cpu(make_wheel: WheelMaker) -> None:
    with pytest.raises(UsageError, match="m68k"):
        run_wheel(make_wheel({}), cpu="m68k", python="3.11", tests="smoke")


def test_a_wheel_without_extension_is_refused(make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no extension module"):
        lay_site(make_wheel({"demo.py": b""}), tmp_path / "site", with_tests=False)


def test_missing_tests_are_refused(make_wheel: WheelMaker, tmp_path: Path) -> None:
    with pytest.raises(WheelworksError, match="no such folder of tests"):
        lay_site(make_wheel({"demo.abi3.so": b""}), tmp_path / "s", with_tests=False, tests_folder=tmp_path / "gone")


def test_the_site_has_the_wheel_the_programs_and_the_tests(make_wheel: WheelMaker, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/test_x.py").touch()
    site = lay_site(
        make_wheel({"demo/_c.abi3.so": b""}), tmp_path / "s", with_tests=False, tests_folder=tmp_path / "mine"
    )
    assert (site.modules, site.package, site.tests) == (("demo._c",), "demo", "tests/mine")
    for name in ("demo/_c.abi3.so", "wheelworks_guest/smoke.py", "tests/mine/test_x.py"):
        assert (site.folder / name).exists()
