"""Real CPythons for foreign CPUs under qemu. They use the user's cache, so that each rootfs is created only once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelworks.core.verdict import Verdict
from wheelworks.core.wheel import open_wheel, parse_wheel_name
from wheelworks.foreign.cpus import find_cpu
from wheelworks.foreign.pythons import find_runtime, find_runtimes
from wheelworks.foreign.rootfs import choose_recipe, make_rootfs
from wheelworks.foreign.run import run_wheel

from tests.wheelworks.foreign.leftovers import find_workers
from tests.wheelworks.foreign.made import WheelMaker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.needs("mmdebstrap", "qemu-user", "namespaces"),
]

# Runs a command where it can't create a user namespace, as on hardened kernels and in most containers.
FORBIDDEN = ["unshare", "--user", "--map-root-user", "sh", "-c"]
FORBIDDEN += ['echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"]
RUN = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from wheelworks.core.wheel import open_wheel
from wheelworks.foreign.pythons import find_runtime
from wheelworks.foreign.run import run_wheel
verdict = run_wheel(open_wheel(Path(sys.argv[1])), find_runtime("aarch64", "3.11"), tests=sys.argv[2],
                    update=lambda text: print(text, flush=True))
print(f"{verdict.outcome} | {verdict.how} | {verdict.why}")
"""
# Masks like Tornado's extension. It includes no headers, because pyconfig.h is specific to one CPU.
MASK = """
typedef long ssize; struct method { const char *name; void *function; int kind; const char *doc; };
void *PyModule_Create2(void *, int); void *PyBytes_FromStringAndSize(const char *, ssize);
char *PyBytes_AsString(void *); int _PyArg_ParseTuple_SizeT(void *, const char *, ...);
static void *mask(void *self, void *args) {
    const char *k, *p; ssize nk, np;
    if (!_PyArg_ParseTuple_SizeT(args, "y#y#", &k, &nk, &p, &np)) return 0;
    void *result = PyBytes_FromStringAndSize(0, np); char *q = PyBytes_AsString(result);
    for (ssize i = 0; i < np; i++) q[i] = p[i] ^ k[i & 3];
    return result;
}
static struct method methods[] = {{"websocket_mask", mask, 1, 0}, {0}};
static struct {
    ssize references; void *type, *init; ssize index; void *copy;
    const char *name, *doc; ssize size; void *methods, *slots, *traverse, *clear, *free;
} module = {1, 0, 0, 0, 0, "bad", 0, -1, methods};
void *PyInit_bad(void) { return PyModule_Create2(&module, 1013); }
"""
MODULE = "void PyErr_Clear(void); void *PyInit_bad(void) { PyErr_Clear(); %s }"


def run(wheel: Path, python: str = "3.11", tests: str = "smoke", **options: object) -> Verdict:
    return run_wheel(open_wheel(wheel), find_runtime("aarch64", python), tests=tests, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("python", ["3.11", "3.15"])
def test_another_compilers_wheel(tornado_aarch64: Path, python: str) -> None:
    said: list[str] = []
    verdict = run(tornado_aarch64, python, update=said.append)
    assert (verdict.outcome, verdict.findings) == ("passed", ())
    assert verdict.checks == 4 and verdict.why == "4 of 4 checks passed"
    assert verdict.how.startswith(f"CPython {python}.") and "for arm64 under qemu" in verdict.how
    assert any("tornado.speedups" in text for text in said) and verdict.seconds > 0


def test_a_wheel_of_one_version_runs_under_that_python(official_wheel: Callable[..., Path]) -> None:
    wheel = open_wheel(official_wheel("markupsafe==3.0.3", "manylinux2014_aarch64"))
    [runtime] = find_runtimes(wheel.name)
    verdict = run_wheel(wheel, runtime, tests="smoke")
    assert (verdict.outcome, verdict.findings) == ("passed", ()), verdict
    assert verdict.how.startswith("CPython 3.13.")


def test_a_root_of_the_users_own_is_left_alone(foreign_wheel: Callable[[str], Path], tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(make_rootfs(choose_recipe(find_cpu("aarch64"), "3.11")), root, symlinks=True)
    for name in ("site", "job", "proc", "tmp", "dev"):
        (root / name).rmdir()
    before = sorted(path.name for path in root.iterdir())
    [runtime, _] = find_runtimes(parse_wheel_name("x-1-cp311-abi3-linux_aarch64.whl"), roots=[root])
    assert runtime.root == root
    verdict = run_wheel(open_wheel(foreign_wheel(MASK)), runtime, tests="smoke")
    assert (verdict.outcome, verdict.checks) == ("passed", 3), verdict
    assert sorted(path.name for path in root.iterdir()) == before


def test_a_hang_ends_with_a_verdict(foreign_wheel: Callable[[str], Path]) -> None:
    verdict = run(foreign_wheel(MODULE % "for (volatile int i = 0;; i++);"), time_limit=5.0)
    assert verdict.outcome == "failed"
    assert verdict.findings[0].startswith("the worker did not end within 5 s during import bad\nTimeout (")


def test_a_crash_names_the_check(foreign_wheel: Callable[[str], Path]) -> None:
    verdict = run(foreign_wheel(MODULE % "*(volatile int *)8 = 1; return 0;"))
    assert verdict.outcome == "failed" and "SIGSEGV during import bad" in verdict.findings[0]


def test_a_missing_symbol_is_a_finding(foreign_wheel: Callable[[str], Path]) -> None:
    verdict = run(foreign_wheel("void *PyNo_Such(void);" + MODULE % "return PyNo_Such();"))
    assert verdict.outcome == "failed" and "undefined symbol: PyNo_Such" in verdict.findings[0]


def test_an_error_at_import_is_a_finding(foreign_wheel: Callable[[str], Path]) -> None:
    verdict = run(foreign_wheel(MODULE % "return 0;"))
    assert verdict.outcome == "failed" and "import bad failed:\nSystemError" in verdict.findings[0]


def test_a_mask_that_is_wrong_for_one_length(foreign_wheel: Callable[[str], Path]) -> None:
    verdict = run(foreign_wheel(MASK.replace("k[i & 3]", "k[(np == 77 ? i + 1 : i) & 3]")))
    finding = "bad.websocket_mask against its reference failed:\nAssertionError: wrong for the length 77"
    assert verdict.findings == (finding,)
    assert verdict.checks == 2


@pytest.mark.parametrize(
    ("cpu", "target"),
    [
        ("armv7l", "arm-linux-gnueabihf.2.17"),
        ("i686", "x86-linux-gnu.2.17"),
        ("ppc64le", "powerpc64le-linux-gnu.2.19"),
        ("riscv64", "riscv64-linux-gnu.2.31"),
        ("s390x", "s390x-linux-gnu.2.17"),
        ("x86_64", "x86_64-linux-gnu.2.17"),
    ],
)
def test_the_other_cpus(cpu: str, target: str, foreign_wheel: Callable[..., Path]) -> None:
    verdict = run_wheel(open_wheel(foreign_wheel(MASK, cpu, target)), find_runtime(cpu, "3.15"), tests="smoke")
    assert (verdict.outcome, verdict.checks, verdict.findings) == ("passed", 3, ()), verdict


def test_an_emulator_too_old_for_its_cpu_is_no_pass(foreign_wheel: Callable[..., Path]) -> None:
    """Debian's loong64 needs vector instructions that qemu 7.2 lacks. Newer versions of qemu have them."""
    wheel = foreign_wheel(MASK, "loongarch64", "loongarch64-linux-gnu.2.36")
    verdict = run_wheel(open_wheel(wheel), find_runtime("loongarch64", "3.15"), tests="smoke")
    if verdict.outcome != "passed":
        assert verdict.outcome == "unsupported" and "Illegal instruction" in verdict.why
        assert "a newer qemu-user-static may help" in verdict.why


def test_a_worker_sees_its_own_world_only(make_wheel: WheelMaker, tmp_path: Path, tornado_aarch64: Path) -> None:
    """Its root and site-packages are read-only. It has no privileges, and sees no processes or network of the host."""
    tests = tmp_path / "probes"
    tests.mkdir()
    (tests / "test_world.py").write_text(
        f"""
import ctypes, os, platform, socket, subprocess, sys
import pytest, tornado.speedups
def test_cpu(): assert platform.machine() == "aarch64" and tornado.speedups.websocket_mask(b"abcd", b"") == b""
@pytest.mark.parametrize("name", ["libstdc++.so.6", "libgcc_s.so.1"])
def test_libraries_of_manylinux(name): assert ctypes.CDLL(name)
def test_user(): assert os.getuid() == 1000
def test_host(): assert not os.path.exists({str(tmp_path)!r})
@pytest.mark.parametrize("path", ["/etc/x", "/site/x", "/usr/bin/x", "/x"])
def test_written(path):
    with pytest.raises(OSError, match="Read-only"): open(path, "w")
def test_processes(): assert len([name for name in os.listdir("/proc") if name.isdigit()]) < 6
def test_children(): assert subprocess.run([sys.executable, "-c", "raise SystemExit(5)"]).returncode == 5
def test_isolated_children(): assert subprocess.run([sys.executable, "-Ic", "import tornado.speedups"]).returncode == 0
def test_network():
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with pytest.raises(OSError): socket.create_connection(("192.0.2.1", 80), 1)
def test_devices():
    for name in ("/dev/null", "/dev/full"): open(name, "w").close()
    assert len(open("/dev/urandom", "rb").read(9)) == 9 and os.listdir("/dev/fd")
    open("/dev/shm/x", "w").close()
def test_no_way_out():
    with pytest.raises(PermissionError): os.chroot("/tmp")
@pytest.mark.integration
def test_that_needs_a_compiler(): assert False
def test_that_skips(): pytest.skip("because")
"""
    )
    verdict = run(tornado_aarch64, tests="package", tests_folder=tests)
    assert (verdict.outcome, verdict.findings) == ("passed", ())
    assert verdict.why == "15 of 16 checks passed; expected failures: 1: because (1)"


def test_failing_package_tests_are_findings(tmp_path: Path, tornado_aarch64: Path) -> None:
    tests = tmp_path / "probes"
    tests.mkdir()
    (tests / "test_bad.py").write_text("import tornado.speedups\ndef test_bad(): assert 1 == 2\n")
    (tests / "test_worse.py").write_text("import no_such_module\n")
    verdict = run(tornado_aarch64, tests="package", tests_folder=tests)
    assert verdict.outcome == "failed" and any("assert 1 == 2" in text for text in verdict.findings)
    assert any("no_such_module" in text for text in verdict.findings)


def test_tests_that_never_load_the_extension_fail(tmp_path: Path, tornado_aarch64: Path) -> None:
    tests = tmp_path / "probes"
    tests.mkdir()
    (tests / "test_none.py").write_text("def test_none(): pass\n")
    verdict = run(tornado_aarch64, tests="package", tests_folder=tests)
    assert verdict.outcome == "failed" and verdict.why.endswith("the tests ran without it: tornado.speedups")


def test_where_namespaces_are_forbidden(tornado_aarch64: Path) -> None:
    command = [*FORBIDDEN, sys.executable, "-c", RUN, str(tornado_aarch64), "smoke"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "by the emulator alone: no child processes and no isolation, since namespaces are forbidden here" in said
    assert said.splitlines()[-1].startswith("passed | ") and "unshare" in said


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_nothing(tornado_aarch64: Path, ending: signal.Signals, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        command = [sys.executable, "-c", RUN, str(tornado_aarch64), "tornado"]
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while b" of 1517 tests" not in (tmp_path / "said").read_bytes():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    assert find_workers()
    process.send_signal(ending)
    process.communicate(timeout=20)
    assert process.returncode in (-ending, 1, 130)


def cpu_seconds() -> float:
    """Return the CPU time of this process's finished children. A clock would also measure other programs."""
    times = os.times()
    return times.children_user + times.children_system


def test_tornados_whole_suite(tornado_aarch64: Path) -> None:
    before = cpu_seconds()
    verdict = run(tornado_aarch64, tests="tornado")
    assert (verdict.outcome, verdict.findings) == ("passed", ()), verdict
    assert verdict.checks >= 1430 and "expected failures: " in verdict.why
    assert 10 < cpu_seconds() - before < 600
