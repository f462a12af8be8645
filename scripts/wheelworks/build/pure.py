"""The wheel without an extension, for every platform that has no other: as the project itself says how."""

from __future__ import annotations

import os
import shutil
import time

from wheelworks.build import environment, project, report, sbom
from wheelworks.build.backend import Backend, BackendError, last_lines
from wheelworks.build.context import Workshop
from wheelworks.build.tasks import Built
from wheelworks.build.wheel import described
from wheelworks.core import manifest, plan
from wheelworks.core.archive import build_archive
from wheelworks.core.binary import SUFFIXES
from wheelworks.core.errors import WheelworksError
from wheelworks.core.wheel import (
    find_dist_info,
    format_wheel_name,
    parse_wheel_name,
    read_members,
    replace_record,
    replace_tags,
)


def build(shop: Workshop, made_of: manifest.Fingerprint) -> Built:
    """Build the pure wheel, with the variables that the project declares for it.

    Raises WheelworksError where it declares none, and where what comes out isn't pure.
    """
    start, place = time.perf_counter(), shop.work / "pure"
    variables = shop.pure_variables()
    if variables is None:
        raise WheelworksError(f"{shop.source.name}: its pyproject.toml doesn't say how it builds purely", project.HOW)
    tree = place / "source"
    shutil.copytree(shop.source.tree, tree)
    settings = environment.hermetic(os.environ, place, shop.source.epoch, {**shop.extra, **variables})
    try:
        made = Backend(tree, shop.environment, settings).make("wheel", place / "wheel")
    except BackendError as error:
        raise WheelworksError(f"{plan.PURE}: {error}\n{last_lines(error.output)}") from error
    members, name = read_members(made), parse_wheel_name(made.name)
    natives = [file for file in members if file.endswith(SUFFIXES)]
    if natives or name.platforms != {"any"} or name.abi != plan.PURE.removesuffix("-any"):
        raise WheelworksError(f"{plan.PURE}: the project builds {made.name}{''.join(f', {f}' for f in natives)}")
    info = find_dist_info(members, made.name)
    placed = members | sbom.members(shop, name, info)
    finished = replace_record(replace_tags(placed, name.tags, info), info)
    data = build_archive(finished, shop.source.epoch)
    record = described(format_wheel_name(name, name.tags), data, name.tags, fingerprint=made_of, link="none")
    path = manifest.write(shop.out / record.file, data)
    return Built(path, record, time.perf_counter() - start, report.summary([]))
