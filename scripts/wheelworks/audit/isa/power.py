"""64-bit Power, little-endian: POWER8 is the first generation, which that ABI (ELFv2) asks for.

Source: the Power ISA, versions 3.0 (POWER9) and 3.1 (POWER10). capstone names those of POWER9; of POWER10 the prefixed
instructions, which everything compiled for it is full of, and a few others are known here by their words.
"""

from __future__ import annotations

import re
from functools import lru_cache

_POWER9 = """
addpcis lnia subpcis cmpeqb cmprb cnttzd cnttzw copy paste darn extswsli ldat lwat stdat stwat maddhd maddhdu maddld
mcrxrx modsd modsw modud moduw setb lxv lxvx lxvl lxvll lxsd lxssp lxsibzx lxsihzx lxvb16x lxvh8x lxvwsx stxv stxvx
stxvl stxvll stxsd stxssp stxsibx stxsihx stxvb16x stxvh8x mfvsrld mtvsrdd mtvsrws
bcdcfn bcdcfsq bcdcfz bcdcpsgn bcdctn bcdctsq bcdctz bcds bcdsetsgn bcdsr bcdtrunc bcdus bcdutrunc
vabsdub vabsduh vabsduw vbpermd vclzlsbb vctzlsbb vcmpneb vcmpneh vcmpnew vcmpnezb vcmpnezh vcmpnezw vctzb vctzd vctzh
vctzw vextractd vextractub vextractuh vextractuw vextsb2d vextsb2w vextsh2d vextsh2w vextsw2d vextublx vextubrx vextuhlx
vextuhrx vextuwlx vextuwrx vinsertb vinsertd vinserth vinsertw vmsumudm vmul10cuq vmul10ecuq vmul10euq vmul10uq vnegd
vnegw vpermr vprtybd vprtybq vprtybw vrldmi vrldnm vrlwmi vrlwnm vslv vsrv
xscmpeqdp xscmpexpdp xscmpgedp xscmpgtdp xscvdphp xscvhpdp xsiexpdp xsmaxcdp xsmaxjdp xsmincdp xsminjdp xststdcdp
xststdcsp xsxexpdp xsxsigdp xvcvhpsp xvcvsphp xviexpdp xviexpsp xvtstdcdp xvtstdcsp xvxexpdp xvxexpsp xvxsigdp xvxsigsp
xxbrd xxbrh xxbrq xxbrw xxextractuw xxinsertw xxperm xxpermr xxspltib
"""
_NAMES = frozenset(_POWER9.split())
_QUAD = re.compile(r"xs\w+qpo?|xs\w+qp[a-z]+|xscv[a-z]+qp")  # arithmetic with 128-bit floating point

FEATURES = frozenset({"power9", "power10"})

# Mask and value of each kind of instruction of POWER10: the four forms of prefix, then bytes reversed, set on
# condition, and pairs of vectors.
_POWER10 = (
    (0xFFEC0000, 0x04000000), (0xFFEC0000, 0x06000000), (0xFFFF0000, 0x05000000), (0xFFFFF000, 0x07900000),
    (0xFC00FFFF, 0x7C000136), (0xFC00FFFF, 0x7C000176), (0xFC00FFFF, 0x7C0001B6),
    (0xFC00FFFF, 0x7C000300), (0xFC00FFFF, 0x7C000340), (0xFC00FFFF, 0x7C000380), (0xFC00FFFF, 0x7C0003C0),
    (0xFC00000F, 0x18000000), (0xFC00000F, 0x18000001),
)  # fmt: skip


@lru_cache(1 << 14)
def feature(mnemonic: str, operands: str) -> str:
    """The generation of an instruction; "" for the first. One without a mnemonic is its bytes in hexadecimal."""
    if not mnemonic:
        word = int.from_bytes(bytes.fromhex(operands), "little")
        return "power10" if any(word & mask == value for mask, value in _POWER10) else ""
    if operands == "v31, v31, v31":
        return ""  # all bits set, as in distances that stand before stubs: data
    name = mnemonic.rstrip(".")
    return "power9" if name in _NAMES or _QUAD.fullmatch(name) else ""
