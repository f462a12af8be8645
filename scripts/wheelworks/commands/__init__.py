"""The commands that the Nox sessions run, one module each, with a main(argv)."""
