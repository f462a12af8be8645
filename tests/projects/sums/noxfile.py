import os

import nox

# The suite: its folder in a clone, or, unset, the release on the package index.
SUITE = os.environ.get("WHEELWORKS", "wheelworks")


def wheelworks(session: nox.Session, command: str) -> None:
    session.install(SUITE)
    session.run("wheelworks", command, *session.posargs)


@nox.session(name="cross-arm64")
def cross_arm64(session: nox.Session) -> None:
    """Build the ARM64 wheels, for Windows, macOS and Linux, and run them here."""
    wheelworks(session, "cross-arm64")


@nox.session
def audit(session: nox.Session) -> None:
    """Find what is wrong with the wheels."""
    wheelworks(session, "audit")


@nox.session
def reproduce(session: nox.Session) -> None:
    """Build the wheels again in other surroundings, and compare the bytes."""
    wheelworks(session, "reproduce")
