"""Test suites that run anywhere: under a foreign CPython (`wheelworks.foreign`), or under this machine's own.

`workers/` has the programs that run there, `suites` starts them and reads their results.
"""
