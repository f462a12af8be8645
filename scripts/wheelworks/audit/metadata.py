"""Checks of ``.dist-info``: METADATA, WHEEL, licences, SBOMs and entry points, as the PyPA specifications have them."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from packaging import errors
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelworks.audit.finding import Finding, printable, some
from wheelworks.audit.subject import Wheel

_LICENCE = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
_OBJECT = re.compile(r"[\w.]+(\s*:\s*[\w.]+)?(\s*\[[^\]]*\])?")


def metadata(wheel: Wheel) -> Iterator[Finding]:
    """W017, W018."""
    place = f"{wheel.info}/METADATA"
    text = wheel.texts.get(place)
    if text is None:
        yield Finding("W017", f"there is no {place}")
        return
    yield from judged(text, place, wheel.name.distribution, wheel.name.version)
    folder = wheel.info.removesuffix(".dist-info").rpartition("-")
    if not same(folder[0], folder[2], wheel.name.distribution, wheel.name.version):
        yield Finding("W018", f"the folder is {printable(wheel.info)}", wheel.info)


def judged(text: bytes, place: str, distribution: str, version: str) -> Iterator[Finding]:
    """W017, W018, W027: core metadata, and whether it is of that project and version."""
    try:
        found = Metadata.from_email(text, validate=True)
    except (errors.ExceptionGroup, ValueError, TypeError) as error:
        problems = [str(one) for one in getattr(error, "exceptions", [error])]
        newer = [one for one in problems if "introduced in metadata version" in one]
        for code, texts in (("W027", newer), ("W017", [one for one in problems if one not in newer])):
            if texts:
                yield Finding(code, printable("; ".join(texts)), place)
        return
    named = f"{found.name} {found.version}"
    if not same(found.name, str(found.version), distribution, version):
        yield Finding("W018", f"{place.rsplit('/', 1)[-1]} is of {printable(named)}", place)


def same(name: str, version: str, other: str, other_version: str) -> bool:
    """Whether two names and versions are those of one release, however they are written."""
    try:
        return canonicalize_name(name) == canonicalize_name(other) and Version(version) == Version(other_version)
    except InvalidVersion:
        return False


def wheel_file(wheel: Wheel) -> Iterator[Finding]:
    """W019, W020."""
    place = f"{wheel.info}/WHEEL"
    text = wheel.texts.get(place)
    if text is None:
        yield Finding("W020", f"there is no {place}")
        return
    fields = BytesParser(policy=compat32).parsebytes(text, headersonly=True)
    version = str(fields.get("Wheel-Version", ""))
    if not re.fullmatch(r"1\.\d+", version):
        yield Finding("W020", f"Wheel-Version is {printable(version) or 'missing'}", place)
    purelib = str(fields.get("Root-Is-Purelib", "")).casefold()
    native = any(not member.endswith(".exe") for member, _ in wheel.natives)
    if purelib not in ("true", "false") or (purelib == "true" and native and not wheel.is_pure):
        yield Finding("W020", f"Root-Is-Purelib is {printable(purelib) or 'missing'}", place)
    stated, named = {str(tag) for tag in fields.get_all("Tag", [])}, {str(tag) for tag in wheel.tags}
    if stated != named:
        only = f"WHEEL alone has {some(map(printable, stated - named)) or 'none'}"
        yield Finding("W019", f"{only}; the file's name alone has {some(named - stated) or 'none'}", place)


def licences(wheel: Wheel) -> Iterator[Finding]:
    """W021, W022."""
    for stated in licence_files(wheel.texts.get(f"{wheel.info}/METADATA", b"")):
        places = {f"{wheel.info}/licenses/{stated}", f"{wheel.info}/license_files/{stated}", f"{wheel.info}/{stated}"}
        flat = f"{wheel.info}/{stated.rsplit('/', 1)[-1]}"  # where setuptools put them before PEP 639
        if not (places | {flat}) & wheel.names:
            yield Finding("W021", f"METADATA names {printable(stated)}", wheel.info)
    yield from no_licence(wheel.names)


def licence_files(text: bytes) -> list[str]:
    """The licence files that core metadata names."""
    return _all(BytesParser(policy=compat32).parsebytes(text, headersonly=True), "License-File")


def no_licence(names: Iterable[str]) -> Iterator[Finding]:
    """W022."""
    if not any(_LICENCE.search(name.rsplit("/", 1)[-1]) for name in names):
        yield Finding("W022", "no file's name has license, licence, copying, notice or authors in it")


def sboms(wheel: Wheel) -> Iterator[Finding]:
    """W023."""
    for name, text in wheel.texts.items():
        if not name.startswith(f"{wheel.info}/sboms/"):
            continue
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Finding("W023", f"no JSON: {printable(str(error))}", printable(name))
            continue
        if not isinstance(found, dict) or not ("bomFormat" in found or "spdxVersion" in found or "@context" in found):
            yield Finding("W023", "neither bomFormat (CycloneDX) nor spdxVersion or @context (SPDX)", printable(name))


def entry_points(wheel: Wheel) -> Iterator[Finding]:
    """W025."""
    place = f"{wheel.info}/entry_points.txt"
    if place not in wheel.texts:
        return
    parser = configparser.ConfigParser(delimiters=("=",), strict=True, interpolation=None)
    try:
        parser.read_string(wheel.texts[place].decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        yield Finding("W025", printable(str(error)), place)
        return
    for section in parser.sections():
        for name, value in parser.items(section):
            if not _OBJECT.fullmatch(value.strip()):
                yield Finding("W025", f"[{printable(section)}] {printable(name)} = {printable(value)}", place)


def unknown_platforms(wheel: Wheel) -> Iterator[Finding]:
    """W026."""
    known = {platform.tag for platform in wheel.platforms}
    if unknown := wheel.name.platforms - known - {"any"}:
        yield Finding("W026", some(map(printable, unknown)))


def requires(wheel: Wheel) -> tuple[str, ...]:
    """The run-time requirements that METADATA states, as they stand there; those of extras too."""
    fields = BytesParser(policy=compat32).parsebytes(wheel.texts.get(f"{wheel.info}/METADATA", b""), headersonly=True)
    return tuple(str(one) for one in fields.get_all("Requires-Dist", []))


def pythons(wheel: Wheel) -> tuple[tuple[int, int], ...]:
    """The versions of Python that METADATA's classifiers name."""
    fields = BytesParser(policy=compat32).parsebytes(wheel.texts.get(f"{wheel.info}/METADATA", b""), headersonly=True)
    stated = (
        re.fullmatch(r"Programming Language :: Python :: (\d)\.(\d+)", str(one)) for one in _all(fields, "Classifier")
    )
    return tuple(sorted((int(one[1]), int(one[2])) for one in stated if one))


def _all(fields: Message, name: str) -> list[str]:
    return [str(one) for one in fields.get_all(name, [])]
