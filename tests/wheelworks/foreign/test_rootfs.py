import os
from dataclasses import replace
from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.foreign import rootfs
from wheelworks.foreign.machines import find_machine
from wheelworks.foreign.rootfs import CannotLay, Recipe, command, lay_root, recipe

RECIPE = Recipe("bookworm", "arm64", ("python3.11",))


@pytest.fixture
def fake_mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """An mmdebstrap for what the real one does only when its archive is in trouble."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(rootfs, "PAUSES", ())
    return program


def laid(cache: Path) -> list[Path]:
    """The roots in a cache."""
    return [path for path in cache.glob("roots/*") if path.is_dir()]


def test_the_recipe() -> None:
    assert recipe(find_machine("aarch64"), "3.11") == RECIPE
    with pytest.raises(UsageError, match=r"no CPython 3\.8") as caught:
        recipe(find_machine("aarch64"), "3.8")
    assert "3.15" in caught.value.hint


def test_the_key_tells_recipes_apart() -> None:
    others = [
        replace(RECIPE, suite="trixie"),
        replace(RECIPE, architecture="armhf"),
        replace(RECIPE, packages=("a", "b")),
    ]
    assert len({each.key for each in [RECIPE, *others]}) == 4 and RECIPE.key == replace(RECIPE).key


def test_no_mirror_is_named() -> None:
    assert not [word for word in command(RECIPE) if "://" in word or ".org" in word]


def test_missing_mmdebstrap_says_how_to_get_it(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotLay, match="mmdebstrap") as caught:
        lay_root(RECIPE)
    assert "apt-get install" in caught.value.hint and not laid(own_cache)


def test_mmdebstraps_own_words_are_passed_on(fake_mmdebstrap: Path, own_cache: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\necho chatter >&2; echo 'E: no such suite' >&2; exit 25\n")
    with pytest.raises(CannotLay) as caught:
        lay_root(RECIPE)
    assert "E: no such suite" in caught.value.message and "chatter" not in caught.value.message
    assert "25" in caught.value.message and not laid(own_cache)


def test_an_archive_that_changes_meanwhile_is_asked_again(
    fake_mmdebstrap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootfs, "PAUSES", (0.0, 0.0))
    fake_mmdebstrap.write_text(f"#!/bin/sh\necho once >> {tmp_path}/tries; echo 'E: size mismatch' >&2; exit 25\n")
    with pytest.raises(CannotLay, match="size mismatch"):
        lay_root(RECIPE)
    assert (tmp_path / "tries").read_text() == "once\n" * 3


def test_half_a_root_is_no_root(fake_mmdebstrap: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\ncd / && tar -c etc/hostname | head -c 700\n")
    with pytest.raises(CannotLay, match="exit codes"):
        lay_root(RECIPE)


def test_a_root_without_that_python(fake_mmdebstrap: Path) -> None:
    fake_mmdebstrap.write_text("#!/bin/sh\ncd / && tar -c etc/hostname\n")
    with pytest.raises(CannotLay, match=r"bookworm has no python3\.11 for arm64"):
        lay_root(RECIPE)


def test_an_mmdebstrap_that_hangs(fake_mmdebstrap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "TIME_LIMIT", 1.0)
    fake_mmdebstrap.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(CannotLay, match="not done after 1 s"):
        lay_root(RECIPE)


def test_a_root_is_furnished_and_kept(fake_mmdebstrap: Path, own_cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for name in ("usr/bin/python3.11", "usr/lib/libc.so", "etc/resolv.conf", "dev/null"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch()
    fake_mmdebstrap.write_text(f"#!/bin/sh\ntar -c -C {made} .\n")
    root = lay_root(RECIPE)
    assert laid(own_cache) == [root] and (root / "lib/libc.so").exists() and (root / "usr/bin/python3.11").exists()
    assert not (root / "etc/resolv.conf").exists() and not (root / "dev/null").exists()
    fake_mmdebstrap.write_text("#!/bin/sh\nexit 1\n")
    assert lay_root(RECIPE) == root
