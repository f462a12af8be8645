"""Real CPython for foreign Linux: Debian's CPython of another CPU, entered without root, under qemu-user."""

from wheelworks.execute.cpython.run import run_wheel

__all__ = ["run_wheel"]
