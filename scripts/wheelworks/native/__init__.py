"""Wheels of this machine's own platform, run natively: installed by pip in clean environments, and put to the test."""
