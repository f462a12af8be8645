"""Sdist -> wheels by cibuildwheel, with the compilers that each platform calls its own: what ours are held against."""
