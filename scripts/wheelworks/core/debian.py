"""Debian's archive as a source of CPython: its versions by suite, and mmdebstrap, which downloads them."""

from __future__ import annotations

DEBIAN_SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "unstable", "3.15": "unstable"}
_MISSING_ARCHITECTURES = {"bookworm": {"riscv64", "loong64"}, "trixie": {"loong64"}}  # by Debian's names

MMDEBSTRAP_HINT = """apt-get install --no-install-recommends mmdebstrap uidmap gpg debian-archive-keyring
(an ordinary user also needs a line in /etc/subuid and /etc/subgid; adduser writes them)"""


def list_debian_versions(architecture: str) -> list[str]:
    """Return the CPython versions that Debian has for an architecture, the oldest first."""
    lacking = {suite for suite, architectures in _MISSING_ARCHITECTURES.items() if architecture in architectures}
    having = [version for version, suite in DEBIAN_SUITES.items() if suite not in lacking]
    return sorted(having, key=lambda version: int(version.partition(".")[2]))


def make_mmdebstrap_command(variant: str, suite: str, *options: str) -> list[str]:
    """Return mmdebstrap's command line, which writes a tar file to stdout.

    mmdebstrap chooses the mirror, and has apt check the archive's signature.
    """
    # Mirrors that serve a frozen state of the archive keep its signature, but its validity date has passed.
    common = [f"--variant={variant}", "--format=tar", '--aptopt=Acquire::Check-Valid-Until "false"']
    # Without -updates and -security a suite changes a few times a year only, and no further archive may be down.
    common += ["--setup-hook=sed -i '/-updates\\|-security/d' \"$1/etc/apt/sources.list\""]
    return ["mmdebstrap", *common, *options, suite, "-"]
