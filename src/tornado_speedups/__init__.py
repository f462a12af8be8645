"""C speedups for the Tornado web framework, with a pure-Python twin of every function.

``install()`` puts them into Tornado and ``uninstall()`` takes them out again; the functions can be used alone too.
``implementation`` says which ones these are, ``"c"`` or ``"python"``.
"""

from tornado_speedups._implementation import implementation, websocket_mask
from tornado_speedups.patches import install, uninstall

__all__ = ["implementation", "install", "uninstall", "websocket_mask"]
