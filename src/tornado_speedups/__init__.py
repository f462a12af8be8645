"""C speedups for the Tornado web framework, with a pure-Python twin of every function.

``install()`` puts them into Tornado and ``uninstall()`` takes them out again; the functions can be used alone too.
``implementation`` is ``"c"`` or ``"python"``. ``__all__`` is the list of all names: a test compares the others with it.
"""

from tornado_speedups._implementation import (
    build_frame,
    build_frame_into,
    implementation,
    parse_frames,
    parse_head,
    parse_headers,
    parse_start_line,
    serialize_head,
    websocket_mask,
    websocket_mask_inplace,
)
from tornado_speedups.patching import install, status, uninstall

__all__ = [
    "build_frame",
    "build_frame_into",
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
