import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.foreign import rootfs
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.rootfs import (
    CannotMakeRootfs,
    Recipe,
    choose_recipe,
    die_with_parent,
    make_rootfs,
    mmdebstrap_command,
)

RECIPE = Recipe("bookworm", "arm64", ("python3.11", "libstdc++6", "libgcc-s1"))


@pytest.fixture
def fake_mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A fake mmdebstrap that simulates failures of the Debian archive."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(rootfs, "PAUSES", ())
    return program


def laid(cache: Path) -> list[Path]:
    """Return the root file systems in a cache."""
    return [path for path in cache.glob("roots/*") if path.is_dir()]


def test_the_recipe() -> None:
    assert choose_recipe(find_cpu("aarch64"), "3.11") == RECIPE
    with pytest.raises(UsageError, match=r"no CPython 3\.8") as caught:
        choose_recipe(find_cpu("aarch64"), "3.8")
    assert "3.15" in caught.value.hint


def test_the_key_differs_by_recipe() -> None:
    others = [
        replace(RECIPE, suite="trixie"),
        replace(RECIPE, architecture="armhf"),
        replace(RECIPE, packages=("a", "b")),
    ]
    assert len({each.key for each in [RECIPE, *others]}) == 4 and RECIPE.key == replace(RECIPE).key


def test_no_mirror_is_named() -> None:
    assert not [word for word in mmdebstrap_command(RECIPE) if "://" in word or ".org" in word]


def test_missing_mmdebstrap_says_how_to_get_it(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotMakeRootfs, match="mmdebstrap") as caught:
        make_rootfs(RECIPE)
    assert "apt-get install" in caught.value.hint and not laid(own_cache)


def test_mmdebstraps_own_words_are_passed_on(fake_mmdebstrap: Path, own_cache: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\necho chatter >&2; echo 'E: no such suite' >&2; exit 25\n")
    with pytest.raises(CannotMakeRootfs) as caught:
        make_rootfs(RECIPE)
    assert "E: no such suite" in caught.value.message and "chatter" not in caught.value.message
    assert "25" in caught.value.message and not laid(own_cache)


def test_an_archive_that_changes_meanwhile_is_asked_again(
    fake_mmdebstrap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootfs, "PAUSES", (0.0, 0.0))
    fake_mmdebstrap.write_text(f"#!/bin/sh\necho once >> {tmp_path}/tries; echo 'E: size mismatch' >&2; exit 25\n")
    with pytest.raises(CannotMakeRootfs, match="size mismatch"):
        make_rootfs(RECIPE)
    assert (tmp_path / "tries").read_text() == "once\n" * 3


def test_half_a_root_is_no_root(fake_mmdebstrap: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\ncd / && tar -c etc/hostname | head -c 700\n")
    with pytest.raises(CannotMakeRootfs, match="exit codes"):
        make_rootfs(RECIPE)


def test_a_root_without_that_python(fake_mmdebstrap: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\ncd / && tar -c etc/hostname\n")
    with pytest.raises(CannotMakeRootfs, match=r"bookworm has no python3\.11 for arm64"):
        make_rootfs(RECIPE)


def test_an_mmdebstrap_that_hangs(fake_mmdebstrap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "TIME_LIMIT", 1.0)
    fake_mmdebstrap.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(CannotMakeRootfs, match="not done after 1 s"):
        make_rootfs(RECIPE)


def test_a_root_is_furnished_and_kept(fake_mmdebstrap: Path, own_cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for name in ("usr/bin/python3.11", "usr/lib/libc.so", "etc/resolv.conf", "dev/null"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    fake_mmdebstrap.write_text(f"#!/bin/sh\ntar -c -C {made} .\n")
    root = make_rootfs(RECIPE)
    assert laid(own_cache) == [root] and (root / "lib/libc.so").exists() and (root / "usr/bin/python3.11").exists()
    assert (root / "usr/lib/python3/dist-packages/wheelworks.pth").read_text() == "/site\n"
    assert not (root / "etc/resolv.conf").exists() and not (root / "dev/null").exists()
    fake_mmdebstrap.write_text("#!/bin/sh\nexit 1\n")
    assert make_rootfs(RECIPE) == root


def test_a_child_dies_with_its_killed_parent(tmp_path: Path) -> None:
    code = "import subprocess, time\nfrom wheelworks.foreign.rootfs import die_with_parent\n"
    code += "print(subprocess.Popen(die_with_parent(['sleep', '60'])).pid, flush=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_a_child_whose_parent_is_gone_already_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as if the parent had died and init had adopted the child
    command = die_with_parent(["touch", str(tmp_path / "done")])
    assert subprocess.run(command, timeout=10, check=False).returncode != 0 and not (tmp_path / "done").exists()


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
