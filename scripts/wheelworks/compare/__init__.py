"""Two sets of wheels -> the differences between them that a user could meet, in words."""
