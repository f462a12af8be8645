"""IBM Z in 64-bit mode: the z196 is the first generation, the oldest that distributions still support.

Source: z/Architecture Principles of Operation, whose facilities each machine brought. capstone names the instructions
up to the z13's; later ones are known here by their codes.
"""

from __future__ import annotations

import re
from functools import lru_cache

_ZEC12 = """
bpp bprp niai ppa etnd tabort tbegin tbeginc tend ntstg lat lgat lfhat llgfat llgtat risbgn
clgt clt cdzt cxzt czdt czxt
"""
_Z13 = "lzrf lzrg llzrgf locfh locfhr stocfh lcbb cpdt cpxt cdpt cxpt"
_Z14 = "agh sgh mg mgh mgrk msgrkc msrkc msc msgc bi bic lgg llgfsg lgsc stgsc irbm"
_NAMES = {name: made for made, names in (("zec12", _ZEC12), ("z13", _Z13), ("z14", _Z14)) for name in names.split()}
# Load on condition, of an immediate; branches and traps bear their condition in the name.
_Z13_FORMS = re.compile(r"loc(g|h)?hi\w*|(clgt|clt)\w*")
_VECTOR = re.compile(r"v[a-z]\w*|w[a-z]\w*|lcbb")
_OTHERS = re.compile(r"(clgt|clt)(e|h|l|ne|nh|nl|he|le|lh|nhe|nle|nlh)?")

# Instructions of four bytes by their first two: combined logic and select (z15).
_Z15 = frozenset(
    ["b964", "b965", "b966", "b967", "b974", "b975", "b976", "b977", "b9c0", "b9e3", "b9e5", "b9f0", "b9f5"]
)

FEATURES = frozenset({"zec12", "z13", "z14", "z15", "vx"})


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The machine, or facility, of an instruction; "" for the first. One without a mnemonic is its bytes in hex."""
    if not mnemonic:
        if len(operands) == 12 and operands[:2] in ("e6", "e7"):
            return "vx"  # all of the vector facility's instructions, and none else, begin so
        return "z15" if operands[:4] in _Z15 and len(operands) == 8 else ""
    if _OTHERS.fullmatch(mnemonic):
        return "zec12"
    if found := _NAMES.get(mnemonic):
        return found
    if _Z13_FORMS.fullmatch(mnemonic):
        return "z13"
    return "vx" if _VECTOR.fullmatch(mnemonic) else ""
