"""Refuse to run programs that were compiled for the target: a test's result would be this machine's, or nonsense."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import Any

_SIZE_OF_HEADER = 4096  # of an executable: up to the machine in PE's header


def read_machine(path: str) -> tuple[bytes, ...] | None:
    """Return what an executable's header says of its system and CPU; None for a script, and for no file.

    The formats are ELF's (System V ABI), PE's, and that of <mach-o/loader.h>.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_SIZE_OF_HEADER)
    except OSError:
        return None
    if head.startswith(b"\x7fELF"):
        return b"ELF", head[4:6], head[18:20]
    if head.startswith(b"MZ"):
        start = int.from_bytes(head[0x3C:0x40], "little")
        return b"PE", head[start + 4 : start + 6]
    return (b"Mach-O", head[4:8]) if head.startswith(b"\xcf\xfa\xed\xfe") else None


def install(record: Any, target: str) -> None:
    """Install the audit hook (PEP 578); ``record`` logs the program that was refused."""
    own = read_machine(os.path.realpath(sys.executable))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        for program, folder in list_started(event, arguments):
            path = find_program(program, folder)
            machine = path and read_machine(path)
            if machine and machine != own:
                message = f"a program that was compiled for {target} can't be run on this machine: {path}"
                record(step="run", file=path, exit=1, error=message)
                raise RuntimeError(message)

    sys.addaudithook(hook)


def list_started(event: str, arguments: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """Return the programs that an audit event starts, each with its folder, or "" for this process's."""
    if event == "subprocess.Popen":
        program, words, folder, _ = arguments
        is_shell = isinstance(words, (list, tuple)) and len(words) > 2 and words[1] == "-c"
        inner = list_programs(words[2]) if is_shell else []
        base = os.fsdecode(folder or "")
        return [(program, base), *((name, os.path.join(base, changed)) for name, changed in inner)]
    if event in ("os.exec", "os.posix_spawn"):
        return [(arguments[0], "")]
    if event == "os.spawn":
        return [(arguments[1], "")]
    return list(list_programs(arguments[0])) if event == "os.system" else []


def list_programs(command: Any) -> list[tuple[str, str]]:
    """Return the programs that a shell's command line starts, each with the folder that it changes to before ("")."""
    try:
        lexer = shlex.shlex(os.fsdecode(command), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except (TypeError, ValueError):
        return []
    found, folder, starts = list[tuple[str, str]](), "", True
    for word, following in zip(words, [*words[1:], ""]):  # noqa: B905  # they have one length
        if set(word) <= set(";&|()"):
            starts = True
        elif starts and "=" not in word:
            starts = False
            if word == "cd":
                folder = os.path.join(folder, following)
            found.append((word, folder))
    return found


def find_program(program: Any, folder: Any) -> str:
    """Return the path of the program that would be started in a folder; "" if there is none."""
    try:
        name = os.fsdecode(program)
    except TypeError:
        return ""
    if os.sep not in name:
        name = shutil.which(name) or name
    return os.path.join(os.fsdecode(folder or ""), name) if name else ""
