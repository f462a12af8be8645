import os

import nox

# The suite: its folder in a clone; where nothing is set, its release on the package index.
SUITE = os.environ.get("WHEELWORKS", "wheelworks")


@nox.session(reuse_venv=True)
def wheelworks(session: nox.Session) -> None:
    """Build, run, audit and rebuild the wheels: nox -s wheelworks -- COMMAND."""
    session.install(SUITE)
    session.run("wheelworks", *session.posargs)
