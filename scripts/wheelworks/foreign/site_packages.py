"""The site-packages folder of a foreign Python: the wheel under test, the workers, and the test dependencies.

Wheels are unpacked on the host, and not by pip in the root: an emulated pip takes half a minute and checks no hash of
what it unpacks, and a hostile wheel is refused before anything runs. Sources: the PyPA specification of the binary
distribution format.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from wheelworks.core import process
from wheelworks.core.archive import Limits
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cached_folder, remove_tree
from wheelworks.core.wheel import check_record, parse_wheel_name, read_members
from wheelworks.foreign.rootfs import die_with_parent
from wheelworks.testing.suites import WORKERS, WORKERS_PACKAGE

PINS = Path(__file__).with_name("test-dependencies.txt")
TIME_LIMIT = 300.0  # seconds
LIMITS = Limits(200 << 20, 20_000)  # everything that runs in a root is small


@dataclass(frozen=True)
class SitePackages:
    """A site-packages folder, the import names of the wheel's extension modules, and that of its project.

    ``tests`` is the relative path of the project's own tests; "" without them.
    """

    folder: Path
    modules: tuple[str, ...]
    package: str
    tests: str = ""


def create_site_packages(
    wheel: Path, folder: Path, *, with_dependencies: bool, tests_folder: Path | None = None
) -> SitePackages:
    """Fill ``folder``. The wheel's files replace those of a test dependency of the same name.

    Raises WheelworksError for a damaged wheel, one without an extension module, and a missing ``tests_folder``.
    """
    project = canonicalize_name(parse_wheel_name(wheel.name).distribution)
    if with_dependencies:
        source = download_dependencies()
        same = {project, *(path.name for path in source.glob(f"{project}-*.dist-info"))}
        shutil.copytree(source, folder, ignore=lambda parent, _: same if parent == str(source) else set())
    folder.mkdir(exist_ok=True)
    modules = list_extension_modules(unpack_wheel(wheel, folder))
    if not modules:
        raise WheelworksError(f"{wheel.name}: it has no extension module, so there is no machine code to run")
    shutil.copytree(WORKERS, folder / WORKERS_PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    tests = _copy_tests(tests_folder, folder) if tests_folder else ""
    return SitePackages(folder, tuple(modules), project.replace("-", "_"), tests)


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
        unpack_wheel(wheel, folder, native=False)
    remove_tree(wheels)


def unpack_wheel(wheel: Path, folder: Path, *, native: bool = True) -> list[str]:
    """Unpack a wheel into ``folder`` and return the relative paths; without ``native``, no shared objects.

    Every file must be in RECORD with its right SHA-256 hash. Scripts, headers and data are not installed.
    Raises WheelworksError for a damaged wheel, one beyond the limits, and one that would write outside ``folder``.
    """
    members = read_members(wheel, LIMITS)
    check_record(members, wheel.name)
    wanted = [name for name in members if native or not name.endswith(".so")]
    return sorted(path for name in wanted if (path := _write(name, members[name].data, folder)))


def list_extension_modules(files: Iterable[str]) -> list[str]:
    """Return the import names of the extension modules among a wheel's files, sorted."""
    paths = [PurePosixPath(name) for name in files if name.endswith(".so")]
    names = [".".join([*path.parts[:-1], path.name.partition(".")[0]]) for path in paths]
    return sorted(name for name in names if all(part.isidentifier() for part in name.split(".")))


def _write(name: str, content: bytes, folder: Path) -> str:
    """Write one file and return its relative path, or "" for a file that isn't installed."""
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
            return ""
        parts = parts[2:]
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return "/".join(parts)
