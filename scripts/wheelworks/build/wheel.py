"""Build one wheel: call the project's backend, verify its wheel, add an SBOM, and repack it deterministically."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from packaging.tags import Tag

from wheelworks.build import advice, crossenv, log, sbom, source, verify
from wheelworks.build.backend import Backend, BackendError
from wheelworks.build.context import BuildContext, make_environment
from wheelworks.build.driver import Event
from wheelworks.build.log import Compilation, read_log, summarize_log
from wheelworks.build.plan import BuildTask
from wheelworks.core import targets, wheel
from wheelworks.core.archive import build_archive
from wheelworks.core.binary import SUFFIXES
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import get_cache_folder
from wheelworks.core.manifest import ExtensionRecord, WheelRecord
from wheelworks.core.targets import Abi, Target


@dataclass(frozen=True)
class FinishedWheel:
    """A verified and repacked wheel: its bytes, its record for the manifest, and how it was compiled."""

    data: bytes
    record: WheelRecord
    compilation: Compilation


def build_wheel(
    context: BuildContext, task: BuildTask, target: Target, abi: Abi, family: tuple[Target, ...]
) -> FinishedWheel | None:
    """Build the wheel of ``target``, which serves all of ``family`` if it uses no libc.

    Returns None if it serves none of the task's targets. Raises WheelworksError with the target and what failed.
    """
    folder, log_file = crossenv.build_folder(target, abi, context.work), crossenv.log_path(target, abi, context.work)
    variables = crossenv.prepare_build(context, target, abi, task.settings, task.prefixes)
    backend = Backend(folder / "source", context.environment, variables, task.settings.config_settings())
    try:
        made = backend.make("wheel", folder / "wheel")
    except BackendError as error:
        raise _explain_failure(context, target, read_log(log_file), str(error)) from error
    events = read_log(log_file)
    _check_events(context, target, events, made)
    compilation = summarize_log(events)
    # What a project has learned of one libc needn't hold for the other.
    serves = family if compilation.freestanding and not compilation.tests_libc else (target,)
    if not set(serves) & set(task.targets):
        return None
    return _finish(context, made, target, abi, serves, compilation)


def _check_events(context: BuildContext, target: Target, events: Sequence[Event], made: Path) -> None:
    """Check that a backend that succeeded left nothing out. Raises WheelworksError that names the cause."""
    if refused := log.find_refused_program(events):
        raise _explain_refusal(target, refused)
    if failure := log.find_own_failure(events, context.source.tree):
        raise _explain_step(context, target, events, failure)
    declared = log.list_declared_modules(events)
    if missing := verify.find_missing_modules(wheel.open_wheel(made).members, declared, context.allowed_missing):
        lacks = f"the wheel lacks {', '.join(missing)}, which the project declares"
        error = _explain_failure(context, target, events, "no step of the compiler failed", missing)
        hint = f"if this platform's wheel is published without it: --allow-missing {missing[0]}"
        message = f"{target.id}: {lacks}: {error.message.removeprefix(f'{target.id}: ')}"
        raise WheelworksError(message, "; ".join(filter(None, (error.hint, hint))))


def _explain_failure(
    context: BuildContext, target: Target, events: Sequence[Event], otherwise: str, missing: Sequence[str] = ()
) -> WheelworksError:
    """Return the error of a failed build: the step that failed, or ``otherwise`` where none explains it."""
    if refused := log.find_refused_program(events):
        return _explain_refusal(target, refused)
    declared = log.list_declared_modules(events)
    modules = {name: sources for name, sources in declared.items() if not missing or name in missing}
    if cause := log.find_cause(events, modules):
        return _explain_step(context, target, events, cause)
    return WheelworksError(f"{target.id}: {otherwise}", advice.advise_on_backend(otherwise, target))


def _explain_step(context: BuildContext, target: Target, events: Sequence[Event], failure: Event) -> WheelworksError:
    file = log.find_missing_file(failure, context.folder, context.source.tree)
    in_folder = f"{file} is in the project's folder but not in its sdist: add `include {file}` to MANIFEST.in"
    hint = in_folder if file else advice.advise(failure, target, context.source.tree)
    return WheelworksError(f"{target.id}: {log.describe_failure(failure, events)}", hint)


def _explain_refusal(target: Target, refused: str) -> WheelworksError:
    hint = "see whether the project's build takes the answer from a variable (--env NAME=VALUE)"
    return WheelworksError(f"{target.id}: {refused}", hint)


def _finish(
    context: BuildContext, path: Path, target: Target, abi: Abi, serves: Sequence[Target], compilation: Compilation
) -> FinishedWheel:
    made = wheel.open_wheel(path)
    verify.check_platform(made.name, target, context.source.tree)
    verify.check_abi(made.name, target, abi)
    natives = verify.check_native_files(made.members, target)
    verify.check_stable_abi(natives, made.name, target)
    verify.check_timestamps(natives, context.source.epoch, target)
    folders = (str(context.work), str(get_cache_folder()), str(Path.home() / ".cache"))
    verify.check_host_paths(made.members, folders, target)
    platforms = [platform for target in serves for platform in target.tags]
    tags = frozenset(Tag(tag.interpreter, tag.abi, platform) for tag in made.name.tags for platform in platforms)
    # An extension whose name has one libc's SOABI isn't found by a CPython of the other libc.
    suffix = f".{crossenv.format_soabi(target, abi)}.so"
    names = {file: file for file in made.members}
    if len(serves) > 1:
        names |= {file: file.removesuffix(suffix) + ".so" for file in names if file.endswith(suffix)}
    data = _repack(context, made, tags, names, compilation.libraries)
    record = replace(
        describe_wheel(wheel.format_wheel_name(made.name, tags), data, serves),
        link="freestanding" if compilation.freestanding else "libc",
        libc_calls=list(compilation.calls),
        extensions=[_describe_native_file(native, names[native.member]) for native in natives],
    )
    return FinishedWheel(data, record, compilation)


def _repack(
    context: BuildContext,
    made: wheel.Wheel,
    tags: frozenset[Tag],
    names: Mapping[str, str],
    libraries: Sequence[str] = (),
) -> bytes:
    """Return a wheel's bytes with other tags and file names, with its SBOM, and with the source's time."""
    info = wheel.find_dist_info(made.members, made.path.name)
    members = {names[file]: member for file, member in made.members.items()}
    members |= sbom.make_member(context, made.name, info, libraries)
    return build_archive(wheel.replace_record(wheel.replace_tags(members, tags, info), info), context.source.epoch)


def describe_wheel(file: str, data: bytes, serves: Iterable[Target]) -> WheelRecord:
    """Return the manifest's record of any wheel, with the facts that don't depend on its builder."""
    name = wheel.parse_wheel_name(file)
    return WheelRecord(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        tags=sorted(map(str, name.tags)),
        targets=[target.id for target in serves],
        abi=name.abi,
        link="unknown",
        libc_calls=[],
        extensions=[],
    )


def _describe_native_file(native: verify.NativeFile, file: str) -> ExtensionRecord:
    return ExtensionRecord(
        file=file,
        format=native.binary.format,
        machine=native.binary.machine,
        minimum=native.binary.minimum,
        imports={library: list(symbols) for library, symbols in native.binary.imports.items()},
        exports=list(native.binary.exports),
    )


def build_pure_wheel(context: BuildContext) -> FinishedWheel:
    """Build the wheel without an extension, with the variables that the project declares for it.

    Raises WheelworksError if it declares none, or if the wheel isn't pure.
    """
    variables, folder = source.read_pure_variables(context.source.tree), context.work / "pure"
    if variables is None:
        message = f"{context.source.name}: its pyproject.toml doesn't say how to build it without its extension"
        raise WheelworksError(message, source.PURE_HINT)
    shutil.copytree(context.source.tree, folder / "source")
    settings = make_environment(os.environ, folder, context.source.epoch, {**context.variables, **variables})
    try:
        path = Backend(folder / "source", context.environment, settings).make("wheel", folder / "wheel")
    except BackendError as error:
        raise WheelworksError(f"{targets.PURE}: {error}") from error
    made = wheel.open_wheel(path)
    natives = [file for file in made.members if file.endswith(SUFFIXES)]
    if natives or made.name.platforms != {"any"} or made.name.abi != targets.PURE.removesuffix("-any"):
        raise WheelworksError(f"{targets.PURE}: the project builds {', '.join([path.name, *natives])}")
    data = _repack(context, made, made.name.tags, {file: file for file in made.members})
    record = replace(describe_wheel(wheel.format_wheel_name(made.name, made.name.tags), data, ()), link="none")
    return FinishedWheel(data, record, summarize_log([]))
