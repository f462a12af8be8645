"""C speedups for the Tornado web framework, with a pure-Python twin of every function.

``install()`` puts them into Tornado and ``uninstall()`` takes them out again; the functions can be used alone too.
``implementation`` says which ones these are, ``"c"`` or ``"python"``.
"""

from tornado_speedups._implementation import (
    build_frame,
    implementation,
    parse_frames,
    parse_head,
    parse_headers,
    parse_start_line,
    serialize_head,
    websocket_mask,
    websocket_mask_inplace,
)
from tornado_speedups.patches import install, status, uninstall

__all__ = [
    "build_frame",
    "implementation",
    "install",
    "parse_frames",
    "parse_head",
    "parse_headers",
    "parse_start_line",
    "serialize_head",
    "status",
    "uninstall",
    "websocket_mask",
    "websocket_mask_inplace",
]
