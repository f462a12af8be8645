"""Build wheels again in other surroundings, compare them to the byte, and name what made a difference."""
