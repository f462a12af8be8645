"""What an extension module finds outside itself: CPython's C API and a few functions of libc, answered in Python."""

from wheelworks.emulator.capi import (
    arguments,
    buffers,
    bytes_,
    containers,
    errors,
    format_,
    libc,
    mappings,
    memory,
    modules,
    numbers,
    objects,
    unicode,
)
from wheelworks.emulator.capi.data import data_symbol
from wheelworks.emulator.capi.table import ANSWERS

__all__ = [
    "ANSWERS", "arguments", "buffers", "bytes_", "containers", "data_symbol", "errors", "format_", "libc",
    "mappings",
    "memory", "modules", "numbers", "objects", "unicode",
]  # fmt: skip
