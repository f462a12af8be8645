"""What runs inside a root, under its Python: standard library and pinned packages only, any CPython from 3.11 on."""
