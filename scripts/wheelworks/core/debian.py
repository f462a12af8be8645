"""Debian's archive as a source of CPython: which suite has which version, and how mmdebstrap asks for it.

mmdebstrap chooses the mirror itself and has apt check the archive's signature.
"""

from __future__ import annotations

SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "unstable", "3.15": "unstable"}

# CPUs that a suite doesn't have, by Debian's names for them.
_LACKS = {"bookworm": {"riscv64", "loong64"}, "trixie": {"loong64"}}

HOW_TO_GET = """apt-get install --no-install-recommends mmdebstrap uidmap gpg debian-archive-keyring
(an ordinary user also needs a line in /etc/subuid and /etc/subgid; adduser writes them)"""


def versions(architecture: str) -> list[str]:
    """The versions of CPython that Debian has for a CPU, the oldest first."""
    having = [version for version, suite in SUITES.items() if architecture not in _LACKS.get(suite, ())]
    return sorted(having, key=lambda version: int(version.partition(".")[2]))


def command(variant: str, suite: str, *options: str) -> list[str]:
    """mmdebstrap's command line; what it lays comes as a tar file on its standard output."""
    # Mirrors that serve a frozen state of the archive keep its signature, but let its date of validity pass.
    common = [f"--variant={variant}", "--format=tar", '--aptopt=Acquire::Check-Valid-Until "false"']
    # A suite alone changes a few times a year: the same for everybody, and no further archive that may be down.
    common += ["--setup-hook=sed -i '/-updates\\|-security/d' \"$1/etc/apt/sources.list\""]
    return ["mmdebstrap", *common, *options, suite, "-"]
