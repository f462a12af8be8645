"""Compare what is in the wheels of two sets: files, metadata, and what their binaries export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from wheelworks.compare.pairs import WheelDifference, WheelPair, compare_names, pair_wheels
from wheelworks.core import binary
from wheelworks.core.binary import Binary
from wheelworks.core.errors import UsageError, WheelworksError
from wheelworks.core.tags import CompatibilityTarget
from wheelworks.core.text import abbreviate
from wheelworks.core.wheel import Wheel, find_dist_info, parse_wheel_name

BINARY_SUFFIXES = (".so", ".pyd", ".dylib")
# Files in .dist-info that name the builder, hash the bytes beside them, or hold signatures (PEP 427), and the folder
# of bills of materials (PEP 770), which record the build.
BUILDER_FILES = ("RECORD", "RECORD.jws", "RECORD.p7s", "DELVEWHEEL")
SBOM_FOLDER = "sboms/"
WHEEL_FIELDS = ("Wheel-Version", "Root-Is-Purelib", "Build")
# Names that linkers add to the exports of every binary; nobody calls them.
LINKER_SYMBOLS = frozenset({"_init", "_fini", "_end", "_edata", "_etext", "__bss_start", "__bss_end__", "__end__"})
_MODULE = "the module "  # prefix of a module's name, in place of its file's


def compare_sets(
    a: Sequence[Path], b: Sequence[Path], *, subset: bool = False
) -> tuple[list[WheelPair], list[WheelDifference]]:
    """Compare two sets of wheels as files; returns the pairs, for `compare_behaviour`, and the differences.

    ``subset``: the second set may lack wheels. Raises UsageError for sets of different projects, WheelworksError where
    the sets have nothing in common, and for a damaged wheel.
    """
    first, second = ({parse_wheel_name(path.name).distribution for path in wheels} for wheels in (a, b))
    if first != second:
        names = [", ".join(sorted(one)) for one in (first, second)]
        raise UsageError(f"the first set is of {names[0]}, the second of {names[1]}", "name two sets of one project")
    pairs, found = pair_wheels(a, b, subset=subset)
    if not pairs:
        raise WheelworksError("the two sets have no platform and Python in common", "name sets with common wheels")
    for pair in pairs:
        found += [*compare_names(pair), *compare_files(pair), *compare_binaries(pair)]
    return pairs, found


def find_modules(wheel: Wheel, targets: Iterable[CompatibilityTarget]) -> dict[str, str]:
    """Return the file of each extension module that every Python of ``targets`` imports, by its path without suffix."""
    wanted = tuple(targets)
    found = {}
    for name in wheel.members:
        folder, _, file = name.rpartition("/")
        stem, _, suffix = file.partition(".")
        if name.endswith(BINARY_SUFFIXES) and all(target.imports(suffix) for target in wanted):
            found[f"{folder}/{stem}".removeprefix("/")] = name
    return found


def find_shared_modules(pair: WheelPair) -> list[tuple[str, str, str]]:
    """Return the modules that both wheels of a pair have, each with its file in the first and in the second."""
    first, second = find_modules(pair.a, pair.targets), find_modules(pair.b, pair.targets)
    return [(module, first[module], second[module]) for module in sorted(first.keys() & second.keys())]


def compare_files(pair: WheelPair) -> list[WheelDifference]:
    """Compare the names and contents of files, except for the contents of binaries, and the metadata.

    Raises WheelworksError for a wheel without one .dist-info folder.
    """
    first, second = _list_files(pair.a, pair.targets), _list_files(pair.b, pair.targets)
    found = []
    if only := sorted(first.keys() - second.keys()):
        found.append(WheelDifference("missing-file", str(pair), f"only the first wheel has {abbreviate(only)}"))
    if only := sorted(second.keys() - first.keys()):
        found.append(WheelDifference("extra-file", str(pair), f"only the second wheel has {abbreviate(only)}"))
    apart = (*BINARY_SUFFIXES, ".dist-info/METADATA", ".dist-info/WHEEL")  # compared in their own ways
    shared = (one for one in first.keys() & second.keys() if not one.endswith(apart) and not one.startswith(_MODULE))
    if other := sorted(name for name in shared if first[name] != second[name]):
        found.append(WheelDifference("contents", str(pair), f"contents differ: {abbreviate(other)}"))
    return [*found, *_compare_metadata(pair)]


def _list_files(wheel: Wheel, targets: Sequence[CompatibilityTarget]) -> dict[str, bytes]:
    """Return the files except the builder's own; modules and .dist-info, whose names may differ, under one name."""
    info = find_dist_info(wheel.members, wheel.path.name)
    ignored = {f"{info}/{name}" for name in BUILDER_FILES}
    ignored |= {name for name in wheel.members if name.startswith(f"{info}/{SBOM_FOLDER}")}
    renamed = {file: f"{_MODULE}{name}" for name, file in find_modules(wheel, targets).items()}
    for name in wheel.members:
        if name.startswith(f"{info}/"):
            renamed[name] = name.replace(info, ".dist-info", 1)
    kept = {name: member for name, member in wheel.members.items() if name not in ignored}
    return {renamed.get(name, name): _normalize_newlines(member.data) for name, member in kept.items()}


def _normalize_newlines(data: bytes) -> bytes:
    """Return text with the line ends of a checkout on Unix, and binary data unchanged."""
    return data if b"\0" in data else data.replace(b"\r\n", b"\n")


def _compare_metadata(pair: WheelPair) -> list[WheelDifference]:
    found = []
    for file, fields in (("METADATA", None), ("WHEEL", WHEEL_FIELDS)):
        first, second = (_read_headers(wheel, file, fields) for wheel in (pair.a, pair.b))
        for only, missing in ((first - second, "second"), (second - first, "first")):
            for field, value in sorted(only):
                shown = value if len(value) < 80 else f"{value[:77]}..."
                text = f"{file}: the {missing} wheel has no {field}: {shown}"
                found.append(WheelDifference("metadata", str(pair), text))
    return found


def _read_headers(wheel: Wheel, file: str, fields: tuple[str, ...] | None) -> Counter[tuple[str, str]]:
    """Return the fields of a file in .dist-info (all if None, then the body is one of them) with their values."""
    info = find_dist_info(wheel.members, wheel.path.name)
    member = wheel.members.get(f"{info}/{file}")
    parsed: Message = BytesParser().parsebytes(_normalize_newlines(member.data) if member else b"")
    wanted = parsed.items() if fields is None else [(name, parsed[name]) for name in fields if name in parsed]
    body = [("description", str(parsed.get_payload()).strip())] if fields is None else []
    return Counter((name, str(value)) for name, value in [*wanted, *body])


def compare_binaries(pair: WheelPair) -> list[WheelDifference]:
    """Compare the format, machine and exports of each module that both wheels have, for each CPU that both serve.

    Raises WheelworksError for a file that is not a binary.
    """
    targets = {target.cpu: target for target in pair.targets}.values()
    modules = find_shared_modules(pair)
    return [found for module in modules for target in targets for found in _compare_binary(pair, *module, target)]


def _compare_binary(
    pair: WheelPair, name: str, file_a: str, file_b: str, target: CompatibilityTarget
) -> list[WheelDifference]:
    first, second = _describe_binary(pair.a, file_a, target), _describe_binary(pair.b, file_b, target)
    if (first.format, first.machine) != (second.format, second.machine):
        text = f"{name} is {first.format} for {first.machine} in the first, {second.format} for {second.machine}"
        return [WheelDifference("binary", str(target), f"{text} in the second")]
    found = []
    for own, other, where in ((first, second, "first"), (second, first, "second")):
        if only := sorted(set(own.exports) - set(other.exports) - LINKER_SYMBOLS):
            text = f"{name} of the {where} wheel alone exports {abbreviate(only)}"
            found.append(WheelDifference("exports", str(target), text))
    return found


def _describe_binary(wheel: Wheel, name: str, target: CompatibilityTarget) -> Binary:
    """Return the description of a binary; of a universal one, of the half for the target's CPU."""
    parts = binary.describe(wheel.members[name].data, f"{wheel.path.name}: {name}")
    return next((part for part in parts if part.machine == target.cpu), parts[0])
