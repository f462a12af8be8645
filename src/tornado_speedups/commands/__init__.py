"""The commands of ``python -m tornado_speedups``."""
