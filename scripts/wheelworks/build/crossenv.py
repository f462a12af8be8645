"""How a build backend that runs here comes to see a target: its environment variables, and the files they point to."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

from wheelworks.build import environment, sysconfigdata
from wheelworks.build.context import Workshop
from wheelworks.build.settings import Settings
from wheelworks.core import cache
from wheelworks.core.errors import WheelworksError
from wheelworks.core.targets import Abi, Target

_SHIM = Path(__file__).with_name("shim")
_DRIVER = """\
import sys
sys.path.insert(0, {scripts!r})
from wheelworks.build.driver import main
sys.exit(main({settings!r}, {language!r}, sys.argv[1:]))
"""


def place_of(target: Target, abi: Abi, work: Path) -> Path:
    """The folder of one build."""
    return work / f"{target.id}-{abi.nodot}"


def log_of(target: Target, abi: Abi, work: Path) -> Path:
    """Where the compilers of one build log."""
    return place_of(target, abi, work) / "compiler.log"


def variables(shop: Workshop, target: Target, abi: Abi) -> dict[str, str]:
    """The environment in which the backend sees ``target``; writes the files that it points to."""
    place = place_of(target, abi, shop.work)
    settings = _settings(shop, target, abi)
    settings.write(place / "settings.json")
    tools = _tools(place, settings.zig)
    values = sysconfigdata.build_time_vars(target, abi, settings.include, tools)
    doors = place / "doors"
    doors.mkdir()
    shutil.copyfile(_SHIM / "sitecustomize.py", doors / "sitecustomize.py")
    (doors / f"{sysconfigdata.MODULE}.py").write_text(f"build_time_vars = {values!r}\n", encoding="utf-8")
    shim = {
        "source": str(place / "source"),
        "suffixes": sysconfigdata.suffixes(target, abi),
        "variables": values,
        "platform": target.platform,
        "view": sysconfigdata.view(target, abi),
    }
    (doors / "shim.json").write_text(json.dumps(shim), encoding="utf-8")
    (doors / "distutils.cfg").write_text(
        "[build_ext]\ncompiler = unix\n[build_clib]\ncompiler = unix\n", encoding="utf-8"
    )
    return {
        **environment.hermetic(os.environ, place, shop.source.epoch, shop.extra),
        "PYTHONPATH": str(doors),
        "_PYTHON_SYSCONFIGDATA_NAME": sysconfigdata.MODULE,
        "_PYTHON_HOST_PLATFORM": target.platform,
        "WHEELWORKS_SHIM": str(doors / "shim.json"),
        "DIST_EXTRA_CONFIG": str(doors / "distutils.cfg"),
        "ZIG_GLOBAL_CACHE_DIR": str(_zig_cache()),
        "ZIG_LOCAL_CACHE_DIR": str(place / "zig"),
        "CC": tools.cc,
        "CXX": tools.cxx,
        "AR": tools.ar,
    }


def _tools(place: Path, zig: str) -> sysconfigdata.Tools:
    lines = (_driver(place, "cc"), _driver(place, "c++"), [zig, "ar"], [zig, "ranlib"])
    return sysconfigdata.Tools(*map(sysconfigdata.quoted, lines))


def _driver(place: Path, language: str) -> list[str]:
    program = place / ("cxx.py" if language == "c++" else "cc.py")
    scripts = str(Path(__file__).parents[2])
    settings = str(place / "settings.json")
    program.write_text(_DRIVER.format(scripts=scripts, settings=settings, language=language), encoding="utf-8")
    return [sys.executable, "-I", str(program)]


def _settings(shop: Workshop, target: Target, abi: Abi) -> Settings:
    place = place_of(target, abi, shop.work)
    tree, headers = place / "source", str(shop.headers[abi.id].folder)
    return Settings(
        target=target.id,
        os=target.os,
        cpu=target.cpu,
        compiler=target.compiler,
        model=target.model,
        minimum=target.minimum,
        python=abi.nodot,
        zig=zig(),
        include=headers,
        source=str(tree),
        allowed=(str(tree), str(place / "tmp"), str(shop.environment.folder), headers),
        work=str(place),
        log=str(log_of(target, abi, shop.work)),
        warm=str(_zig_cache() / f"linked-{target.compiler}"),
    )


def _zig_cache() -> Path:
    return cache.folder() / f"zig-{importlib.metadata.version('ziglang')}"


def zig() -> str:
    """The compiler's program, out of the ``ziglang`` package."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise WheelworksError("the compiler isn't installed", "run this through nox, or: pip install ziglang")
    return str(Path(spec.submodule_search_locations[0], "zig.exe" if os.name == "nt" else "zig"))
