"""Count the bits of a buffer, in C where the extension is installed."""

__all__ = ["count_bits", "is_fast"]


def _count_bits(data):
    return sum(byte.bit_count() for byte in bytes(data))


try:
    from tallies._speedups import count_bits
except ImportError:
    count_bits = _count_bits


def is_fast():
    """Return whether the extension is in use."""
    return count_bits is not _count_bits
