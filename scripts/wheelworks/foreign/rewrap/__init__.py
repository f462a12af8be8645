"""Rewrap a PE or Mach-O image as an ELF shared library that glibc loads, its instructions unchanged."""
