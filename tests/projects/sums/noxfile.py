import os

import nox


@nox.session(reuse_venv=True)
def wheelworks(session: nox.Session) -> None:
    """Build, run, audit and rebuild the wheels: nox -s wheelworks -- COMMAND."""
    # Never by its name: the package index doesn't have it, and would give what somebody else calls so.
    if not (suite := os.environ.get("WHEELWORKS")):
        session.error("WHEELWORKS isn't set: name the folder scripts/ of a clone of tornado-speedups")
    session.install(suite)
    session.run("wheelworks", *session.posargs)
