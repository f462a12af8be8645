"""Translate a source's requests for CPU features from GCC's form into clang's, in a copy of the file.

GCC compiles the functions after ``#pragma GCC target ("+crc")`` with that feature, up to the end of the file or
``#pragma GCC pop_options`` ("Function Specific Option Pragmas" of its manual). clang ignores the pragma, so that an
intrinsic of the feature is an error. Its own form is ``#pragma clang attribute``. A feature for the whole file would be
wrong: its other functions run on any CPU, and choose.

On x86, GCC's ``target("sse4.2")`` includes crc32 and popcnt, and ``target("avx")`` xsave. clang has them as features of
their own, which zig turns off by name, so that they must be named.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_PRAGMA = re.compile(
    rb"^[ \t]*#[ \t]*pragma[ \t]+GCC[ \t]+(?P<what>target|push_options|pop_options|reset_options)\b(?P<rest>[^\r\n]*)",
    re.MULTILINE,
)
_ATTRIBUTE = re.compile(
    rb"(?P<start>(?:__attribute__\s*\(\s*\(\s*(?:[^()\"]*,\s*)?(?:__)?|\bgnu\s*::\s*)target(?:__)?\s*\(\s*\")"
    rb"(?P<features>[^\"\n]*)\""
)
_PUSH, _POP = b"#pragma clang attribute push", b"#pragma clang attribute pop"
_STRING = re.compile(rb'"([^"]*)"')
# What a feature of x86 includes for GCC (gcc/common/config/i386/i386-common.cc) but not for clang.
_INCLUDED = (
    (re.compile(rb"(?:^|,)\s*(?:sse4\.2|sse4|avx)"), (b"crc32", b"popcnt")),
    (re.compile(rb"(?:^|,)\s*avx"), (b"xsave",)),
)


def write_translation(source: str, cpu: str, into: Path) -> str:
    """Write a file's translation into the folder ``into``, for a target's ``cpu``; return the path of what to compile.

    That is ``source`` itself if it requests nothing that has to be translated, or can't be read.
    """
    try:
        text = b"" if source.endswith((".s", ".S")) else Path(source).read_bytes()
    except OSError:  # the compiler reports it
        return source
    translated = translate(text, source, cpu) if b"target" in text else text
    if translated == text:
        return source
    # One folder for each source's own, so that sources with the same name don't meet.
    made = into.joinpath(*Path(os.path.abspath(source)).parts[1:])
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_bytes(translated)
    return str(made)


def translate(text: bytes, source: str, cpu: str) -> bytes:
    """Return a source's text with its requests in clang's form; its lines and ``__FILE__`` stay those of ``source``.

    With a pragma the whole file becomes one scope, which clang wants closed at its end.
    """
    body = text
    if cpu in ("x86", "x86_64"):
        body = _ATTRIBUTE.sub(lambda found: found["start"] + _complete(found["features"], cpu) + b'"', body)
    before, after = [], []
    if any(found["what"] == b"target" for found in _PRAGMA.finditer(body)):
        body = _PRAGMA.sub(lambda found: _translate_pragma(found["what"], found["rest"], cpu) or found[0], body)
        before, after = [_PUSH], [_POP, b""]
    if body == text:
        return text
    name = source.replace("\\", "/").replace('"', '\\"').encode()
    return b"\n".join([*before, b'#line 1 "%s"' % name, body, *after])


def _translate_pragma(what: bytes, rest: bytes, cpu: str) -> bytes:
    """Return clang's pragma for one of GCC's, on one line; empty for a target without features."""
    if what == b"target":
        features = _complete(b",".join(_STRING.findall(rest)), cpu)
        form = b'#pragma clang attribute (__attribute__((target("%s"))), apply_to=function)'
        return form % features if features else b""
    pragmas = {b"push_options": b"push", b"pop_options": b"pop"}
    if what in pragmas:
        return b"#pragma clang attribute " + pragmas[what]
    return b'_Pragma("clang attribute pop") _Pragma("clang attribute push")'


def _complete(features: bytes, cpu: str) -> bytes:
    """Return features with those that they include for GCC; on x86 only."""
    if cpu not in ("x86", "x86_64"):
        return features
    added = [more for pattern, names in _INCLUDED if pattern.search(features) for more in names]
    named = {word.strip().removeprefix(b"no-") for word in features.split(b",")}
    return b",".join([features, *(more for more in added if more not in named)])
