"""Ask a project which Python and ABI tags its wheels will have, without building them.

A project without the stable ABI has the tags of the Python that it is built for. Whether a project has the stable ABI
is asked of setuptools, in the environment of the real build, because setup.py may decide it by the Python's version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from wheelworks.build import crossenv
from wheelworks.build.backend import last_lines
from wheelworks.build.context import BuildContext
from wheelworks.build.plan import BuildTask, accepts_wheel
from wheelworks.core import process
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import PURE, Abi, PlannedWheel, plan_wheel

# These may set `py_limited_api`; what only a module beside them sets isn't seen.
_FILES = ("setup.py", "setup.cfg", "pyproject.toml")
_MENTION = re.compile(r"py.limited.api", re.IGNORECASE)
_MAX_FILE = 4 << 20  # bytes
_TIME_LIMIT = 120  # seconds
_MARK = "wheelworks-tags:"

# Runs setup.py up to the parsed command line, as setuptools' own hooks do (setuptools.build_meta).
_ASK = f"""\
import os, sys
sys.argv[:] = ["setup.py", "bdist_wheel"]
sys.path.insert(0, os.getcwd())
from distutils.core import run_setup
import setuptools
if not os.path.exists("setup.py"):
    with open("setup.py", "w") as file:
        file.write("from setuptools import setup; setup()")
command = run_setup("setup.py", ["bdist_wheel"], stop_after="commandline").get_command_obj("bdist_wheel")
command.ensure_finalized()
command.root_is_pure = False
print("{_MARK}", "-".join(command.get_tag()[:2]))
"""


def mentions_stable_abi(tree: Path) -> bool:
    """Return whether a project's build files mention the stable ABI."""
    for path in (tree / name for name in _FILES):
        if path.is_file() and _MENTION.search(path.read_bytes()[:_MAX_FILE].decode("utf-8", "replace")):
            return True
    return False


def ask_tags(context: BuildContext, tasks: Sequence[BuildTask]) -> dict[str, str]:
    """Return the Python and ABI tags of a project's wheels, by the ABI's id: asked for one target of each ABI.

    Raises WheelworksError with the last lines of setup.py's output.
    """
    return {task.abi.id: _ask_tag(context.select_abi(task.abi), task, task.abi) for task in _pick(tasks) if task.abi}


def _pick(tasks: Iterable[BuildTask]) -> list[BuildTask]:
    return list({task.abi: task for task in tasks if task.abi}.values())


def _ask_tag(context: BuildContext, task: BuildTask, abi: Abi) -> str:
    target = task.targets[0]
    folder = crossenv.build_folder(target, abi, context.work)
    variables = crossenv.prepare_build(context, target, abi, task.settings, task.prefixes)
    ended = process.run(
        [context.environment.python, "-c", _ASK], cwd=folder / "source", env=variables, timeout=_TIME_LIMIT
    )
    found = re.search(rf"^{_MARK} (\S+)$", ended.output, re.MULTILINE)
    if ended.status or not found:
        message = f"{context.source.name}: setup.py doesn't say which tags its wheels have: {last_lines(ended.output)}"
        raise WheelworksError(message, "name them: [tool.wheelworks] abis in pyproject.toml")
    return found[1]


def choose_tags(
    tree: Path, stated: Sequence[Abi], tasks: Sequence[BuildTask], ask: Callable[[], dict[str, str]]
) -> dict[str, str]:
    """Return the Python and ABI tags of a project's wheels, by the ABI's id.

    They are the ``stated`` ones, or those of each version, or else ``ask`` returns them.
    """
    abis = [task.abi for task in _pick(tasks) if task.abi]
    if all(abi in stated for abi in abis):
        return {abi.id: abi.id for abi in abis}
    return ask() if mentions_stable_abi(tree) else {abi.id: abi.specific for abi in abis}


def plan_names(name_version: str, tasks: Iterable[BuildTask], tags: Mapping[str, str]) -> list[PlannedWheel]:
    """Return the wheels of tasks, if their binaries need no libc; ``tags`` are theirs, by the ABI's id.

    A wheel with the stable ABI also serves later Pythons, which get no other.
    """
    planned: list[PlannedWheel] = []
    for task in tasks:
        if task.abi is None:
            planned.append(PlannedWheel(f"{name_version}-{PURE}.whl", (), None))
        elif not any(_serves(wheel, task, task.abi) for wheel in planned):
            planned.append(plan_wheel(name_version, tags[task.abi.id], task.family, task.abi))
    return planned


def _serves(wheel: PlannedWheel, task: BuildTask, abi: Abi) -> bool:
    ids = {target.id for target in wheel.targets}
    same_kind = wheel.abi is not None and wheel.abi.free_threaded == abi.free_threaded
    return same_kind and {target.id for target in task.targets} <= ids and accepts_wheel(abi, wheel.name)
