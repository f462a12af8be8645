"""Tests of wheels on the emulated CPU: a smoke test for any wheel, and this repository's own tests for its package.

The smoke test checks that each extension module is for the platform of the wheel's tags, can be imported, has a valid
definition, that each of its functions and types survives a call without arguments, that garbage is collected, and that
a function called ``websocket_mask``, which Tornado has as well, masks as RFC 6455 says.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelworks.core import process
from wheelworks.core.errors import Unsupported, UsageError, WheelworksError
from wheelworks.core.formats import list_cpus, read_image
from wheelworks.core.image import BadImage, Image
from wheelworks.core.junit import read_results
from wheelworks.core.tags import parse_platform
from wheelworks.core.verdict import Outcome, Verdict
from wheelworks.core.wheel import Wheel, claims_extension, parse_wheel_name, read_members
from wheelworks.emulator.capi.calls import CALLING_FLAGS
from wheelworks.emulator.cpu import RunLimits
from wheelworks.emulator.extension import EmulatedModule, ExtensionModule, list_extensions, read_extensions
from wheelworks.emulator.faults import Fault

EMULATED_CPUS = frozenset(("x86", "x86_64", "aarch64", "arm", "riscv64", "s390x"))
REPOSITORY = Path(__file__).parents[3]
TESTS = REPOSITORY / "tests" / "speedups"
DISTRIBUTION = "tornado_speedups"
MAX_FAILURES = 3  # that are shown; all are counted
MASK = "websocket_mask"
MASK_LENGTHS = (*range(10), 15, 16, 17, 31, 33, 63, 65, 125, 300, 4099)  # bytes


@dataclass
class Tally:
    """The checks and findings of one smoke test so far, the emulated machines, and what binaries there are."""

    checks: int = 0
    findings: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    modules: int = 0
    libraries: list[str] = field(default_factory=list)
    why: str = ""
    outcome: Outcome = "passed"

    def fail(self, what: str) -> None:
        """Record a defect of the wheel."""
        self.findings.append(what)
        self.outcome, self.why = "failed", self.why or what

    def skip(self, why: str) -> None:
        """Record that something can't be emulated."""
        if self.outcome == "passed":
            self.outcome, self.why = "unsupported", why


def smoke_test(wheel: str | Path | Wheel, *, limits: RunLimits | None = None) -> Verdict:
    """Import and check every extension module of a wheel, on each CPU of a universal one.

    A wheel without an extension module has failed if its tags name an ABI, otherwise it is unsupported; so is a wheel
    whose binaries are all libraries. Raises UsageError only (no such file); anything wrong with the wheel is in the
    verdict.
    """
    path, start, tally = wheel.path if isinstance(wheel, Wheel) else Path(wheel), time.monotonic(), Tally()
    try:
        found = list_extensions(wheel) if isinstance(wheel, Wheel) else read_extensions(path)
        if not found:
            report = tally.fail if claims_extension(parse_wheel_name(path.name)) else tally.skip
            report(f"{path.name}: no extension module in it")
        for extension in found:
            _test_extension(extension, limits or RunLimits(), tally)
        if tally.libraries and not tally.modules:
            tally.skip(f"{tally.libraries[0]} isn't a Python module: programs load it by ctypes or cffi, or link to it")
    except UsageError:
        raise
    except Unsupported as error:
        tally.skip(error.message)
    except WheelworksError as error:
        tally.fail(error.message)
    how = "emulated CPU" + (f", {'; '.join(dict.fromkeys(tally.machines))}" if tally.machines else "")
    findings = tuple(tally.findings)
    return Verdict(path.name, how, tally.outcome, tally.checks, tally.why, findings, time.monotonic() - start)


def _test_extension(extension: ExtensionModule, limits: RunLimits, tally: Tally) -> None:
    images = list(_read_images(extension, tally))
    if images and not any(map(is_module, images)):
        tally.libraries.append(extension.name)
        return
    tally.modules += 1
    _check_tags(images, extension, tally)
    for image in images:
        _test_module(image, extension, limits, tally)


def _read_images(extension: ExtensionModule, tally: Tally) -> Iterator[Image]:
    for cpu in list_cpus(extension.data, extension.name):
        try:
            yield read_image(extension.data, extension.name, cpu)
        except Unsupported as error:
            tally.skip(error.message)
        except BadImage as error:
            tally.fail(error.message)


def is_module(image: Image) -> bool:
    """Return whether Python can import the binary: it has an init function, and uses CPython's C API.

    Wheels also have libraries that Python code loads by ctypes or cffi, and libraries of their modules. Their names
    don't tell: PyCryptodome's are NAME.abi3.so and NAME.pyd, with an init function that only fails.
    """
    initialised = any(name.startswith(("PyInit", "PyModExport")) for name in image.exports)
    return initialised and any(bind.name.startswith(("Py", "_Py")) for bind in image.binds)


def _test_module(image: Image, extension: ExtensionModule, limits: RunLimits, tally: Tally) -> None:
    try:
        module = EmulatedModule(image, extension, limits)
    except Unsupported as error:
        tally.skip(f"{extension.name}: {error.message}")
    except (Fault, BadImage) as error:
        tally.fail(error.message)
    except Exception as error:
        if isinstance(error, WheelworksError):
            raise
        tally.fail(f"{extension.name}: its import raises {type(error).__name__}: {error}")
    else:
        tally.checks += 1
        tally.machines.append(str(module.abi_))
        _check_definition(module, image, extension, tally)
        _call_each(module, tally)


def is_emulated(platform: str) -> bool:
    """Return whether a platform tag names an emulated CPU. ``any`` does: such a wheel may have machine code."""
    parsed = parse_platform(platform)
    return platform == "any" or (parsed is not None and not EMULATED_CPUS.isdisjoint(parsed.cpus))


def _check_tags(images: Sequence[Image], extension: ExtensionModule, tally: Tally) -> None:
    """Check that the file has code for every platform of the wheel's tags, unless a part of it can't be read."""
    cpus, systems = {image.cpu for image in images}, {image.os for image in images}
    if len(images) < len(list_cpus(extension.data, extension.name)):
        return
    for platform in sorted({tag.rsplit("-", 1)[-1] for tag in extension.tags}):
        tally.checks += 1
        parsed = parse_platform(platform)
        if parsed is not None and not (systems == {parsed.os} and cpus >= set(parsed.cpus)):
            built = f"{' and '.join(sorted(cpus))} {' and '.join(sorted(systems))}"
            tally.fail(f"{extension.name} is for {built}, but the wheel is tagged {platform}")


def _check_definition(module: EmulatedModule, image: Image, extension: ExtensionModule, tally: Tally) -> None:
    tally.checks += 1
    definition = module.definition_
    names = [method.name for method in definition.methods]
    if len(set(names)) != len(names):
        tally.fail(f"{extension.name}: its method table has a name twice: {', '.join(sorted(names))}")
    for method in definition.methods:
        address = method.address - module.base_
        if not any(s.executable and s.address <= address < s.address + s.size for s in image.segments):
            tally.fail(f"{extension.name}: its method {method.name} points outside its code")
        if method.flags & ~(CALLING_FLAGS | 0x70):
            tally.fail(f"{extension.name}: its method {method.name} has unknown flags {method.flags:#x}")
    tally.checks += len(names)


def _call_each(module: EmulatedModule, tally: Tally) -> None:
    """Call every function without arguments. It may raise any exception, but must not fault."""
    for method in module.definition_.methods:
        tally.checks += 1
        _run_part(method.name, lambda name=method.name: getattr(module, name)(), tally)  # type: ignore[misc]
    _create_each(module, tally)
    if hasattr(module, MASK):
        check_mask(getattr(module, MASK), tally)


def _create_each(module: EmulatedModule, tally: Tally) -> None:
    """Create an instance of every type without arguments, and collect garbage. Both must not fault."""
    for name in [kind.__name__ for kind in module.types_]:
        kind = next((kind for kind in module.types_ if kind.__name__ == name), None)
        tally.checks += 1
        _run_part(name, kind or str, tally)
    if module.types_:
        _run_part("the garbage collector", module.collect_, tally)


def _run_part(name: str, part: Callable[[], object], tally: Tally) -> None:
    """Run a part of the module. It may raise any exception, but must not fault."""
    try:
        part()
    except Fault as error:
        tally.fail(error.message)
    except Unsupported as error:
        tally.skip(f"{name}: {error.message}")
    except Exception:
        return


def check_mask(function: Callable[[bytes, bytes], object], tally: Tally) -> None:
    """Compare a function with the definition of masking (RFC 6455, 5.3), for lengths that every branch of it sees."""
    mask = b"\x37\xfa\x21\x3d"
    for length in MASK_LENGTHS:
        data = bytes(number * 31 & 255 for number in range(length))
        tally.checks += 1
        try:
            masked = function(mask, data)
        except Unsupported as error:
            tally.skip(f"{MASK}: {error.message}")
            return
        except Exception as error:
            tally.fail(f"{MASK} of {length} bytes: {error}")
            return
        if masked != bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)):
            tally.fail(f"{MASK} returns wrong bytes for the length {length}")
            return


# -- the package's own tests


@dataclass
class _Results:
    """The results of one wheel's tests."""

    passed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def is_own_package(wheel: Path) -> bool:
    """Return whether a wheel is of this repository's package and its tests are here: an installed suite has none."""
    return parse_wheel_name(wheel.name).distribution == DISTRIBUTION and TESTS.is_dir()


def run_package_tests(wheels: Sequence[Path]) -> list[Verdict]:
    """Smoke-test wheels of this package, and run its tests on the machine code of those that pass.

    The tests use the Python files of the first wheel, since all wheels have the same ones. Raises WheelworksError if
    pytest itself fails.
    """
    verdicts = {wheel: smoke_test(wheel) for wheel in wheels}
    sound = [wheel for wheel, verdict in verdicts.items() if verdict.outcome == "passed"]
    for wheel, tests in _run_parallel(sound).items():
        verdicts[wheel] = _add_results(verdicts[wheel], tests)
    return list(verdicts.values())


def _add_results(verdict: Verdict, tests: _Results) -> Verdict:
    how = f"{verdict.how}, the package's tests"
    checks, seconds = verdict.checks + tests.passed, verdict.seconds + tests.seconds
    verdict = replace(verdict, how=how, checks=checks, seconds=seconds)
    if tests.failures or not tests.passed:
        why = f"{len(tests.failures)} of the package's tests failed" if tests.failures else "none of its tests ran"
        return replace(verdict, outcome="failed", why=why, findings=tuple(tests.failures[:MAX_FAILURES]))
    return replace(verdict, why=f"skipped: {'; '.join(tests.skipped)}" if tests.skipped else "")


def _run_parallel(wheels: Sequence[Path]) -> dict[Path, _Results]:
    """Test wheels on all cores, with one pytest a core: it takes as long to start as to test a wheel."""
    cores = process.count_cores()
    with process.thread_pool() as pool:
        shares = list(pool.map(_run_pytest, [wheels[core::cores] for core in range(cores)]))
    return {wheel: tests for share in shares for wheel, tests in share.items()}


def _run_pytest(wheels: Sequence[Path]) -> dict[Path, _Results]:
    if not wheels:
        return {}
    with tempfile.TemporaryDirectory(prefix="wheelworks-") as work:
        report = Path(work, "report.xml")
        _unpack_python(wheels[0], Path(work, "package"))
        chosen = [word for wheel in wheels for word in ("--wheel", str(wheel.resolve()))]
        # A fixed seed makes a verdict reproducible.
        options = ["-q", "-pno:cacheprovider", "--hypothesis-seed=0", "--only-wheels", f"--junitxml={report}", *chosen]
        path = os.pathsep.join([str(Path(work, "package")), str(REPOSITORY / "scripts")])
        env = {**os.environ, "PYTHONPATH": path, "TORNADO_SPEEDUPS_EXTENSION": "0"}
        command = [sys.executable, "-m", "pytest", str(TESTS), *options]
        result = process.run(command, cwd=REPOSITORY, env=env, timeout=600)
        if result.status not in (0, 1) or not report.is_file():
            raise WheelworksError(f"the package's tests can't be run: pytest says\n{result.output[-2000:]}")
        return _read_report(report, wheels)


def _unpack_python(wheel: Path, folder: Path) -> None:
    for name, member in read_members(wheel).items():
        if name.endswith((".py", ".pyi", "py.typed")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(member.data)


def _read_report(report: Path, wheels: Sequence[Path]) -> dict[Path, _Results]:
    """Collect the results in a JUnit report by wheel: the names of the tests contain its file name."""
    found = {wheel: _Results() for wheel in wheels}
    results = read_results([report])
    for name, (outcome, detail) in results.finished.items():
        tests = next((tests for wheel, tests in found.items() if wheel.name in name), None)
        if tests is None:
            continue
        tests.seconds += results.seconds.get(name, 0.0)
        if outcome == "failed":
            tests.failures.append(f"{name}: {detail}")
        elif outcome == "skipped":
            tests.skipped.append(f"{name.partition('[')[0].rpartition('::')[2]}: {detail}")
        else:
            tests.passed += 1
    return found
