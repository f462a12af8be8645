"""The verdict of a wheel's smoke test, and the command's output and exit status."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from wheelworks.cli import test_foreign
from wheelworks.core.archive import Limits
from wheelworks.core.errors import UsageError
from wheelworks.core.wheel import open_wheel
from wheelworks.emulator import extension
from wheelworks.emulator.wheel_tests import Tally, check_mask, smoke_test

from tests.fixtures.builds import build

pytestmark = pytest.mark.integration


def wheel(folder: Path, binary: Path, tag: str, name: str = "") -> Path:
    path = folder / f"fixture-1-cp311-abi3-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fixture-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: cp311-abi3-{tag}\n")
        archive.writestr(f"fixture/{name or binary.name}", binary.read_bytes())
    return path


def test_a_good_wheel_ran(tmp_path: Path) -> None:
    verdict = smoke_test(wheel(tmp_path, build("api.c", "win_arm64"), "win_arm64"))
    assert (verdict.outcome, verdict.findings) == ("passed", ())
    assert verdict.how == "emulated CPU, aarch64 Windows, CPython 3.11 stable ABI"
    assert verdict.checks > 30


@pytest.mark.parametrize(
    ("platform", "tag"), [("win_amd64", "win_arm64"), ("linux_aarch64", "macosx_11_0_arm64"), ("win32", "win_amd64")]
)
def test_a_binary_for_another_platform_than_the_tags(tmp_path: Path, platform: str, tag: str) -> None:
    verdict = smoke_test(wheel(tmp_path, build("api.c", platform), tag))
    assert verdict.outcome == "failed"
    assert f"but the wheel is tagged {tag}" in verdict.why


def test_a_fault_is_a_finding(tmp_path: Path) -> None:
    verdict = smoke_test(wheel(tmp_path, build("faults/fails_when_imported.c", "win_arm64"), "win_arm64"))
    assert verdict.outcome == "failed"
    assert verdict.findings[0].startswith("null-pointer: reads")
    assert "in import fixture()" in verdict.findings[0]


def mask_bytes(mask: bytes, data: bytes) -> bytes:
    return bytes(byte ^ mask[index & 3] for index, byte in enumerate(data))


def forget_the_tail(mask: bytes, data: bytes) -> bytes:
    whole = len(data) // 4 * 4
    return mask_bytes(mask, data[:whole]) + data[whole:]


def test_a_function_that_masks_is_compared_with_the_rfc() -> None:
    tally = Tally()
    check_mask(mask_bytes, tally)
    assert (tally.outcome, tally.checks) == ("passed", 20)


def test_a_function_that_masks_otherwise_is_a_finding() -> None:
    tally = Tally()
    check_mask(forget_the_tail, tally)
    assert tally.findings == ["websocket_mask returns wrong bytes for the length 1"]


def test_an_import_that_raises(tmp_path: Path) -> None:
    verdict = smoke_test(wheel(tmp_path, build("faults/raises_when_imported.c", "win_arm64"), "win_arm64"))
    assert verdict.outcome == "failed"
    assert "its import raises ImportError: not today" in verdict.why


@pytest.mark.parametrize(("tags", "outcome"), [("cp311-abi3-win_arm64", "failed"), ("py3-none-any", "unsupported")])
def test_a_wheel_without_extension_failed_unless_it_is_pure(tags: str, outcome: str, tmp_path: Path) -> None:
    path = tmp_path / f"x-1-{tags}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.py", "")
    verdict = smoke_test(path)
    assert (verdict.outcome, verdict.why) == (outcome, f"x-1-{tags}.whl: no extension module in it")


def test_a_module_under_another_name(tmp_path: Path) -> None:
    verdict = smoke_test(wheel(tmp_path, build("api.c", "win_arm64"), "win_arm64", "other.pyd"))
    assert "exports no PyInit_other" in verdict.why


def test_the_command_says_what_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wheel(tmp_path, build("api.c", "macosx_11_0_arm64"), "macosx_11_0_arm64")
    assert test_foreign.main([str(path)]) == 0
    assert "passed" in capsys.readouterr().out


def test_the_command_fails_for_a_wheel_with_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wheel(tmp_path, build("faults/fails_when_imported.c", "win_arm64"), "win_arm64")
    assert test_foreign.main([str(path)]) == 1
    assert "null-pointer" in capsys.readouterr().err


def test_the_command_fails_for_a_wheel_that_nothing_ran(tmp_path: Path) -> None:
    path = wheel(tmp_path, build("faults/calls_unanswered.c", "win_arm64"), "win_arm64")
    assert smoke_test(path).outcome == "passed"  # its function needs an argument, so its code isn't run
    damaged = tmp_path / "damaged-1-cp311-abi3-win_arm64.whl"
    damaged.write_bytes(path.read_bytes()[:100])
    assert test_foreign.main([str(damaged)]) == 1


def test_the_command_refuses_what_can_not_be_right() -> None:
    with pytest.raises(UsageError, match="no such file"):
        test_foreign.main(["no-such-file.whl"])
    with pytest.raises(UsageError, match="the following arguments are required: WHEEL"):
        test_foreign.main([])
    with pytest.raises(UsageError):
        smoke_test("no-such-file.whl")


@pytest.mark.parametrize("defines", [(), ("-DINIT",)])
@pytest.mark.parametrize("platform", ["win_arm64", "macosx_11_0_arm64"])
def test_a_library_under_a_modules_name_is_unsupported(platform: str, defines: tuple[str, ...], tmp_path: Path) -> None:
    """Those of pycryptodome are loaded by ctypes or cffi, and called failed once."""
    verdict = smoke_test(wheel(tmp_path, build("raw_library.c", platform, *defines), platform))
    assert (verdict.outcome, verdict.findings) == ("unsupported", ()), verdict
    assert "module" in verdict.why


def test_what_is_too_large_for_the_emulated_cpu_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "UNPACK_LIMITS", Limits(1000))
    found = smoke_test(open_wheel(wheel(tmp_path, build("api.c", "win_arm64"), "win_arm64")))
    assert (found.outcome, found.findings) == ("unsupported", ()) and "larger than" in found.why


@pytest.mark.parametrize(
    ("abi", "outcome"), [("cp313-cp313", "failed"), ("cp311-abi3", "failed"), ("py3-none", "unsupported")]
)
def test_only_tags_of_an_abi_promise_an_extension(abi: str, outcome: str, tmp_path: Path) -> None:
    path = tmp_path / f"x-1-{abi}-win_arm64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.data/scripts/x.exe", "")
    assert smoke_test(path).outcome == outcome
