import os

import nox


@nox.session(reuse_venv=True)
def wheelworks(session: nox.Session) -> None:
    """Build, run, audit and rebuild the wheels: nox -s wheelworks -- COMMAND."""
    # Install from a folder, never by name: anyone could register the name wheelworks on the package index.
    if not (suite := os.environ.get("WHEELWORKS")):
        session.error("WHEELWORKS isn't set: name the folder scripts/ of a clone of tornado-speedups")
    session.install(suite)
    session.run("wheelworks", *session.posargs)
