"""Build wheels again in changed environments, compare them byte for byte, and find what made a difference."""
