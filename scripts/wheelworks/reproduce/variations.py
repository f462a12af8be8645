"""What `reproduce` varies: the table `VARIATIONS`, and how each entry changes the environment of a build."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import wheelworks
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cache_folder as cache_folder
from wheelworks.core.interpreters import list_build_pythons
from wheelworks.core.targets import BUILD_VERSION
from wheelworks.reproduce import environment
from wheelworks.reproduce.environment import RebuildEnvironment

OTHER_UID = 4321
_ONLINE = "/sys/devices/system/cpu/online"
_SET_UMASK = ("sh", "-c", 'umask "$0" && exec "$@"')


@dataclass(frozen=True)
class Variation:
    """Something that may differ between machines and must not affect the bytes."""

    name: str  # what --vary takes
    describe: Callable[[], str]  # what it is changed to on this host
    apply: Callable[[RebuildEnvironment], RebuildEnvironment]
    check: Callable[[], str] = lambda: ""  # why it can't be varied on this host; "" if it can
    downloads: bool = False  # whether a build under it needs files that other builds don't
    offline: bool = False  # whether a build under it can't download anything


def _choose_other(current: str | None, first: str, second: str) -> str:
    """Return ``first``, or ``second`` if ``first`` is the current value: the variation must change something."""
    return second if current == first else first


def copy_source(source: Path, folder: Path) -> Path:
    """Copy an sdist or a project's folder, ``.git`` included, into ``folder``."""
    target = folder / source.name
    if source.is_dir():
        return Path(shutil.copytree(source, target, symlinks=True))
    return Path(shutil.copyfile(source, target))


def _copy_folder_reversed(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in sorted(source.rglob("*"), reverse=True):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)
    return target


def _copy_sdist_reversed(archive: Path, copy: Path) -> Path:
    """Copy the members one by one without unpacking them; links stay behind the files that they point to."""
    try:
        with (
            tarfile.open(archive, "r:gz") as old,
            gzip.GzipFile(copy, "wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            members = old.getmembers()[::-1]
            for member in sorted(members, key=lambda one: one.issym() or one.islnk()):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise WheelworksError(f"{archive.name}: damaged, or not an sdist: {error}", "download it again") from error
    return copy


def _change_temporary_folder(now: RebuildEnvironment) -> RebuildEnvironment:
    folder = now.work / "a temporary folder, naïve and long"
    folder.mkdir()
    return now.with_env(TMPDIR=str(folder), TEMP=str(folder), TMP=str(folder))


def _change_file_order(now: RebuildEnvironment) -> RebuildEnvironment:
    """Create the source's files in reverse order, and build in a tmpfs, which lists them in that order."""
    folder = now.work / "other order"
    folder.mkdir()
    copy = _copy_folder_reversed if now.source.is_dir() else _copy_sdist_reversed
    source = copy(now.source, folder / now.source.name)
    return replace(now, source=source).with_launcher(*environment.unshare_with_tmpfs(now.env["TMPDIR"]))


def _change_folder(now: RebuildEnvironment) -> RebuildEnvironment:
    """Move the suite's own files as well, because compilers are started by paths among them."""
    folder = now.work / "a way down, far" / "naïve folder of another depth" / "run"
    folder.mkdir(parents=True)
    source = copy_source(now.source, folder)
    suite, name = folder / "check out", wheelworks.__name__
    shutil.copytree(now.suite / name, suite / name, ignore=shutil.ignore_patterns("__pycache__"))
    return replace(now, folder=folder, source=source, suite=suite)


def _other_umask() -> str:
    current = os.umask(0o022)
    os.umask(current)
    return _choose_other(f"{current:03o}", "077", "002")


def _check_posix() -> str:
    return "" if os.name == "posix" else "POSIX only"


def _other_zone() -> str:
    return _choose_other(os.environ.get("TZ"), "<+14>-14", "<-12>+12")


@cache
def _other_locale() -> str:
    """Return an installed locale that sorts and formats differently, else C, or C.UTF-8 if C is in use."""
    wanted = ("tr_TR.utf8", "de_DE.utf8", "fr_FR.utf8", "ja_JP.utf8")
    installed = process.run(["locale", "-a"]).output.split() if shutil.which("locale") else []
    current = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return next((name for name in wanted if name in installed), _choose_other(current, "C", "C.UTF-8"))


def _change_locale(now: RebuildEnvironment) -> RebuildEnvironment:
    return now.with_env(**dict.fromkeys(("LC_ALL", "LANG", "LANGUAGE"), _other_locale()))


def _other_seed() -> str:
    return _choose_other(os.environ.get("PYTHONHASHSEED"), "4321", "1234")


_PIN_TO_ONE_CORE = """\
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.execvp(sys.argv[1], sys.argv[1:])"""
_ONE_JOB = {"MAKEFLAGS": "-j1", "MAX_JOBS": "1", "CMAKE_BUILD_PARALLEL_LEVEL": "1", "NPY_NUM_BUILD_JOBS": "1"}


def _other_online() -> str:
    return "0\n" if (os.cpu_count() or 1) > 1 else "0-3\n"


def _describe_cores() -> str:
    what = f"1 core of {os.cpu_count()} by affinity, 1 job"
    return what if environment.check_namespaces() else f"{what}, and {_ONLINE} says {_other_online().strip()}"


def _check_cores() -> str:
    if not hasattr(os, "sched_getaffinity"):
        return "this system can't restrict a process to some of the cores"
    return environment.check_namespaces() if len(os.sched_getaffinity(0)) == 1 else ""


def _change_cores(now: RebuildEnvironment) -> RebuildEnvironment:
    changed = now.with_env(**_ONE_JOB).with_launcher(sys.executable, "-c", _PIN_TO_ONE_CORE)
    if environment.check_namespaces():
        return changed
    online = now.work / "online"
    online.write_text(_other_online(), encoding="ascii")
    return changed.with_launcher(*environment.unshare_with_bind_mount(_ONLINE, str(online)))


def _empty_compiler_cache(now: RebuildEnvironment) -> RebuildEnvironment:
    """Use an empty cache, except for downloads, since nothing in these was compiled."""
    cold = now.work / "cold"
    cold.mkdir()
    for name in ("buildenvs", "debian-headers"):
        kept = cache_folder() / name
        kept.mkdir(parents=True, exist_ok=True)
        (cold / name).symlink_to(kept)
    return now.with_env(WHEELWORKS_CACHE=str(cold))


_NOISE = {
    **dict.fromkeys(("CC", "CXX", "AR", "LD", "LDSHARED"), "false"),
    **dict.fromkeys(("CFLAGS", "CPPFLAGS", "CXXFLAGS"), "-march=native -DNOISE -O0 -g -I/usr/include"),
    **dict.fromkeys(("LDFLAGS", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH"), "/usr/lib"),
    "ARCHFLAGS": "-arch x86_64",
    "MACOSX_DEPLOYMENT_TARGET": "10.9",
    "_PYTHON_HOST_PLATFORM": "linux-noise",
    "SETUPTOOLS_SCM_PRETEND_VERSION": "9",
    "DISTUTILS_DEBUG": "1",
    "DIST_EXTRA_CONFIG": "/nowhere.cfg",
    "PYTHONOPTIMIZE": "1",
    "ZIG_VERBOSE_CC": "1",
    "NOISE": "noise",
}


def _add_noise(now: RebuildEnvironment) -> RebuildEnvironment:
    poison = now.work / "noise" / "setuptools"
    poison.mkdir(parents=True)
    (poison / "__init__.py").write_text("raise SystemExit('PYTHONPATH reached the build')\n", encoding="utf-8")
    return now.with_env(**_NOISE, PYTHONPATH=str(poison.parent))


def _describe_user() -> str:
    why = environment.check_namespaces()
    return f"HOME, USER, LOGNAME only ({why})" if why else f"uid {OTHER_UID} in a user namespace, HOME, USER, LOGNAME"


def _change_user(now: RebuildEnvironment) -> RebuildEnvironment:
    home = now.work / "home of another"
    home.mkdir()
    (home / ".pydistutils.cfg").write_text("[build_ext]\ndefine = NOISE\n", encoding="utf-8")
    names = {**dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "another"), "USERPROFILE": str(home)}
    changed = now.with_env(HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), **names, **_keep_user_folders())
    if environment.check_namespaces():
        return changed
    return changed.with_launcher(*environment.unshare_user(OTHER_UID, OTHER_UID))


def _keep_user_folders() -> dict[str, str]:
    """Return variables that keep pip's configuration and installed Pythons reachable when HOME changes."""
    home = Path.home()
    places = {
        "PIP_CONFIG_FILE": Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf"),
        "PYENV_ROOT": home / ".pyenv",
        "UV_PYTHON_INSTALL_DIR": home / ".local/share/uv/python",
    }
    return {name: str(path) for name, path in places.items() if path.exists() and name not in os.environ}


def _check_python() -> str:
    only_one = f"there is only one CPython {BUILD_VERSION} with headers on this machine"
    return "" if len(list_build_pythons()) > 1 else only_one


def _describe_python() -> str:
    usual, other = list_build_pythons()[:2]
    return f"{other.version} ({other.executable}) in place of {usual.version}"


def _change_python(now: RebuildEnvironment) -> RebuildEnvironment:
    return replace(now, python=str(list_build_pythons()[1].executable))


# They are applied in this order: what copies the source again comes after what reorders it, and the user comes last,
# because a process in a user namespace keeps what it was given before.
VARIATIONS = (
    Variation("temporary folder", lambda: "other length, blanks, non-ASCII", _change_temporary_folder),
    Variation(
        "file order",
        lambda: "the source's files reversed, built in a tmpfs",
        _change_file_order,
        environment.check_namespaces,
    ),
    Variation("folder", lambda: "of the source and of this suite: other depth, non-ASCII", _change_folder),
    Variation("umask", _other_umask, lambda now: now.with_launcher(*_SET_UMASK, _other_umask()), _check_posix),
    Variation("time zone", lambda: f"TZ={_other_zone()}", lambda now: now.with_env(TZ=_other_zone())),
    Variation("locale", lambda: f"LC_ALL={_other_locale()}", _change_locale),
    Variation("hash seed", _other_seed, lambda now: now.with_env(PYTHONHASHSEED=_other_seed())),
    Variation(
        "clock",
        lambda: "20 years and a day ahead (libfaketime)",
        environment.shift_clock,
        environment.check_faketime,
        offline=True,
    ),
    Variation("cores", _describe_cores, _change_cores, _check_cores),
    Variation("Python 3.11", _describe_python, _change_python, _check_python, downloads=True),
    Variation("compiler cache", lambda: "empty", _empty_compiler_cache, _check_posix),
    Variation("noise", lambda: f"{', '.join(list(_NOISE)[:6])} and {len(_NOISE) - 5} more variables", _add_noise),
    Variation("user", _describe_user, _change_user),
)
