"""A project's own tests on its wheel for another CPU, under Debian's CPython and qemu."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cache_folder
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign.project_run import add_wheels, prepare_project
from wheelworks.foreign.pythons import find_runtime
from wheelworks.foreign.site_packages import SitePackages
from wheelworks.testing.project import ProjectOptions

from tests.fixtures.commands import wheelworks, wheelworks_here
from tests.wheelworks.foreign.made import WheelMaker, compile_module

TALLIES = Path(__file__).parents[2] / "projects" / "tallies"
METADATA = b"Metadata-Version: 2.4\nName: tallies\nVersion: 1.0\n"


@pytest.fixture
def make_tallies(tmp_path: Path, make_wheel: WheelMaker) -> Callable[..., Path]:
    """A function that writes the project's wheel for ARM64 Linux; ``module`` replaces its extension."""

    def make(module: bytes | None = None) -> Path:
        module = compile_module(SOURCE, tmp_path) if module is None else module
        files = {"tallies/__init__.py": (TALLIES / "tallies/__init__.py").read_bytes()}
        info = {"tallies-1.0.dist-info/METADATA": METADATA}
        return make_wheel({**files, "tallies/_speedups.abi3.so": module, **info}, name="tallies")

    return make


# The extension without CPython's headers, which are this machine's.
SOURCE = """
typedef struct object object;
typedef struct { const char *name; object *(*function)(object *, object *); int flags; const char *doc; } method;
typedef struct { int slot; void *value; } slot;
typedef struct { long count; void *type; void *init; long index; void *copy; } base;
typedef struct { base head; const char *name, *doc; long size; method *methods; slot *slots; void *t, *c, *f; } module;
int PyBytes_AsStringAndSize(object *, char **, long *);
object *PyLong_FromUnsignedLongLong(unsigned long long);
object *PyModuleDef_Init(module *);

static object *count_bits(object *self, object *data) {
    char *bytes; long size; unsigned long long sum = 0;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0) return 0;
    for (long i = 0; i < size; i++)
        for (unsigned char byte = bytes[i]; byte; byte >>= 1) sum += byte & 1;
    return PyLong_FromUnsignedLongLong(sum);
}
static method methods[] = {{"count_bits", count_bits, 8, 0}, {0, 0, 0, 0}};
static slot slots[] = {{0, 0}};
static module definition = {{1}, "tallies._speedups", 0, 0, methods, slots};
object *PyInit__speedups(void) { return PyModuleDef_Init(&definition); }
"""


def test_requirements_replace_nothing(tmp_path: Path, make_wheel: WheelMaker) -> None:
    site = tmp_path / "site"
    (site / "a").mkdir(parents=True)
    (site / "a/one.py").write_text("mine")
    other = make_wheel({"a/one.py": b"theirs", "a/two.py": b"2"}, name="other", tag="py3-none-any")
    same = make_wheel({"b.py": b""}, name="My_Project", tag="py3-none-any")
    add_wheels([other, same], Path("my.project-1.0-cp311-abi3-linux_aarch64.whl"), site, tmp_path)
    assert (site / "a/one.py").read_text() == "mine" and (site / "a/two.py").exists()
    assert not (site / "b.py").exists()


def test_a_wheel_without_metadata_is_refused(tmp_path: Path, make_wheel: WheelMaker) -> None:
    wheel = make_wheel({"demo.abi3.so": b""})
    site = SitePackages(tmp_path / "site", ("demo",), "demo")
    with pytest.raises(WheelworksError, match="no METADATA"):
        prepare_project(ProjectOptions(TALLIES), open_wheel(wheel), site, tmp_path, find_runtime("aarch64", "3.13"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tests", "project"], "name it: --tests project --source SDIST"),
        (["--source", str(TALLIES)], "name it: --tests project --source SDIST"),
        (["--tests", "project", "--source", "none"], "no such file or folder"),
        (["--tests", "project", "--source", str(TALLIES), "--how", "emulated"], "add --how cpython"),
        (["--test-command", "pytest"], "the tests are in the project's source"),
        (["--time-limit", "0"], "'0' is no number of seconds above 0"),
    ],
)
def test_wrong_use(
    make_wheel: WheelMaker,
    tmp_path: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command: list[str | Path] = ["test-foreign", make_wheel({"demo.abi3.so": b""}), *words]
    ended = wheelworks_here(*command, cache=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert ended.status == 2 and message in " ".join(ended.err.split())


@pytest.mark.integration
@pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces")
def test_under_qemu(make_tallies: Callable[..., Path], tmp_path: Path) -> None:
    wheel = make_tallies()
    words: list[str | Path] = ["--tests", "project", "--source", TALLIES, "--python", "3.13"]
    ended = wheelworks("test-foreign", wheel, *words, cache=get_cache_folder(), seconds=600)
    assert ended.status == 0 and "6 checks" in ended.out, ended.err
    assert "[tool.cibuildwheel]: 6 of 8 tests passed; skipped: 2" in " ".join(ended.out.split())


@pytest.mark.integration
@pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces")
def test_a_fallback_under_qemu(make_tallies: Callable[..., Path]) -> None:
    words: list[str | Path] = ["--tests", "project", "--source", TALLIES, "--python", "3.13"]
    ended = wheelworks("test-foreign", make_tallies(b"no library"), *words, cache=get_cache_folder(), seconds=600)
    assert ended.status == 1
    assert "the extension was never loaded, so that the tests ran without it" in " ".join(ended.err.split())
