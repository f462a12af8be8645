"""Check that a module compresses WebSocket messages as Tornado asks Python's zlib to (RFC 7692).

zlib-ng, for example, makes DEFLATE streams (RFC 1951) of about the same size in less time. install() lets Tornado use
such a module: what is compressed differs in its bytes then, and in nothing else that a peer can see.
"""

from __future__ import annotations

import zlib
from types import ModuleType
from typing import Any

_USED = ("DEFLATED", "MAX_WBITS", "Z_SYNC_FLUSH", "compressobj", "decompressobj")

# Levels of compression, with sizes of the window as powers of two: Tornado's own, and the limits.
_SETTINGS = ((6, 15), (1, 9), (9, 9), (9, 15))
_MEMORY_LEVEL = 8
_SAMPLE = b"".join(b"%d squared is %d\n" % (number, number * number) for number in range(500))
_LIMIT = 1000


def check_module(module: Any) -> None:
    """Raise TypeError if this is no module or lacks what Tornado uses of zlib, and ValueError if it works otherwise."""
    if not isinstance(module, ModuleType):
        raise TypeError(f"zlib={module!r}: it must be a module, such as zlib_ng.zlib_ng")
    name = module.__name__
    missing = [each for each in _USED if not hasattr(module, each)]
    if missing:
        raise TypeError(f"zlib={name}: it has no {', '.join(missing)}, which Tornado uses of zlib")
    for level, window in _SETTINGS:
        case = f"level {level} with a window of {window} bits"
        try:
            works = _works(module, level, window)
        except Exception as error:
            raise ValueError(f"zlib={name}: it fails at {case}: {error}") from error
        if not works:
            raise ValueError(f"zlib={name}: at {case}, it doesn't do the same as zlib")


def _works(module: Any, level: int, window: int) -> bool:
    """Return whether zlib reads what the module writes, and the module what zlib writes, as far as it is told to."""
    written = _compress(module, level, window)
    reader = module.decompressobj(-window)
    start = reader.decompress(_compress(zlib, level, window), _LIMIT)
    return (
        written.endswith(b"\x00\x00\xff\xff")
        and zlib.decompressobj(-window).decompress(written) == _SAMPLE
        and start == _SAMPLE[:_LIMIT]
        and reader.decompress(reader.unconsumed_tail) == _SAMPLE[_LIMIT:]
    )


def _compress(module: Any, level: int, window: int) -> bytes:
    writer = module.compressobj(level, module.DEFLATED, -window, _MEMORY_LEVEL)
    data: bytes = writer.compress(_SAMPLE) + writer.flush(module.Z_SYNC_FLUSH)
    return data
