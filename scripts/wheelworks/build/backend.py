"""Call a project's own build backend (PEP 517), through pypa/build, in an environment that we made."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import build
import pyproject_hooks

from wheelworks.build.buildenv import BuildEnvironment
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError

# A backend's warnings are in its output already, once for each call; they are for its project's developers.
warnings.simplefilter("ignore", pyproject_hooks.BuildBackendWarning)

T = TypeVar("T")
Distribution = Literal["sdist", "wheel"]


class BackendError(WheelworksError):
    """The backend failed; ``output`` is all that it wrote."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class Backend:
    """A project's backend in one tree, one build environment and one set of environment variables."""

    def __init__(self, tree: Path, environment: BuildEnvironment, variables: Mapping[str, str]) -> None:
        self.tree, self.variables = tree, dict(variables)
        self.output = ""
        try:
            self._builder = build.ProjectBuilder(tree, str(environment.python), runner=self._run)
        except build.BuildException as error:
            raise WheelworksError(f"{tree.name}: {error}") from error

    def requires(self, distribution: Distribution) -> set[str]:
        """What the backend asks for beyond ``[build-system] requires``. Raises BackendError."""
        return self._call(lambda: self._builder.get_requires_for_build(distribution))

    def make(self, distribution: Distribution, into: Path) -> Path:
        """Build a distribution into a folder; returns its path. Raises BackendError."""
        into.mkdir(parents=True, exist_ok=True)
        return Path(self._call(lambda: self._builder.build(distribution, into)))

    def _run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        result = process.run(cmd, cwd=Path(cwd or self.tree), env={**self.variables, **(extra_environ or {})})
        self.output += result.output
        if result.status != 0:
            raise subprocess.CalledProcessError(result.status, list(cmd), result.output)

    def _call(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except build.BuildBackendException as error:
            if isinstance(error.exception, WheelworksError):
                raise error.exception from None
            raise BackendError(str(error), self.output) from error
        except build.BuildException as error:
            raise BackendError(str(error), self.output) from error


def last_lines(output: str, count: int = 12) -> str:
    """The end of a tool's output, without blank lines: where its own error stands."""
    return "\n".join([line for line in output.splitlines() if line.strip()][-count:])
