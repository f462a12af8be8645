"""Make a wheel's software bill of materials (PEP 770, CycloneDX 1.6 in JSON).

It is added if the project's pyproject.toml has ``[tool.wheelworks] sbom = true``. It lists what decides the wheel's
bytes: the tools, with every hash that the lock files allow, because the file of a tool that was used depends on the
building machine, and the static libraries that the user brought.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from wheelworks.build.backend import LOCK
from wheelworks.build.context import BuildContext
from wheelworks.core import source_tree
from wheelworks.core.archive import Member
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.core.wheel import WheelName

_PIN_WITH_HASHES = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)[^\n]*\\\n((?:\s+--hash=sha256:[0-9a-f]{64}[^\n]*\n?)+)", re.MULTILINE
)


def make_member(context: BuildContext, name: WheelName, info: str, libraries: Sequence[str]) -> dict[str, Member]:
    """Return the SBOM as a member in the ``.dist-info`` folder ``info``; empty unless the project asks for one.

    ``libraries`` are the files of the static libraries that the user brought and the wheel was linked with.
    Raises WheelworksError for an invalid setting.
    """
    wanted = source_tree.read_settings(context.source.tree).get("sbom", False)
    if not isinstance(wanted, bool):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] sbom must be true or false")
    if not wanted:
        return {}
    toolchain = context.toolchain().versions()
    versions = {tool: toolchain[tool] for tool in ("ziglang", "deflate")} | context.environment.versions
    hashes = parse_hashes(*(file.read_text(encoding="utf-8") for file in sorted(LOCK.parent.glob("*.txt"))))
    brought = {Path(file).name: hash_file(Path(file)) for file in libraries}
    made = make_document(name.distribution, name.version, context.source.epoch, versions, hashes, brought)
    text = json.dumps(made, indent=2)
    return {f"{info}/sboms/wheelworks.cdx.json": Member((text + "\n").encode())}


def parse_hashes(*locks: str) -> dict[tuple[str, str], list[str]]:
    """Return the SHA-256 hashes, in hexadecimal, that lock files allow for each (name, version)."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, version, lines in (pin for lock in locks for pin in _PIN_WITH_HASHES.findall(lock)):
        found.setdefault((canonicalize_name(name), version), set()).update(re.findall(r"sha256:([0-9a-f]{64})", lines))
    return {pin: sorted(hashes) for pin, hashes in found.items()}


def make_document(
    name: str,
    version: str,
    epoch: int,
    tools: Mapping[str, str],
    hashes: Mapping[tuple[str, str], list[str]],
    libraries: Mapping[str, str],
) -> dict[str, Any]:
    """Return the CycloneDX 1.6 document of a wheel dated ``epoch`` (seconds since 1970).

    ``tools`` are versions, ``libraries`` the SHA-256 hashes of the static libraries in its modules by file name.
    """
    used = [_make_component(tool, tools[tool], "application") for tool in sorted(tools)]
    for component in used:
        if allowed := hashes.get((component["name"], component["version"])):
            component["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in allowed]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": used},
            "component": _make_component(canonicalize_name(name), version, "library"),
        },
        "components": [_make_library(file, digest) for file, digest in sorted(libraries.items())],
    }


def _make_component(name: str, version: str, kind: str) -> dict[str, Any]:
    url = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}


def _make_library(file: str, digest: str) -> dict[str, Any]:
    # Nothing says which version it is, nor whose.
    return {"type": "library", "bom-ref": file, "name": file, "hashes": [{"alg": "SHA-256", "content": digest}]}
