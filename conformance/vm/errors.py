"""What the runner raises on purpose.

::

    VmError
    ├── VmUnavailable   this machine, or this user, can't have a guest; names the remedy
    ├── BuildFailed     a kernel could not be built; quotes the last lines of the build
    ├── GuestFailed     the guest did not boot, panicked or hung; quotes its console
    └── TimedOut        the command took longer than it may
"""

from collections.abc import Sequence

from pointsman.core.errors import PointsmanError


class VmError(PointsmanError):
    """Base of what the runner raises."""


class VmUnavailable(VmError):
    """This machine, or this user, can't have a guest.

    Attributes:
        reason: what is missing.
        remedy: what the user can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"no guest here: {reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class BuildFailed(VmError):
    """A step of building a kernel failed.

    Attributes:
        step: which.
        lines: the last lines it wrote.
    """

    def __init__(self, step: str, status: int, lines: Sequence[str]) -> None:
        super().__init__(f"{step} failed with status {status}{_quote('its last words', lines)}")
        self.step = step
        self.lines = tuple(lines)


class GuestFailed(VmError):
    """The guest ended, or stood still, without the command's exit status.

    Attributes:
        reason: what is known of it.
        console: the last lines of the guest's console.
    """

    def __init__(self, reason: str, console: Sequence[str]) -> None:
        super().__init__(f"{reason}{_quote('the end of its console', console)}")
        self.reason = reason
        self.console = tuple(console)


class TimedOut(VmError):
    """The command took longer than it may, and was ended.

    Attributes:
        seconds: how long it may.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the command was ended after {seconds:g} s")
        self.seconds = seconds


def _quote(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return "\n".join([f"; {title}:", *(f"    | {line}" for line in lines)])
