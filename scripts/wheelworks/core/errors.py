"""Errors that are for people: what is wrong, for which file or target, and what to do about it."""


class WheelworksError(Exception):
    """A failure that the user can act on; shown without a traceback, with exit code 1.

    ``message`` says what went wrong and for which file or target; ``hint`` says what to try.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(WheelworksError):
    """The command was given something that cannot be right; exit code 2."""

    exit_code = 2
