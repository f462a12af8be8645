"""Test, on sources that detect the host, that its compiler, headers and CPU never affect a wheel."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures import projects
from tests.fixtures.commands import wheelworks

pytestmark = pytest.mark.integration

NOSY_SETUP = """\
import os, platform, sys, sysconfig
import os.path
from platform import machine, system
from setuptools import Extension, setup

seen = "|".join([
    sys.platform, os.name, platform.machine(), platform.system(), machine(), system(), platform.uname().machine,
    sysconfig.get_platform(), str(sysconfig.get_config_var("EXT_SUFFIX")), platform.processor(),
])
paths = [os.path.join("/", "usr", "include"), "/usr/local/include", sys.prefix, sysconfig.get_path("include", "venv")]
setup(
    py_modules=[],
    ext_modules=[Extension(
        "sample", ["sample.c"],
        define_macros=[("Py_LIMITED_API", "0x030b0000"), ("SEEN", '"SEEN:%s"' % seen)],
        include_dirs=paths,
        library_dirs=["/usr/lib", "/usr/lib/x86_64-linux-gnu"],
        extra_compile_args=["-march=native", "-mtune=native", "-I/usr/include", "-isystem", "/usr/include/linux"],
        extra_link_args=["-L/usr/lib", "-Wl,-rpath,/usr/lib"],
        py_limited_api=True,
    )],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
"""

NOSY_C = projects.module(
    'return PyUnicode_FromString(SEEN " AT " __FILE__ " ON " __DATE__ __TIME__);',
    """
#if __has_include(<only_on_this_host.h>)
#error the header of the host was found
#endif
#if defined(__AVX__) || defined(__x86_64__)
#error compiled for the host
#endif
""",
)

EXPECTED = {
    "win_arm64": "win32|nt|ARM64|Windows|ARM64|Windows|ARM64|win-arm64|.cp311-win_arm64.pyd|ARM64",
    "macosx_11_0": "darwin|posix|arm64|Darwin|arm64|Darwin|arm64|macosx-11.0-arm64|.cpython-311-darwin.so|arm64",
    "manylinux": "linux|posix|aarch64|Linux|aarch64|Linux|aarch64|linux-aarch64|"
    ".cpython-311-aarch64-linux-gnu.so|aarch64",
}


def strings(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
        return archive.read(name)


@pytest.fixture(scope="module")
def nosy(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> list[Path]:
    """Return the output of two builds, at different paths, of a project that inspects its build environment."""
    outs = []
    for place in ("one", "another place"):
        folder = tmp_path_factory.mktemp("nosy") / place
        projects.committed(projects.sample(folder, NOSY_C, NOSY_SETUP))
        ended = wheelworks("cross-arm64", "--no-run", folder, "--out", folder / "out", cache=wheelworks_cache)
        assert ended.status == 0, ended.err
        outs.append(folder / "out")
    return outs


@pytest.mark.parametrize("target", EXPECTED)
def test_the_project_sees_the_target(target: str, nosy: list[Path]) -> None:
    (wheel,) = nosy[0].glob(f"*{target}*.whl")
    found = strings(wheel)
    start = found.index(b"SEEN:")
    seen, _, rest = found[start + 5 : found.index(b"\0", start)].decode().partition(" AT ")
    assert seen == EXPECTED[target]
    file, _, date = rest.partition(" ON ")
    assert file in ("sample.c", "./sample.c")
    assert date != "", "what a compiler says of the date is the source's"


def test_two_builds_agree(nosy: list[Path]) -> None:
    first, second = ({path.name: path.read_bytes() for path in out.iterdir()} for out in nosy)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name] and name != "manifest.json"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="calls the host's compiler by the name that POSIX gives it")
def test_a_project_that_calls_the_hosts_compiler_itself_is_refused(tmp_path: Path, wheelworks_cache: Path) -> None:
    own = """\
import glob, os, subprocess
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
class Own(build_ext):
    def build_extension(self, ext):
        out = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", out, "sample.c"], check=True)
setup(py_modules=[], ext_modules=[Extension("sample", ["sample.c"])], cmdclass={"build_ext": Own})
"""
    projects.sample(tmp_path / "p", "int PyInit_sample(void) { return 0; }\n", own)
    ended = wheelworks("cross-arm64", "--no-run", tmp_path / "p", "--out", tmp_path / "out", cache=wheelworks_cache)
    assert ended.status == 1
    assert "something in the project's build called the host's compiler rather than $CC" in ended.err
    assert list((tmp_path / "out").glob("*.whl")) == []
