"""Source tree -> wheel of a target."""
