"""The guest thread's current exception."""

from __future__ import annotations

from wheelworks.emulator.objects import GuestObject, Objects


class ErrorState:
    """What PyErr_Occurred looks at."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.current: BaseException | None = None

    def set(self, error: BaseException) -> None:
        """Make an exception the current one."""
        self.current = error

    def take(self) -> BaseException | None:
        """The exception, which is no longer set."""
        error, self.current = self.current, None
        return error

    def kind(self) -> GuestObject | None:
        """The type of the exception, or None."""
        return None if self.current is None else self._objects.type_object(type(self.current))
