"""The files of two wheels: which there are, what is in them, and what the metadata says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser

from wheelworks.compare.differences import Difference, several
from wheelworks.compare.modules import BINARIES, modules
from wheelworks.compare.pairs import Pair, Wheel
from wheelworks.core.tags import CompatibilityTarget
from wheelworks.core.wheel import find_dist_info

# What a builder says of itself, or of the bytes beside it, and what PEP 427 leaves to signatures; and the folder of
# bills of materials (PEP 770), which say what a wheel was built with.
OF_THE_BUILDER = ("RECORD", "RECORD.jws", "RECORD.p7s", "DELVEWHEEL")
TELLS_OF_THE_BUILD = "sboms/"
IN_WHEEL = ("Wheel-Version", "Root-Is-Purelib", "Build")


def compare_files(one: Pair) -> list[Difference]:
    """Files that only one wheel has, and files of one name whose contents differ; binaries are others' affair.

    Raises WheelworksError for a damaged wheel.
    """
    first, second = _plain(one.a, one.slots), _plain(one.b, one.slots)
    found = []
    if only := sorted(first.keys() - second.keys()):
        found.append(Difference("missing-file", str(one), f"only the first wheel has {several(only)}"))
    if only := sorted(second.keys() - first.keys()):
        found.append(Difference("surplus-file", str(one), f"only the second wheel has {several(only)}"))
    shared = sorted(name for name in first.keys() & second.keys() if not _is_binary(name))
    if other := [name for name in shared if first[name] != second[name] and not _by_header(name)]:
        found.append(Difference("contents", str(one), f"of another content: {several(other)}"))
    return [*found, *_compare_metadata(one)]


def _plain(wheel: Wheel, slots: Sequence[CompatibilityTarget]) -> dict[str, bytes]:
    """The files, without what builders say of themselves; those whose names may differ under one name."""
    info = find_dist_info(wheel.members, wheel.path.name)
    ignored = {f"{info}/{name}" for name in OF_THE_BUILDER}
    ignored |= {name for name in wheel.members if name.startswith(f"{info}/{TELLS_OF_THE_BUILD}")}
    renamed = {file: f"the module {name}" for name, file in modules(wheel, slots).items()}
    for name in wheel.members:
        if name.startswith(f"{info}/"):
            renamed[name] = name.replace(info, ".dist-info", 1)
    plain = {name: member for name, member in wheel.members.items() if name not in ignored}
    return {renamed.get(name, name): _text(member.data) for name, member in plain.items()}


def _text(data: bytes) -> bytes:
    """A text without the line ends of the system that checked it out; anything else as it is."""
    return data if b"\0" in data else data.replace(b"\r\n", b"\n")


def _is_binary(name: str) -> bool:
    return name.endswith(BINARIES) or name.startswith("the module ")


def _by_header(name: str) -> bool:
    return name in (".dist-info/METADATA", ".dist-info/WHEEL")


def _compare_metadata(one: Pair) -> list[Difference]:
    found = []
    for file, fields in (("METADATA", None), ("WHEEL", IN_WHEEL)):
        first, second = (_headers(wheel, file, fields) for wheel in (one.a, one.b))
        for what, missing in ((first - second, "second"), (second - first, "first")):
            for field, text in sorted(what):
                shown = text if len(text) < 80 else f"{text[:77]}..."
                found.append(Difference("metadata", str(one), f"{file}: the {missing} wheel has no {field}: {shown}"))
    return found


def _headers(wheel: Wheel, file: str, fields: tuple[str, ...] | None) -> Counter[tuple[str, str]]:
    """The fields of a file in the format of e-mail headers (core metadata specification), the body as one of them."""
    info = find_dist_info(wheel.members, wheel.path.name)
    member = wheel.members.get(f"{info}/{file}")
    parsed: Message = BytesParser().parsebytes(_text(member.data) if member else b"")
    wanted = parsed.items() if fields is None else [(name, parsed[name]) for name in fields if name in parsed]
    body = [("description", str(parsed.get_payload()).strip())] if fields is None else []
    return Counter((name, str(value)) for name, value in [*wanted, *body])
