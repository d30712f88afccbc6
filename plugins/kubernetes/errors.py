"""What can go wrong between us and an API server.

::

    ApiError
    ├── Unreachable  there was no answer, or its end is missing
    └── Refused      there was one, and it says no
"""

from pointsman.core.errors import PointsmanError

from .stream import Status


class ApiError(PointsmanError):
    """A request failed. The message says why, in a line."""


class Unreachable(ApiError):
    """No answer, or not all of it: no credentials, no connection, a time-out, a cut.

    Attributes:
        silent: whether the connection stands, and nothing came for too long.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class Refused(ApiError):
    """The server answered, with anything but success.

    Attributes:
        status: what it said. Its ``code`` is the HTTP status, or that of an ERROR event.
    """

    def __init__(self, what: str, status: Status) -> None:
        said = status.message or status.reason or "no reason given"
        super().__init__(f"{what}: {status.code}, {said[:300]}")
        self.status = status
