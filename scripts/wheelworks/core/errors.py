"""Errors for users, one class for each exit status: what is wrong, for which file or target, and what to do."""


class WheelworksError(Exception):
    """A failure that the user can act on, shown without a traceback. The exit status is 1.

    ``message`` says what went wrong and for which file or target; ``hint`` is what to try.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unsupported(WheelworksError):
    """A file needs something that this program can't do, which says nothing about the file. The exit status is 1."""


class UsageError(WheelworksError):
    """A command was given an argument that can't be right. The exit status is 2."""

    exit_code = 2
