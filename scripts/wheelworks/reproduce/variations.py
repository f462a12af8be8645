"""Copies of a source, an sdist or a project's folder, made in the usual order or in another."""

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
from wheelworks.core.cache import folder as warm_cache
from wheelworks.core.errors import WheelworksError
from wheelworks.reproduce import environment, interpreters
from wheelworks.reproduce.environment import RebuildEnvironment


def copy_source(source: Path, place: Path) -> Path:
    """Copy an sdist or a folder, ``.git`` included, into the folder ``place``."""
    target = place / source.name
    if source.is_dir():
        return Path(shutil.copytree(source, target, symlinks=True))
    return Path(shutil.copyfile(source, target))


def copy_source_reversed(source: Path, place: Path) -> Path:
    """Copy an sdist or a folder into the folder ``place`` so that the last file is made first.

    Raises WheelworksError for what is no sdist.
    """
    place.mkdir(parents=True, exist_ok=True)
    return (
        _copy_folder_reversed(source, place / source.name)
        if source.is_dir()
        else _copy_sdist_reversed(source, place / source.name)
    )


def _copy_folder_reversed(source: Path, target: Path) -> Path:
    paths = sorted(source.rglob("*"), reverse=True)
    target.mkdir()
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_file():
            shutil.copy2(path, place)
        else:
            place.mkdir(exist_ok=True)
    return target


def _copy_sdist_reversed(archive: Path, copy: Path) -> Path:
    """Members are copied one at a time, never unpacked; links stay behind the files that they name."""
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
        raise WheelworksError(f"{archive.name}: damaged, or no sdist: {error}", "download it again") from error
    return copy


OTHER_UID = 4321
_ONLINE = "/sys/devices/system/cpu/online"


@dataclass(frozen=True)
class Variation:
    """One thing that may differ from machine to machine, and must not show.

    ``how`` says in a few words what it is changed to on this host, ``missing`` why it can't be varied here,
    or "". With some, a build ``downloads`` what it else wouldn't need; with some it is ``offline``.
    """

    name: str
    how: Callable[[], str]
    apply: Callable[[RebuildEnvironment], RebuildEnvironment]
    missing: Callable[[], str] = lambda: ""
    downloads: bool = False
    offline: bool = False


def _unlike(current: str | None, first: str, second: str) -> str:
    """``first``, or ``second`` where ``first`` is what there is already: a variation that varies nothing is none."""
    return second if current == first else first


# --- file order, working folder, temporary folder -------------------------------------------------------------------


def _in_another_order(now: RebuildEnvironment) -> RebuildEnvironment:
    copy = copy_source_reversed(now.source, now.place / "other order")
    return replace(now, source=copy).inside(*environment.unshare_with_tmpfs(now.env["TMPDIR"]))


def _in_another_folder(now: RebuildEnvironment) -> RebuildEnvironment:
    """Also the suite's own files, since compilers are started by paths among them."""
    folder = now.place / "a way down, far" / "naïve folder of another depth" / "run"
    folder.mkdir(parents=True)
    source = copy_source(now.source, folder)
    suite, name = folder / "check out", wheelworks.__name__
    shutil.copytree(now.suite / name, suite / name, ignore=shutil.ignore_patterns("__pycache__"))
    return replace(now, folder=folder, source=source, suite=suite)


def _with_another_temporary_folder(now: RebuildEnvironment) -> RebuildEnvironment:
    folder = now.place / "a temporary folder, naïve and long"
    folder.mkdir()
    return now.with_env(TMPDIR=str(folder), TEMP=str(folder), TMP=str(folder))


# --- user, umask ----------------------------------------------------------------------------------------------------


def _how_user() -> str:
    names = "HOME, USER, LOGNAME"
    return (
        f"{names} only ({why})"
        if (why := environment.check_namespaces())
        else f"uid {OTHER_UID} in a user namespace, {names}"
    )


def _as_another_user(now: RebuildEnvironment) -> RebuildEnvironment:
    home = now.place / "home of another"
    home.mkdir()
    (home / ".pydistutils.cfg").write_text("[build_ext]\ndefine = NOISE\n", encoding="utf-8")
    names = {**dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "another"), "USERPROFILE": str(home)}
    changed = now.with_env(HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), **names, **_found_as_before())
    return changed if environment.check_namespaces() else changed.inside(*environment.unshare_user(OTHER_UID))


def _found_as_before() -> dict[str, str]:
    """Where pip finds its index, and where Pythons are installed, must not be lost with HOME."""
    home = Path.home()
    places = {
        "PIP_CONFIG_FILE": Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf"),
        "PYENV_ROOT": home / ".pyenv",
        "UV_PYTHON_INSTALL_DIR": home / ".local/share/uv/python",
    }
    return {name: str(path) for name, path in places.items() if path.exists() and name not in os.environ}


def _umask() -> str:
    current = os.umask(0o022)
    os.umask(current)
    return _unlike(f"{current:03o}", "077", "002")


def _with_another_umask(now: RebuildEnvironment) -> RebuildEnvironment:
    return now.inside("sh", "-c", 'umask "$0" && exec "$@"', _umask())


# --- time zone, locale, hash seed -----------------------------------------------------------------------------------


def _zone() -> str:
    return _unlike(os.environ.get("TZ"), "<+14>-14", "<-12>+12")


@cache
def _locale() -> str:
    """One that sorts and writes numbers in another way where there is one, else C, or C.UTF-8 where C is in use."""
    wanted = ("tr_TR.utf8", "de_DE.utf8", "fr_FR.utf8", "ja_JP.utf8")
    there: set[str] = set()
    if shutil.which("locale"):
        there = set(process.run(["locale", "-a"]).output.split())
    current = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return next((name for name in wanted if name in there), _unlike(current, "C", "C.UTF-8"))


def _seed() -> str:
    return _unlike(os.environ.get("PYTHONHASHSEED"), "4321", "1234")


# --- cores ----------------------------------------------------------------------------------------------------------

_ONE_CORE = """\
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.execvp(sys.argv[1], sys.argv[1:])"""
_JOBS = {"MAKEFLAGS": "-j1", "MAX_JOBS": "1", "CMAKE_BUILD_PARALLEL_LEVEL": "1", "NPY_NUM_BUILD_JOBS": "1"}


def _online() -> str:
    return "0\n" if (os.cpu_count() or 1) > 1 else "0-3\n"


def _how_cores() -> str:
    what = f"1 core of {os.cpu_count()} by affinity, 1 job"
    return what if environment.check_namespaces() else f"{what}, and {_ONLINE} says {_online().strip()}"


def _no_cores() -> str:
    if not hasattr(os, "sched_getaffinity"):
        return "this system can't keep a process to some of the cores"
    return environment.check_namespaces() if len(os.sched_getaffinity(0)) == 1 else ""


def _on_one_core(now: RebuildEnvironment) -> RebuildEnvironment:
    changed = now.with_env(**_JOBS).inside(sys.executable, "-c", _ONE_CORE)
    if environment.check_namespaces():
        return changed
    online = now.place / "online"
    online.write_text(_online(), encoding="ascii")
    return changed.inside(*environment.unshare_with_bind_mount(_ONLINE, str(online)))


# --- compiler cache, environment noise ------------------------------------------------------------------------------


def _with_a_cold_cache(now: RebuildEnvironment) -> RebuildEnvironment:
    """What was downloaded stays where it is: nothing of it was compiled."""
    cold = now.place / "cold"
    cold.mkdir()
    for name in ("buildenvs", "debian-headers"):
        kept = warm_cache() / name
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


def _with_noise(now: RebuildEnvironment) -> RebuildEnvironment:
    poison = now.place / "noise" / "setuptools"
    poison.mkdir(parents=True)
    (poison / "__init__.py").write_text("raise SystemExit('PYTHONPATH reached the build')\n", encoding="utf-8")
    return now.with_env(**_NOISE, PYTHONPATH=str(poison.parent))


def _posix() -> str:
    return "" if os.name == "posix" else "POSIX only"


# In the order of their application: what copies the source again stands behind what reorders it, and another user
# comes last, since a process in a user namespace keeps what it was given before.
VARIATIONS = (
    Variation("temporary folder", lambda: "other length, blanks, non-ASCII", _with_another_temporary_folder),
    Variation(
        "file order",
        lambda: "the source's files reversed, built in a tmpfs",
        _in_another_order,
        environment.check_namespaces,
    ),
    Variation("folder", lambda: "of the source and of this suite: other depth, non-ASCII", _in_another_folder),
    Variation("umask", _umask, _with_another_umask, _posix),
    Variation("time zone", lambda: f"TZ={_zone()}", lambda now: now.with_env(TZ=_zone())),
    Variation(
        "locale",
        lambda: f"LC_ALL={_locale()}",
        lambda now: now.with_env(LC_ALL=_locale(), LANG=_locale(), LANGUAGE=_locale()),
    ),
    Variation("hash seed", _seed, lambda now: now.with_env(PYTHONHASHSEED=_seed())),
    Variation(
        "clock",
        lambda: "20 years and a day on (libfaketime)",
        environment.shift_clock,
        environment.check_faketime,
        offline=True,
    ),
    Variation("cores", _how_cores, _on_one_core, _no_cores),
    Variation("Python 3.11", interpreters.how, interpreters.with_another, interpreters.missing, downloads=True),
    Variation("compiler cache", lambda: "cold", _with_a_cold_cache, _posix),
    Variation("noise", lambda: f"{', '.join(list(_NOISE)[:6])} and {len(_NOISE) - 5} more variables", _with_noise),
    Variation("user", _how_user, _as_another_user),
)
