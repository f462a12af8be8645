"""Translate GCC's options for CPU features into zig's, which has one option, ``-mcpu``, and names of its own.

GCC's are in "AArch64 Options", "ARM Options", "x86 Options" and so on of its manual; zig's names are LLVM's with
underscores. A project names the CPU that its code needs: for one file, whose functions are called only on such a CPU,
or for all files. What zig doesn't know, it refuses by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_X86_NAMES = {"core-avx2": "haswell", "core-avx-i": "ivybridge", "corei7": "nehalem", "corei7-avx": "sandybridge"}
# Extensions of -march on ARM, where zig's feature has another name.
_ARM_FEATURES = {
    "simd": "neon",
    "fp": "fp_armv8",
    "fp16": "fullfp16",
    "crypto": "aes+sha2",
    "rdma": "rdm",
    "i8mm": "i8mm",
    "neon-fp16": "neon+fp16",
    "neon-vfpv4": "neon+vfp4",
    "vfpv4": "vfp4",
    "vfpv3": "vfp3",
    "vfpv3-d16": "vfp3d16",
    "crypto-neon-fp-armv8": "crypto+neon+fp_armv8",
    "neon-fp-armv8": "neon+fp_armv8",
}
# What GCC's options on x86 include for clang, too, but not beside zig's own list, which turns each feature off by name.
_INCLUDED = {"-mpopcnt": re.compile(r"-m(sse4|sse4\.2|avx.*)"), "-mxsave": re.compile(r"-mavx.*")}
_ARM_VERSION = re.compile(r"armv(?P<major>\d+)(?:\.(?P<minor>\d))?(?:-[arm]|[a-z]*)")


def translate(word: str, cpu: str, model: str) -> str | None:
    """Translate ``-march=``, ``-mcpu=`` or ``-mfpu=`` for a target's ``cpu`` and zig's ``model`` of it.

    Returns ``word`` itself if it is another option, and None if it asks for no more than the model has.
    """
    match = re.fullmatch(r"-(march|mcpu|mfpu)=(.+)", word)
    if match is None:
        return word
    option, (name, *features) = match[1], match[2].split("+")
    if cpu in ("aarch64", "arm"):
        chosen = _translate_arm(option, name, features, model)
    elif cpu in ("x86", "x86_64"):
        chosen = _X86_NAMES.get(name, name.replace("-", "_"))
    else:
        chosen = re.sub("^power", "pwr", name) if not name.startswith("rv") else model
    return None if chosen == model else f"-mcpu={chosen}"


def list_included(flags: Sequence[str], cpu: str) -> list[str]:
    """Return the options that ``flags`` include without saying so; they come first, so that ``-mno-popcnt`` wins."""
    if cpu not in ("x86", "x86_64"):
        return []
    return [option for option, pattern in _INCLUDED.items() if any(pattern.fullmatch(flag) for flag in flags)]


def _translate_arm(option: str, name: str, features: list[str], model: str) -> str:
    version = _ARM_VERSION.fullmatch(name)
    base, added = model, []
    if option == "mfpu":
        features = [name]
    elif version is None:
        base = name.replace("-", "_")
    elif version["minor"] or int(version["major"]) > 8:
        added.append(f"v{version['major']}" + (f"_{version['minor']}" if version["minor"] else "") + "a")
    for feature in features:
        plain = feature.removeprefix("no")
        sign = "-" if plain != feature and feature != "noinit" else "+"
        added.append(f"{sign}{_ARM_FEATURES.get(plain, plain.replace('-', '_'))}")
    return base + "".join(one if one[0] in "+-" else f"+{one}" for one in added)
