"""Build, run, audit and rebuild wheels of platforms other than this one: what the Nox sessions call."""

__version__ = "0.1.0"
