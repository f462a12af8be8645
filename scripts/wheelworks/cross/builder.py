"""Build one source for many targets: the order of things, and nothing else."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.tags import Tag

from wheelworks import cache, manifest, wheelfile
from wheelworks.cross import buildenv, environment, pythons, report, source, sysconfigdata, verify
from wheelworks.cross.backend import Backend, BackendError, last_lines
from wheelworks.cross.settings import Settings
from wheelworks.cross.source import Source
from wheelworks.errors import WheelworksError
from wheelworks.targets import Target, family_of

_SHIM = Path(__file__).with_name("shim")
_DRIVER = """\
import sys
sys.path.insert(0, {scripts!r})
from wheelworks.cross.driver import main
sys.exit(main({settings!r}, {language!r}, sys.argv[1:]))
"""


@dataclass(frozen=True)
class Built:
    """A wheel that was built, verified and written: its file, and what the manifest keeps of it."""

    file: Path
    record: manifest.Record
    seconds: float
    compilation: report.Compilation


@dataclass(frozen=True)
class Failed:
    """A target without a wheel, and why."""

    target: Target
    error: WheelworksError


Outcome = Built | Failed


@dataclass(frozen=True)
class Workshop:
    """What all targets of one run share.

    ``work`` is a temporary folder, ``out`` receives the wheels, ``extra`` are the variables passed on purpose.
    """

    source: Source
    python: pythons.BuildPython
    headers: Path
    headers_sha256: str
    environment: buildenv.BuildEnvironment
    work: Path
    out: Path
    extra: Mapping[str, str]

    def toolchain(self) -> manifest.Record:
        """The versions that decide a wheel's bytes."""
        return {
            "wheelworks": importlib.metadata.version("wheelworks") if _installed("wheelworks") else "checkout",
            "ziglang": importlib.metadata.version("ziglang"),
            "deflate": importlib.metadata.version("deflate"),
            "python": ".".join(self.python.version.split(".")[:2]),
            "headers_sha256": self.headers_sha256,
            "build_requirements": self.environment.versions,
        }


def _installed(name: str) -> bool:
    return bool(importlib.metadata.packages_distributions().get(name))


def prepare(
    path: Path, work: Path, out: Path, extra: Mapping[str, str], chosen_python: str, say: Callable[[str], None]
) -> Workshop:
    """Everything that comes before the first target: the floor's Python, the source's tree, its build environment."""
    kind = source.check(path)
    python = pythons.find(chosen=chosen_python)
    headers, digest = pythons.target_headers(python)
    if kind == "sdist":
        found = source.from_sdist(path, work / "unpacked")
        env = _environment(found.tree, python, environment.hermetic(os.environ, work, found.epoch, extra), say)
    else:
        say(f"making the sdist of {path.name}")
        found, env = _from_directory(path, python, work, extra, say)
    return Workshop(found, python, headers, digest, env, work, out, extra)


def _from_directory(
    path: Path, python: pythons.BuildPython, work: Path, extra: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Source, buildenv.BuildEnvironment]:
    """A folder goes through its sdist, so that its wheels are those that the sdist gives to everybody else."""
    folder = path.resolve()
    epoch = source.epoch_of_directory(folder)
    commit, dirty, _ = source.commit_of(folder)
    variables = environment.hermetic(os.environ, work, epoch, extra)
    copy = source.copy_of_directory(folder, work / "copy" / "source")
    env = _environment(copy, python, variables, say)
    backend = Backend(copy, env, variables)
    try:
        archive = backend.make("sdist", work / "sdist")
    except BackendError as error:
        raise WheelworksError(f"{path}: its sdist can't be made: {error}\n{last_lines(error.output)}") from error
    unpacked = source.from_sdist(archive, work / "unpacked")
    return replace(
        unpacked, label=folder.name, kind="directory", epoch=epoch, commit=commit, dirty=dirty, archive_sha256=""
    ), env


def _environment(
    tree: Path, python: pythons.BuildPython, variables: Mapping[str, str], say: Callable[[str], None]
) -> buildenv.BuildEnvironment:
    words = source.build_requirements(tree)
    env = buildenv.ensure(python, buildenv.requirements(words), say)
    backend = Backend(tree, env, variables)
    try:
        more = backend.requires("wheel") | backend.requires("sdist")
    except BackendError as error:
        raise WheelworksError(f"{tree.name}: {error}\n{last_lines(error.output)}") from error
    if more <= set(words):
        return env
    return buildenv.ensure(python, buildenv.requirements([*words, *sorted(more)]), say)


def log_of(target: Target, work: Path) -> Path:
    """Where a target's compilers log."""
    return work / target.id / "compiler.log"


def build(shop: Workshop, targets: Sequence[Target], done: Callable[[Outcome], None]) -> list[Outcome]:
    """Build ``targets``, families side by side on this machine's cores; ``done`` hears of each wheel as it is written."""
    families: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        families.setdefault(target.family, []).append(target)

    def one(rows: list[Target]) -> list[Outcome]:
        outcomes = _family(shop, rows)
        for outcome in outcomes:
            done(outcome)
        return outcomes

    with ThreadPoolExecutor(max_workers=_cores()) as pool:
        return [outcome for outcomes in pool.map(one, families.values()) for outcome in outcomes]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _family(shop: Workshop, rows: Sequence[Target]) -> list[Outcome]:
    """The wheels of targets that share system and CPU: one where the binary calls no libc, else one for each libc."""
    family = family_of(rows[0])
    first = _attempt(shop, family[0], family)
    if isinstance(first, Failed) or len(first.record["targets"]) == len(family):
        return [first]
    rest = [_attempt(shop, row, (row,)) for row in rows if row is not family[0]]
    return [first, *rest] if family[0] in rows else rest


def _attempt(shop: Workshop, target: Target, family: Sequence[Target]) -> Outcome:
    try:
        return _wheel(shop, target, family)
    except WheelworksError as error:
        return Failed(target, error)
    except OSError as error:
        return Failed(target, WheelworksError(f"{target.id}: {error.strerror}: {error.filename or shop.work}"))


def _wheel(shop: Workshop, target: Target, family: Sequence[Target]) -> Built:
    start = time.perf_counter()
    place = shop.work / target.id
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    backend = Backend(tree, shop.environment, _variables(shop, target, place))
    try:
        made = backend.make("wheel", place / "wheel")
    except BackendError as error:
        why = report.failure(report.read(log_of(target, shop.work))) or f"{error}\n{last_lines(error.output)}"
        raise WheelworksError(f"{target.id}: {why}") from error
    events = report.read(log_of(target, shop.work))
    if why := report.failure([event for event in events if _is_the_sources(event, shop.source.tree)]):
        raise WheelworksError(f"{target.id}: {why}")
    compilation = report.summary(events)
    tags_of = family if compilation.freestanding else (target,)
    return _finish(shop, target, made, tags_of, compilation, start)


def _is_the_sources(event: report.Event, tree: Path) -> bool:
    """Whether an event is about a file of the project; what isn't is a probe, which may fail."""
    return event["step"] == "link" or (tree / str(event["file"])).exists()


def _finish(
    shop: Workshop,
    target: Target,
    made: Path,
    tags_of: Sequence[Target],
    compilation: report.Compilation,
    start: float,
) -> Built:
    """Verify what the backend made, normalise it, and write it to its place."""
    members = wheelfile.read(made)
    name = wheelfile.parse_name(made.name)
    _check_platform(name, target)
    found = verify.extensions(members, target)
    verify.stable_abi(found, name, target)
    verify.file_time(found, shop.source.epoch, target)
    verify.no_host_path(members, (str(shop.work), str(cache.folder()), str(Path.home() / ".cache")), target)
    tags = frozenset(
        Tag(tag.interpreter, tag.abi, platform) for tag in name.tags for row in tags_of for platform in row.tags
    )
    info = wheelfile.dist_info(members, made.name)
    finished = wheelfile.with_record(wheelfile.with_tags(members, tags, info), info)
    data = wheelfile.archive(finished, shop.source.epoch)
    path = manifest.write(shop.out / wheelfile.file_name(name, tags), data)
    record = _record(path.name, data, tags, tags_of, name, compilation, found)
    return Built(path, record, time.perf_counter() - start, compilation)


def _check_platform(name: wheelfile.Name, target: Target) -> None:
    wanted = target.platform.replace("-", "_").replace(".", "_")
    if name.platforms == {"any"}:
        raise WheelworksError(
            f"{target.id}: the project builds a wheel for any platform: it has no extension module",
            "a wheel of pure Python needs no cross-building",
        )
    if name.platforms != {wanted}:
        raise WheelworksError(
            f"{target.id}: the build backend made a wheel for {', '.join(sorted(name.platforms))}, not {wanted}",
            "it ignores the target's sysconfig",
        )


def _record(
    file: str,
    data: bytes,
    tags: Iterable[Tag],
    tags_of: Sequence[Target],
    name: wheelfile.Name,
    compilation: report.Compilation,
    found: Sequence[verify.Extension],
) -> manifest.Record:
    return {
        "file": file,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "tags": sorted(map(str, tags)),
        "targets": [row.id for row in tags_of],
        "abi": name.abi,
        "link": "freestanding" if compilation.freestanding else "libc",
        "libc_calls": list(compilation.calls),
        "extensions": [
            {
                "file": one.member,
                "format": one.binary.format,
                "machine": one.binary.machine,
                "minimum": one.binary.minimum,
                "imports": {library: list(symbols) for library, symbols in one.binary.imports.items()},
                "exports": list(one.binary.exports),
            }
            for one in found
        ],
    }


def _variables(shop: Workshop, target: Target, place: Path) -> dict[str, str]:
    """The environment in which the backend sees ``target``; writes the files that it points to."""
    settings = _settings(shop, target, place)
    settings.write(place / "settings.json")
    tools = sysconfigdata.Tools(
        *(_driver(place, language) for language in ("cc", "c++")), settings.zig
    )
    variables = sysconfigdata.build_time_vars(target, shop.python.nodot, settings.include, tools)
    doors = place / "doors"
    doors.mkdir()
    shutil.copyfile(_SHIM / "sitecustomize.py", doors / "sitecustomize.py")
    (doors / f"{sysconfigdata.MODULE}.py").write_text(f"build_time_vars = {variables!r}\n", encoding="utf-8")
    shim = {
        "source": str(place / "source"),
        "suffixes": sysconfigdata.suffixes(target, shop.python.nodot),
        "variables": variables,
        "platform": target.platform,
        "view": sysconfigdata.view(target),
    }
    (doors / "shim.json").write_text(json.dumps(shim), encoding="utf-8")
    (doors / "distutils.cfg").write_text("[build_ext]\ncompiler = unix\n[build_clib]\ncompiler = unix\n", encoding="utf-8")
    return {
        **environment.hermetic(os.environ, place, shop.source.epoch, shop.extra),
        "PYTHONPATH": str(doors),
        "_PYTHON_SYSCONFIGDATA_NAME": sysconfigdata.MODULE,
        "_PYTHON_HOST_PLATFORM": target.platform,
        "WHEELWORKS_SHIM": str(doors / "shim.json"),
        "DIST_EXTRA_CONFIG": str(doors / "distutils.cfg"),
        "ZIG_GLOBAL_CACHE_DIR": str(_zig_cache()),
        "ZIG_LOCAL_CACHE_DIR": str(place / "zig"),
        "CC": tools.cc,
        "CXX": tools.cxx,
        "AR": tools.ar,
    }


def _driver(place: Path, language: str) -> list[str]:
    program = place / ("cxx.py" if language == "c++" else "cc.py")
    scripts = str(Path(__file__).parents[2])
    settings = str(place / "settings.json")
    program.write_text(_DRIVER.format(scripts=scripts, settings=settings, language=language), encoding="utf-8")
    return [sys.executable, "-I", str(program)]


def _settings(shop: Workshop, target: Target, place: Path) -> Settings:
    tree = place / "source"
    return Settings(
        target=target.id,
        os=target.os,
        cpu=target.cpu,
        compiler=target.compiler,
        minimum=target.minimum,
        python=shop.python.nodot,
        zig=zig(),
        include=str(shop.headers),
        source=str(tree),
        allowed=(str(tree), str(place / "tmp"), str(shop.environment.folder), str(shop.headers)),
        work=str(place),
        log=str(log_of(target, shop.work)),
        warm=str(_zig_cache() / f"linked-{target.compiler}"),
    )


def _zig_cache() -> Path:
    return cache.folder() / f"zig-{importlib.metadata.version('ziglang')}"


def zig() -> str:
    """The compiler's program, out of the ``ziglang`` package."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise WheelworksError("the compiler isn't installed", "run this through nox, or: pip install ziglang")
    return str(Path(spec.submodule_search_locations[0], "zig.exe" if os.name == "nt" else "zig"))
