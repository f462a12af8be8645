"""What the Nox sessions run: build, execute and describe wheels of platforms other than this one."""

__version__ = "0.1.0"
