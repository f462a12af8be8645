"""Compare two sets of wheels of one project, and describe every difference that a user could notice."""
