"""Wheel -> proof that its machine code runs, or a stated reason why it can't be run here."""
