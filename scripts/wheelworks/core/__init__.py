"""Mechanisms that every package shares: wheels, tags, targets, processes, the index, the manifest."""
