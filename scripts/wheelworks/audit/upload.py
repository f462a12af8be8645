"""Check what the package index refuses although the metadata are valid.

Sources: the index's own published rules for uploads, and the renderer that it and ``twine check`` use for descriptions
(readme_renderer). The index's list of classifiers is the package trove-classifiers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from email.utils import parseaddr
from functools import cache
from urllib.parse import urlsplit

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from wheelworks.audit.findings import Finding, abbreviate, sanitize
from wheelworks.audit.wheel import AuditedWheel

_LONGEST_LABEL, _LONGEST_SUMMARY = 32, 512  # characters
_LARGEST_FILE = 100 << 20  # bytes, unless the index has raised a project's limit
# docutils takes quadratic time for some texts; no project's description that it renders is as long.
_LONGEST_DESCRIPTION = 128 << 10
_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def check_wheel(wheel: AuditedWheel) -> Iterator[Finding]:
    """W031 to W036 and W051, of a wheel's METADATA."""
    place = f"{wheel.info}/METADATA"
    if place in wheel.texts:  # else it is reported as W017
        yield from check_metadata(wheel.texts[place], place)


def check_metadata(text: bytes, place: str) -> Iterator[Finding]:
    """W031 to W036, W051: check core metadata against the index's rules."""
    try:
        found, _ = parse_email(text)
    except (ValueError, TypeError):
        return  # reported as W017
    for code, faults in (
        ("W031", _list_local_versions(found)), ("W032", _list_direct_requirements(found)),
        ("W033", _list_wrong_classifiers(found)), ("W034", _list_licence_conflicts(found)),
        ("W035", _list_refused_fields(found)), ("W036", _list_render_faults(found)),
        ("W051", _list_licence_classifiers(found)),
    ):  # fmt: skip
        if shown := abbreviate(sanitize(one) for one in faults):
            yield Finding(code, shown, place)


def check_size(length: int) -> Iterator[Finding]:
    """W037: the size of a file, in bytes."""
    if length > _LARGEST_FILE:
        yield Finding("W037", f"{length} bytes; the limit is {_LARGEST_FILE}, unless it was raised for the project")


def _list_local_versions(found: RawMetadata) -> Iterator[str]:
    try:
        version = Version(found.get("version", "0"))
    except InvalidVersion:
        return  # reported as W017
    if version.local:
        yield str(version)


def _list_direct_requirements(found: RawMetadata) -> Iterator[str]:
    for line in (*found.get("requires_dist", ()), *found.get("provides_dist", ()), *found.get("obsoletes_dist", ())):
        try:
            if Requirement(line).url is not None:
                yield line
        except InvalidRequirement:
            continue  # reported as W017


@cache
def _load_classifiers() -> tuple[frozenset[str], dict[str, list[str]]]:
    """Return the index's classifiers, and those that it refuses now, each with its successors."""
    import trove_classifiers  # only an audit needs it

    return frozenset(trove_classifiers.classifiers), dict(trove_classifiers.deprecated_classifiers)


def _list_wrong_classifiers(found: RawMetadata) -> Iterator[str]:
    known, deprecated = _load_classifiers()
    for one in found.get("classifiers", ()):
        if one in deprecated:
            yield f"{one} (deprecated; use {' or '.join(deprecated[one]) or 'none'})"
        elif one not in known and not one.startswith("Private ::"):  # which keeps a project off the index on purpose
            yield one


def _list_licence_conflicts(found: RawMetadata) -> Iterator[str]:
    """PEP 639: an expression replaces the License field."""
    if found.get("license_expression") and found.get("license"):
        yield "License beside License-Expression"


def _list_licence_classifiers(found: RawMetadata) -> Iterator[str]:
    """PEP 639: an expression replaces the licence classifiers, too. The index accepts these beside it."""
    if found.get("license_expression"):
        yield from (one for one in found.get("classifiers", ()) if one.startswith("License ::"))


def _list_refused_fields(found: RawMetadata) -> Iterator[str]:
    if len(found.get("summary", "")) > _LONGEST_SUMMARY:
        yield f"Summary has {len(found['summary'])} characters; the limit is {_LONGEST_SUMMARY}"
    for label in found.get("project_urls", {}):
        if not 0 < len(label) <= _LONGEST_LABEL:
            yield f"Project-URL: the label {label!r} has {len(label)} characters; the limit is {_LONGEST_LABEL}"
    yield from _list_wrong_addresses(found)


def _list_wrong_addresses(found: RawMetadata) -> Iterator[str]:
    stated = {"Home-page": found.get("home_page"), "Download-URL": found.get("download_url")}
    stated |= {f"Project-URL {label}": url for label, url in found.get("project_urls", {}).items()}
    yield from (f"{field} is {url!r}, not a web URL" for field, url in stated.items() if url and not _is_url(url))
    for field, name in (("Author", found.get("author_email")), ("Maintainer", found.get("maintainer_email"))):
        if (address := parseaddr(name or "")[1]) and not _ADDRESS.fullmatch(address):
            yield f"{field}-email has {address!r}, not an e-mail address"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and not re.search(r"\s", text)


def _list_render_faults(found: RawMetadata) -> Iterator[str]:
    """Render a description in reStructuredText, the default; texts of the other types always render."""
    kind = found.get("description_content_type", "text/x-rst").partition(";")[0].strip().casefold()
    text = found.get("description", "")
    if kind == "text/x-rst" and text.strip() and len(text) <= _LONGEST_DESCRIPTION:
        yield from render_description(text)


def render_description(text: str) -> Iterator[str]:
    """Yield why the index can't render a description in reStructuredText; nothing if it can."""
    from readme_renderer import rst  # only an audit needs it, and it takes half a second to import

    stream = io.StringIO()
    try:
        rendered = rst.render(text, stream=stream)
    except Exception as error:  # docutils' own faults
        yield f"docutils failed: {type(error).__name__}: {error}"
        return
    if rendered is None:
        yield " ".join(stream.getvalue().replace("<string>:", "line ").split()) or "nothing is rendered"
