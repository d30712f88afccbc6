"""What the lab raises on purpose."""

from pointsman.core.errors import PointsmanError


class LabUnavailable(PointsmanError):
    """This machine, or this user, can't have a lab.

    Attributes:
        reason: what is missing.
        remedy: what the user can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"no lab here: {reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class LabClosed(PointsmanError):
    """A namespace was asked to do something after it was closed; the message names it."""


class ProtocolUnavailable(PointsmanError):
    """This kernel lacks a transport protocol; `Lab.capabilities` tells beforehand."""
