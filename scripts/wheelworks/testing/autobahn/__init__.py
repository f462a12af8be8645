"""The Autobahn test suite (crossbario/autobahn-testsuite) against Tornado: as server and client, speedups off and on.

It is a program for Python 2.7, run in a folder of its own from pinned files; `peer` is Tornado's side.
"""
