"""The objects of earlier compilations: one is used again where the preprocessed source and the options are the same.

zig's own cache takes a copied source for a new one, and each build has a copy of the tree. The preprocessed source has
everything that clang reads, with SOURCE_DATE_EPOCH's date, so that the key has no list of files that could be
incomplete. The paths of the build's folder are left out of it: what is built doesn't depend on them, which `reproduce`
shows. The compiler driver imports this module for each source file, so that it must stay light to import.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from wheelworks.build.arguments import DriverSettings, Invocation

Ended = tuple[int, str]  # a program's exit status, and what it wrote to standard error

_KEPT_BYTES = 500_000_000
_KEPT_SECONDS = 14 * 24 * 3600

# Options with which the compiler reads files that the preprocessed source doesn't have, or writes further ones.
_MORE_FILES = re.compile(
    r"-M.*|-S|-E|-x|-save-temps.*|-gsplit-dwarf.*|-fprofile.*|-fcoverage.*|--coverage|-f(no-)?modules?.*|-include-pch"
    r"|-fsanitize-(ignore|black)list.*|-fplugin.*|-fpass-plugin.*|-Xclang|-f(no-)?(save|record)-.*|-ftime-trace.*"
    r"|-emit-.*|--config.*|-W[ap],.*|-fdump.*|-fopt-.*|-serialize-diagnostics.*|@.*|.*(spec|list|file|vfs)[^=]*=.*"
)
# Inline assembler that reads a file when it is assembled.
_READS_FILE = re.compile(rb"\.(incbin|include)\b")
_ASSEMBLER = (".s", ".S")
# Variables that name this build's folders or its processes, or that the preprocessed source contains (the date);
# any other may be one that clang reads.
_IGNORED_VARIABLES = re.compile(
    r"_|PWD|OLDPWD|SHLVL|PATH|.*PYTHON.*|_?PYPROJECT.*|PEP517.*|ZIG_\w+_CACHE_DIR|WHEELWORKS_.*|SOURCE_DATE_EPOCH"
)


def is_cacheable(parsed: Invocation) -> bool:
    """Return whether a compilation reads and writes nothing beside its preprocessed source and its object."""
    plain = len(parsed.sources) == 1 and "-c" in parsed.flags and parsed.output not in ("", "-")
    return plain and not parsed.sources[0].endswith(_ASSEMBLER) and not any(map(_MORE_FILES.fullmatch, parsed.flags))


def make_preprocessing(parsed: Invocation) -> Invocation:
    """Return the invocation that writes a compilation's preprocessed source to standard output."""
    return replace(parsed, flags=[*(flag for flag in parsed.flags if flag != "-c"), "-E"], output="")


def compile_once(
    execute: Callable[[list[str]], Ended],
    preprocess: Sequence[str],
    parsed: Invocation,
    settings: DriverSettings,
    command: list[str],
) -> Ended:
    """Take a compilation's object from the cache, or ``execute`` its ``command`` and save it.

    ``preprocess`` is the command of `make_preprocessing`.
    """
    entry = find_entry(preprocess, parsed, settings)
    if entry and (warnings := load_object(entry, parsed.output)) is not None:
        return 0, warnings
    status, errors = execute(command)
    if entry and not status:
        save_object(entry, parsed.output, errors)
    return status, errors


def find_entry(preprocess: Sequence[str], parsed: Invocation, settings: DriverSettings) -> Path | None:
    """Return the file, which needn't exist, for the object of a compilation; None where it can't be cached."""
    if not settings.objects or not is_cacheable(parsed):
        return None
    ended = subprocess.run(preprocess, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if ended.returncode or _READS_FILE.search(ended.stdout):
        return None  # the compilation shows the error
    return Path(settings.objects, _compute_key(preprocess, ended.stdout, os.environ, settings))


def _compute_key(command: Sequence[str], text: bytes, variables: Mapping[str, str], settings: DriverSettings) -> str:
    kept = {name: value for name, value in variables.items() if not _IGNORED_VARIABLES.fullmatch(name)}
    stated = json.dumps([settings.compiler_version, list(command[1:]), kept], sort_keys=True)
    whole = stated.encode() + b"\0" + text
    return hashlib.sha256(whole.replace(os.fsencode(settings.work), b".")).hexdigest()


def load_object(entry: Path, output: str) -> str | None:
    """Write the object of an entry to ``output``; return the compiler's warnings, None where there is no entry.

    A damaged entry is as none.
    """
    try:
        head, _, data = entry.read_bytes().partition(b"\n")
        stated = json.loads(head)
        if stated["sha256"] != hashlib.sha256(data).hexdigest():
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    Path(output).write_bytes(data)
    with suppress(OSError):  # another process may have removed it
        os.utime(entry)
    return str(stated["warnings"])


def save_object(entry: Path, output: str, warnings: str) -> None:
    """Save a compilation's object, and the compiler's warnings, for `load_object`."""
    data = Path(output).read_bytes()
    head = json.dumps({"sha256": hashlib.sha256(data).hexdigest(), "warnings": warnings})
    fresh = entry.with_name(f".{entry.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that can't be written, or a full disk, is no failure of the build
        fresh.write_bytes(head.encode() + b"\n" + data)
        os.replace(fresh, entry)


def remove_old_objects(folder: Path) -> None:
    """Remove the entries that no build has used for two weeks, and the oldest beyond half a gigabyte."""
    found, total, now = [], 0, time.time()
    for path in folder.iterdir():
        with suppress(OSError):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    for used, size, path in sorted(found, reverse=True):
        total += size
        if total > _KEPT_BYTES or now - used > _KEPT_SECONDS:
            with suppress(OSError):  # gone already, or being read, which Windows protects
                path.unlink()
