"""What a wheel was made with, as a software bill of materials inside it (PEP 770, CycloneDX 1.6 in JSON).

A project asks for it in its pyproject.toml: ``[tool.wheelworks] sbom = true``. It names what decides the wheel's bytes,
with every hash that the lock files allow: which of a tool's files was used depends on the building machine, and must
not show.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from packaging.utils import canonicalize_name

from wheelworks.build import buildenv, project
from wheelworks.build.context import Workshop
from wheelworks.core.archive import Member
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import WheelName

_FILE = "sboms/wheelworks.cdx.json"
_TOOLS = ("ziglang", "deflate")
_PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)[^\n]*\\\n((?:\s+--hash=sha256:[0-9a-f]{64}[^\n]*\n?)+)", re.MULTILINE
)


def members(shop: Workshop, name: WheelName, info: str) -> dict[str, Member]:
    """The document as a file of the wheel whose ``.dist-info`` is ``info``; nothing where the project asks for none.

    Raises WheelworksError where the project asks in other words.
    """
    wish = project.pyproject(shop.source.tree).get("tool", {}).get("wheelworks", {}).get("sbom", False)
    if not isinstance(wish, bool):
        raise WheelworksError("pyproject.toml: [tool.wheelworks] sbom must be true or false")
    if not wish:
        return {}
    toolchain = shop.toolchain().versions()
    versions = {tool: toolchain[tool] for tool in _TOOLS} | shop.environment.versions
    hashes = locked(*(file.read_text(encoding="utf-8") for file in sorted(buildenv.LOCK.parent.glob("*.txt"))))
    text = json.dumps(document(name.distribution, name.version, shop.source.epoch, versions, hashes), indent=2)
    return {f"{info}/{_FILE}": Member((text + "\n").encode())}


def locked(*locks: str) -> dict[tuple[str, str], list[str]]:
    """The SHA-256 hashes, in hexadecimal, that lock files allow for each (name, version)."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, version, lines in (pin for lock in locks for pin in _PIN.findall(lock)):
        found.setdefault((canonicalize_name(name), version), set()).update(re.findall(r"sha256:([0-9a-f]{64})", lines))
    return {pin: sorted(hashes) for pin, hashes in found.items()}


def document(
    name: str, version: str, epoch: int, tools: Mapping[str, str], hashes: Mapping[tuple[str, str], list[str]]
) -> dict[str, Any]:
    """A CycloneDX 1.6 document for a wheel dated ``epoch`` (seconds since 1970) that ``tools`` made, by version."""
    used = [_component(tool, tools[tool], "application") for tool in sorted(tools)]
    for one in used:
        if allowed := hashes.get((one["name"], one["version"])):
            one["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in allowed]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": used},
            "component": _component(canonicalize_name(name), version, "library"),
        },
        "components": [],
    }


def _component(name: str, version: str, kind: str) -> dict[str, Any]:
    place = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "bom-ref": place, "name": name, "version": version, "purl": place}
