"""Compare the audit's answers with those of pip, uv and twine themselves, for generated wheels and tags."""

from __future__ import annotations

import itertools
import stat
import subprocess
import sys
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import uv
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag, parse_tag
from wheelworks.audit import compatibility, upload
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.core.archive import Member, build_archive
from wheelworks.core.wheel import replace_record

from tests.fixtures import wheels
from tests.fixtures.drafts import draft
from tests.wheelworks.audit import made

# pip looks at setuptools' distutils when it is imported, wherever another test has imported distutils before.
pytestmark = pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils")
CPUS = ["x86_64", "i686", "aarch64", "armv7l", "armv6l", "ppc64", "ppc64le", "s390x", "riscv64", "loongarch64", "mips"]
MACS = ["x86_64", "arm64", "i386", "ppc", "intel", "fat64", "universal2", "universal"]
LEGACY = ["manylinux1", "manylinux2010", "manylinux2014"]


@cache
def asked_by_pip() -> frozenset[str]:
    """Return the platform tags that pip's own generator yields on Linux with glibc 2.45, musl 1.5, and on Macs."""
    from pip._internal.utils.compatibility_tags import get_supported
    from pip._vendor.packaging import _manylinux, _musllinux

    found: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_manylinux, "_get_glibc_version", lambda: (2, 45))
        patch.setattr(_manylinux, "_is_linux_armhf", lambda _: True)
        patch.setattr(_manylinux, "_is_linux_i686", lambda _: True)
        patch.setattr(_musllinux, "_get_musl_version", lambda _: _musllinux._MuslVersion(1, 5))
        for cpu in CPUS:
            found |= {*_manylinux.platform_tags([cpu]), *_musllinux.platform_tags([cpu])}
    hosts = ["macosx_30_0_arm64", "macosx_30_0_x86_64", "macosx_10_16_x86_64", "macosx_10_16_i386", "macosx_10_6_ppc"]
    return frozenset(found | {tag.platform for host in hosts for tag in get_supported("313", [host], "cp", ["cp313"])})


platform_tags = st.one_of(
    st.builds("manylinux_{}_{}_{}".format, st.integers(1, 3), st.integers(0, 45), st.sampled_from(CPUS)),
    st.builds("musllinux_{}_{}_{}".format, st.integers(0, 2), st.integers(0, 5), st.sampled_from(CPUS)),
    st.builds("macosx_{}_{}_{}".format, st.integers(9, 30), st.integers(0, 16), st.sampled_from(MACS)),
    st.builds("{}_{}".format, st.sampled_from(LEGACY), st.sampled_from(CPUS)),
)


@settings(max_examples=400, deadline=None)
@given(platform_tags)
def test_pip_asks_for_a_platform_exactly_if_the_audit_says_so(tag: str) -> None:
    assert compatibility.is_platform_requested(tag) == (tag in asked_by_pip())


@cache
def pairs_of_pip() -> frozenset[Tag]:
    """Return the tags that pip asks for on 32-bit Windows, under every CPython and build of it."""
    from pip._internal.utils.compatibility_tags import get_supported

    found: set[Tag] = set()
    for version in ("27", *(f"3{minor}" for minor in range(2, 18))):
        old = int(version[0]) < 3 or int(version[1:]) < 8
        flags = ["", "m", "d", "dm", "mu"] if old else ["", "d"] + (["t", "td"] if int(version[1:]) >= 13 else [])
        for flag in flags:
            found |= {Tag(str(one.interpreter), one.abi, one.platform)
                      for one in get_supported(version, ["win32"], "cp", [f"cp{version}{flag}"])}  # fmt: skip
    return frozenset(found)


INTERPRETERS = ["cp27", "cp32", "cp37", "cp38", "cp312", "cp313", "cp315", "cp313t", "cp3", "py3", "py2", "py312"]
ABIS = ["none", "abi3", "abi3t", "abi4", "cp27mu", "cp37m", "cp37", "cp38", "cp38m", "cp312", "cp312t", "cp313t"]


def test_pip_asks_for_a_python_and_abi_exactly_if_the_audit_says_so() -> None:
    tags = [Tag(*one) for one in itertools.product(INTERPRETERS, ABIS, ["win32", "any"])]
    assert {one for one in tags if compatibility.is_pair_requested(one)} == set(tags) & pairs_of_pip()


UV_TARGETS = {
    "manylinux": ["x86_64-manylinux_2_40", "aarch64-manylinux_2_40"],
    "musllinux": ["x86_64-unknown-linux-musl"],
    "macosx": ["aarch64-apple-darwin", "x86_64-apple-darwin"],
    "win": ["x86_64-pc-windows-msvc"],
    "any": ["x86_64-manylinux_2_40"],
}
UV_TAGS = [
    "cp313-cp313-macosx_12_2_arm64", "cp313-cp313-macosx_12_0_arm64", "cp313-cp313-macosx_10_9_arm64",
    "cp313-cp313-macosx_10_9_universal2", "cp313-cp313-manylinux1_aarch64", "cp313-cp313-manylinux1_x86_64",
    "cp313-cp313-manylinux_2_12_aarch64", "cp313-cp313-manylinux_2_17_aarch64", "cp313-cp313-manylinux_3_0_x86_64",
    "cp313-cp312-win_amd64", "cp313-abi3-win_amd64", "cp3-none-any", "py3-abi3-win_amd64", "cp313-cp313-any",
]  # fmt: skip


def run_uv(*words: str | Path) -> bool:
    """Return whether uv succeeds, without an index and a cache."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-index", "--no-cache", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("tag", UV_TAGS)
def test_uv_accepts_a_tag_exactly_if_the_audit_does(tag: str, tmp_path: Path) -> None:
    wheels.wheel(tmp_path / "links", tag)
    targets = UV_TARGETS[tag.rpartition("-")[2].partition("_")[0].rstrip("0123456789")]
    words = ("--no-deps", "--find-links", tmp_path / "links", "--target", tmp_path / "site", "--python-version", "3.13")
    accepted = any(run_uv(*words, "--python-platform", target, "sample") for target in targets)
    [one] = parse_tag(tag)
    assert accepted == (compatibility.is_platform_requested(one.platform) and compatibility.is_pair_requested(one))


FOLDERS = ["sample-1.0.data/", "sample-1.0.data/purelib/", "sample-1.0.data/scripts/", "sample-1.0.data/lib/",
           "other.data/x/", "other-1.0.dist-info/", "sample/", "sample.data/headers/"]  # fmt: skip


def write(folder: Path, names: list[str]) -> Path:
    """Write a good wheel with additional empty files."""
    more = {f"{name}file.txt": Member(b"") for name in names}
    path = folder / made.NAME
    path.write_bytes(build_archive(replace_record({**made.members(), **more}, made.INFO), 1_000_000_000))
    return path


def installs_with_pip(path: Path, site: Path) -> bool:
    """Return whether pip's own function for it installs a wheel."""
    from pip._internal.exceptions import InstallationError, UnsupportedWheel
    from pip._internal.models.scheme import SCHEME_KEYS, Scheme
    from pip._internal.operations.install.wheel import install_wheel

    scheme = Scheme(**{key: str(site / key) for key in SCHEME_KEYS})
    arguments: dict[str, Any] = {"pycompile": False, "warn_script_location": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            install_wheel("sample", str(path), scheme, "sample", **arguments)
    except (InstallationError, UnsupportedWheel):
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(FOLDERS), max_size=3, unique=True))
def test_pip_installs_a_wheel_exactly_if_the_audit_finds_no_wrong_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("pip")
    path = write(folder, names)
    wrong = {one.code for one in inspect_wheel(path).findings} & {"W040", "W041"}
    assert installs_with_pip(path, folder / "site") == (not wrong)


def installs_with_uv(path: Path, site: Path) -> bool:
    """Return whether uv installs a wheel."""
    command = [str(uv.find_uv_bin()), "pip", "install", "--quiet", "--offline", "--no-index", "--no-cache", "--no-deps"]
    command += ["--python", sys.executable, "--target", str(site), str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", [one for one in FOLDERS if not one.startswith("other.data")])
def test_uv_installs_a_folder_exactly_if_the_audit_accepts_it(name: str, tmp_path: Path) -> None:
    """uv doesn't look at `other.data`, the folder of another project, which pip refuses."""
    path = write(tmp_path, [name])
    wrong = {one.code for one in inspect_wheel(path).findings} & {"W040", "W041"}
    assert installs_with_uv(path, tmp_path / "site") == (not wrong)


SCRIPTS = ["run = sample:main", "run = sample", "../run = sample:main", "Run = sample:main\nrun = sample:main"]


@pytest.mark.parametrize("text", SCRIPTS)
def test_pip_installs_scripts_exactly_if_the_audit_accepts_them(text: str, tmp_path: Path) -> None:
    path = made.wheel(tmp_path, **{f"{made.INFO}/entry_points.txt": f"[console_scripts]\n{text}\n".encode()})
    assert installs_with_pip(path, tmp_path / "site") == (inspect_wheel(path).findings == ())


bounds = st.lists(
    st.builds(
        "{}{}".format, st.sampled_from([">=", "<", "<=", "!=", ">"]), st.sampled_from(["2.7", "3", "3.11", "3.12.4"])
    ),
    min_size=1,
    max_size=3,
)


def states(stated: str, folder: Path) -> Path:
    """Write a wheel that states this Requires-Python."""
    one = draft(made.wheel(folder))
    one.text("METADATA", lambda text: text.replace("1.0\n", f"1.0\nRequires-Python: {stated}\n", 1))
    return one.write(folder)


@settings(max_examples=60, deadline=None)
@given(bounds)
def test_pip_accepts_a_python_exactly_if_the_audit_does(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    from pip._internal.utils.packaging import check_requires_python

    path = states(stated := ",".join(parts), tmp_path_factory.mktemp("python"))
    pythons = [(3, minor, micro) for minor in range(31) for micro in range(12)]
    accepted = any(check_requires_python(stated, version) for version in pythons)
    assert accepted == (inspect_wheel(path).findings == ())


@pytest.mark.parametrize("stated", [">=3.9", ">=3.99", ">3.40"])
def test_uv_accepts_a_lower_bound_exactly_if_the_audit_does(stated: str, tmp_path: Path) -> None:
    path = states(stated, tmp_path)
    assert run_uv("--target", tmp_path / "site", "--python-version", "3.39", path) == (
        inspect_wheel(path).findings == ()
    )


LINES = ["Title\n=====", "Title\n==", "text", "`link <https://example.org/>`_", "`open", "* item", "   indented",
         ".. note:: x", ".. nonsense:: x", "|gone|", "::\n\n  code", "**bold", ":ref:`x`", "x_"]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=4))
def test_twine_renders_a_description_exactly_if_the_audit_does(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    from twine.commands import check

    description = "\n\n".join(lines) + "\n"
    text = f"{made.METADATA}Description-Content-Type: text/x-rst\n\n{description}"
    path = made.wheel(tmp_path_factory.mktemp("twine"), **{f"{made.INFO}/METADATA": text.encode()})
    _, renders = check._check_file(str(path), check._WarningStream())
    assert renders == (not list(upload.check_metadata(text.encode(), "")))


@pytest.mark.integration
def test_pip_and_uv_ignore_the_modes_that_are_a_warning(tmp_path: Path) -> None:
    modes = {"sample/a.py": 0o600, "sample/b.py": 0o666, "sample/c.py": 0o4755}
    good, path = made.wheel(tmp_path, **dict.fromkeys(modes, b"")), tmp_path / "bad" / made.NAME
    path.parent.mkdir()
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            if mode := modes.get(info.filename):
                info.external_attr = (stat.S_IFREG | mode) << 16
            new.writestr(info, old.read(info))
    assert {(one.code, one.severity) for one in inspect_wheel(path).findings} == {("W007", "warning")}
    for tool in ([sys.executable, "-m", "pip"], [str(uv.find_uv_bin()), "pip"]):
        to = tmp_path / Path(tool[0]).name
        command = [*tool, "install", "--quiet", "--no-index", "--no-deps", "--target", str(to), str(path)]
        subprocess.run(command, check=True, umask=0o022)
        assert {stat.S_IMODE((to / name).stat().st_mode) for name in modes} <= {0o644, 0o755}
