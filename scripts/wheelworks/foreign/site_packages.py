"""The site-packages folder of a foreign Python: the wheel under test, the workers, and the test dependencies.

Wheels are unpacked on the host, and not by pip in the root: an emulated pip takes half a minute and checks no hash of
what it unpacks, and a hostile wheel is refused before anything runs. Sources: the PyPA specification of the binary
distribution format.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from wheelworks.core import process
from wheelworks.core.archive import Limits
from wheelworks.core.binary import name_entry_points
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder, remove_tree
from wheelworks.core.wheel import Wheel, check_record, open_wheel
from wheelworks.foreign.musl import find_limits as find_musl_limits
from wheelworks.foreign.musl import relink_files
from wheelworks.foreign.rewrap.bundle import (
    Bundle,
    describe_patches,
    describe_unresolved,
    is_native,
)
from wheelworks.foreign.rewrap.limits import find_limits
from wheelworks.foreign.rootfs import die_with_parent
from wheelworks.testing.project_source import name_module
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE

PINS = Path(__file__).with_name("test-dependencies.txt")
_CALLS = re.compile(rb"\0_?Py(?!(?:Init|ModExport)U?_)[A-Z_]\w*\0")  # names of CPython's C API in a table of strings
WINDOWS_SITE = Path(__file__).with_name("rewrap") / "site" / "sitecustomize.py"
TIME_LIMIT = 300.0  # seconds
LIMITS = Limits(512 << 20, 20_000)  # of a wheel that is run


@dataclass(frozen=True)
class SitePackages:
    """A site-packages folder, the import names of the wheel's extension modules, and that of its project.

    ``tests`` is the relative path of the project's own tests; "" without them. ``libraries`` are the relative paths of
    binaries that aren't modules, and that no other binary loads. ``remarks`` say what was changed in the binaries or is
    missing here, ``defects`` are findings about them. ``limits`` are modules whose failure doesn't speak against the
    wheel, with the reasons: rewrapped ones that can't run here as on their own system, those of dependencies too, and
    those that call functions of musl for which glibc stands in.
    """

    folder: Path
    modules: tuple[str, ...]
    package: str
    tests: str = ""
    libraries: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)


class NoBinary(WheelworksError):
    """A wheel has nothing that a CPython can load."""


Rewrapper = Callable[[Mapping[str, bytes]], Bundle]


def create_site_packages(
    wheel: Wheel,
    folder: Path,
    *,
    with_dependencies: bool,
    tests_folder: Path | None = None,
    rewrapper: Rewrapper | None = None,
    others: Sequence[Wheel] = (),
    musl: bool = False,
) -> SitePackages:
    """Fill ``folder``. The wheel's files replace those of a test dependency of the same name.

    ``rewrapper`` turns the binaries of a wheel of Windows or macOS into ones of Linux, together with those of the
    wheels ``others``, on which it depends. With ``musl``, the wheel's binaries are changed so that a CPython of glibc
    loads them. Raises WheelworksError for a damaged wheel, one without a binary, and a missing ``tests_folder``.
    """
    project = canonicalize_name(wheel.name.distribution)
    if with_dependencies:
        source = download_dependencies()
        same = {project, *(path.name for path in source.glob(f"{project}-*.dist-info"))}
        shutil.copytree(source, folder, ignore=lambda parent, _: same if parent == str(source) else set())
    folder.mkdir(exist_ok=True)
    own = relink_files(list_files(wheel)) if musl else list_files(wheel)
    files = {path: data for other in others for path, data in list_files(other).items()} | own
    site = _write_rewrapped(files, own, folder, rewrapper) if rewrapper else _write_linux(files, own, folder)
    if not site.modules and not site.libraries:
        raise NoBinary(f"{wheel.path.name}: it has no extension module or library: there is no machine code to run")
    shutil.copytree(WORKERS, folder / WORKERS_PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    tests = _copy_tests(tests_folder, folder) if tests_folder else ""
    limits = find_musl_limits(own) if musl else site.limits
    return replace(site, package=project.replace("-", "_"), tests=tests, limits=limits)


def _write_linux(files: Mapping[str, bytes], own: Mapping[str, bytes], folder: Path) -> SitePackages:
    write_files(files, folder)
    modules, libraries = split_binaries(own)
    return SitePackages(folder, tuple(modules), "", libraries=tuple(libraries))


def _write_rewrapped(
    files: Mapping[str, bytes], own: Mapping[str, bytes], folder: Path, rewrapper: Rewrapper
) -> SitePackages:
    """Write the files of wheels for another system; judge the binaries of ``own`` only."""
    natives = {path: data for path, data in files.items() if is_native(path, data)}
    bundle = rewrapper(natives)
    write_files({path: data for path, data in files.items() if path not in natives}, folder)
    write_files(bundle.files, folder)
    if bundle.system == "windows":
        shutil.copy(WINDOWS_SITE, folder)
    for link, target in bundle.links.items():
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(target)
    modules = {path: name for path in bundle.modules if (name := name_module(path))}
    mine = [bundle.targets[path] for path in natives if path in own]
    return SitePackages(
        folder,
        tuple(sorted(name for path, name in modules.items() if path in mine)),
        "",
        libraries=tuple(path for path in bundle.libraries if path in mine),
        remarks=tuple(filter(None, [describe_patches(bundle.patches), describe_unresolved(bundle.unresolved)])),
        defects=tuple(finding for path, finding in bundle.defects if path in own),
        limits=find_limits(bundle.system, modules.values()),
    )


def _copy_tests(tests_folder: Path, folder: Path) -> str:
    if not tests_folder.is_dir():
        raise WheelworksError(f"{tests_folder}: no such folder of tests", 'tests="package" runs the project\'s own')
    relative = f"tests/{tests_folder.name}"
    shutil.copytree(tests_folder, folder / relative, ignore=shutil.ignore_patterns("__pycache__"))
    return relative


def download_dependencies() -> Path:
    """Return a folder with the pinned test dependencies, which are pure Python; downloaded once, then cached.

    Raises WheelworksError if they can't be downloaded.
    """
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()
    return get_cached_folder(f"test-dependencies/{digest[:12]}", _download)


def _download(folder: Path) -> None:
    wheels = folder / "wheels"
    # The pinned wheels, whatever Python and CPU this machine has.
    options = ["--only-binary=:all:", "--no-deps", "--require-hashes", f"--requirement={PINS}", f"--dest={wheels}"]
    options += ["--implementation=cp", "--python-version=3.11", "--abi=none", "--abi=abi3"]
    options += ["--platform=any", "--platform=manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
    failure = "the test dependencies can't be downloaded"
    process.run_checked(die_with_parent(command), failure, "pip must be installed", lines=3, timeout=TIME_LIMIT)
    for wheel in sorted(wheels.glob("*.whl")):
        unpack_wheel(open_wheel(wheel, LIMITS), folder, native=False)
    remove_tree(wheels)


def unpack_wheel(wheel: Wheel, folder: Path, *, native: bool = True) -> list[str]:
    """Unpack a wheel into ``folder`` and return the relative paths; without ``native``, no shared objects.

    Raises WheelworksError as `list_files` does.
    """
    files = {path: data for path, data in list_files(wheel).items() if native or not path.endswith(".so")}
    write_files(files, folder)
    return sorted(files)


def list_files(wheel: Wheel) -> dict[str, bytes]:
    """Return the files of a wheel by path in site-packages. Scripts, headers and data are not installed.

    Every file must be in RECORD with its right SHA-256 hash. Raises WheelworksError for a damaged wheel.
    """
    check_record(wheel.members, wheel.path.name)
    paths = {_locate(name): member.data for name, member in wheel.members.items()}
    return {path: data for path, data in paths.items() if path}


def _locate(name: str) -> str:
    """Return a member's path in site-packages, or "" for a file that isn't installed there."""
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in ("purelib", "platlib") else ""
    return "/".join(parts)


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files below a folder. `open_wheel` refuses names that lead out of it."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def split_binaries(files: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
    """Return the import names of the extension modules among the files of a Linux wheel, and the other binaries' paths.

    A module has the entry point of its name, and calls CPython, as the strings of its symbol table say.
    """
    modules, libraries = [], []
    for path, data in sorted(files.items()):
        if path.endswith(".so"):
            names = name_entry_points(PurePosixPath(path).name.partition(".")[0])
            if not (any(name.encode() + b"\0" in data for name in names) and _CALLS.search(data)):
                libraries.append(path)
            elif name := name_module(path):
                modules.append(name)
    return modules, libraries
