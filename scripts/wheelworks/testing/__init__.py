"""Test suites run by programs of their own, and what those tell: under a foreign CPython, or under this machine's.

`guest/` is what runs there; `outcomes` starts a suite wherever a `Stage` runs guest programs.
"""
