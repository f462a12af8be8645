"""The least that a wheel must do: its extension modules can be imported, are what they say, and survive a call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.verdict import Outcome, Verdict
from wheelworks.emulator.calls import CALLING_FLAGS
from wheelworks.emulator.cpu import Limits
from wheelworks.emulator.extensions import Extension, extensions
from wheelworks.emulator.findings import CannotRun, Fault
from wheelworks.emulator.image import BadImage, Image
from wheelworks.emulator.image.formats import halves, read_image
from wheelworks.emulator.module import EmulatedModule

TAG_OS = {"win": "windows", "macosx": "macos", "manylinux": "linux", "musllinux": "linux", "linux": "linux"}
TAG_CPUS = {
    "win32": ("x86",), "amd64": ("x86_64",), "x86_64": ("x86_64",), "arm64": ("aarch64",), "aarch64": ("aarch64",),
    "universal2": ("aarch64", "x86_64"), "i686": ("x86",), "armv7l": ("armv7l",), "riscv64": ("riscv64",),
    "s390x": ("s390x",),
}  # fmt: skip


@dataclass
class Tally:
    """What was checked so far, on which emulated machines, and what was found."""

    checks: int = 0
    findings: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    why: str = ""
    outcome: Outcome = "passed"

    def fail(self, what: str) -> None:
        """Note something wrong with the wheel."""
        self.findings.append(what)
        self.outcome, self.why = "failed", self.why or what

    def cannot(self, why: str) -> None:
        """Note that something couldn't be run."""
        if self.outcome == "passed":
            self.outcome, self.why = "unsupported", why


def smoke(path: str | Path, *, limits: Limits | None = None) -> Verdict:
    """Import every extension module of a wheel, each half of a universal one, and look at what it offers.

    Checked are the platform tag, the init function, the module definition and its exec slots, the method table, and
    that each function survives a call without arguments. Raises UsageError only (no such file); anything wrong with
    the wheel is in the verdict.
    """
    path, start, tally = Path(path), time.monotonic(), Tally()
    try:
        found = extensions(path)
        if not found:
            tally.fail(f"{path.name}: no extension module in it")
        for extension in found:
            _smoke_extension(extension, limits or Limits(), tally)
    except UsageError:
        raise
    except CannotRun as error:
        tally.cannot(error.message)
    except WheelworksError as error:
        tally.fail(error.message)
    how = "emulated CPU" + (f", {'; '.join(tally.machines)}" if tally.machines else "")
    findings = tuple(tally.findings)
    return Verdict(path.name, how, tally.outcome, tally.checks, tally.why, findings, time.monotonic() - start)


def _smoke_extension(extension: Extension, limits: Limits, tally: Tally) -> None:
    for cpu in halves(extension.data, extension.name):
        try:
            image = read_image(extension.data, extension.name, cpu)
            _check_tags(image, extension, tally)
            module = EmulatedModule(image, extension, limits)
            tally.checks += 1
            tally.machines.append(str(module.abi_))
            _check_definition(module, image, extension, tally)
            _call_each(module, tally)
        except CannotRun as error:
            tally.cannot(error.message)
        except (Fault, BadImage) as error:
            tally.fail(error.message)
        except Exception as error:
            if isinstance(error, WheelworksError):
                raise
            tally.fail(f"{extension.name}: its import raises {type(error).__name__}: {error}")


def is_emulated(platform: str) -> bool:
    """Whether the CPU that a platform tag names is one of the emulated; ``any`` may hide one."""
    return platform == "any" or platform.endswith(tuple(TAG_CPUS))


def _check_tags(image: Image, extension: Extension, tally: Tally) -> None:
    """The platform in the wheel's tags is the one that the binary is for."""
    for tag in extension.tags:
        for platform in tag.rsplit("-", 1)[-1].split("."):
            system = next((os for start, os in TAG_OS.items() if platform.startswith(start)), None)
            cpus = next((cpus for end, cpus in TAG_CPUS.items() if platform.endswith(end)), None)
            tally.checks += 1
            if system not in (None, image.os) or (cpus is not None and image.cpu not in cpus):
                tally.fail(f"{extension.name} is for {image.cpu} {image.os}, but the wheel is tagged {platform}")


def _check_definition(module: EmulatedModule, image: Image, extension: Extension, tally: Tally) -> None:
    tally.checks += 1
    definition = module.definition_
    if definition.name.rsplit(".", 1)[-1] not in (extension.module, ""):
        tally.fail(f"{extension.name}: its module definition is named {definition.name}")
    names = [method.name for method in definition.methods]
    for problem in _method_problems(module, image, names):
        tally.fail(f"{extension.name}: {problem}")
    tally.checks += len(names)


def _method_problems(module: EmulatedModule, image: Image, names: list[str]) -> Iterator[str]:
    if len(set(names)) != len(names):
        yield f"its method table has a name twice: {', '.join(sorted(names))}"
    for method in module.definition_.methods:
        address = method.address - module.base_
        if not any(s.executable and s.address <= address < s.address + s.size for s in image.segments):
            yield f"its method {method.name} points outside its code"
        if method.flags & ~(CALLING_FLAGS | 0x70):
            yield f"its method {method.name} has unknown flags {method.flags:#x}"


def _call_each(module: EmulatedModule, tally: Tally) -> None:
    """Call every function without arguments: whatever it raises is its own affair, a fault isn't."""
    for method in module.definition_.methods:
        tally.checks += 1
        try:
            getattr(module, method.name)()
        except Fault as error:
            tally.fail(error.message)
        except CannotRun as error:
            tally.cannot(f"{method.name}: {error.message}")
        except Exception:
            continue
