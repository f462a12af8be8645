"""One module for each command of ``python -m wheelworks``: options in, exit status out."""
