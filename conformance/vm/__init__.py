"""Commands in a throw-away User-Mode-Linux guest, on the caller's file tree.

::

    with_ipvs = Guest(find("7.2"), writable=["reports"])
    result = with_ipvs.run(["pytest", "tests"], timeout=600)
"""

from .building import build, obtain
from .errors import BuildFailed, GuestFailed, TimedOut, VmError, VmUnavailable
from .guest import Guest, Result
from .kernels import Kernel, find, inspect

__all__ = [
    "BuildFailed",
    "Guest",
    "GuestFailed",
    "Kernel",
    "Result",
    "TimedOut",
    "VmError",
    "VmUnavailable",
    "build",
    "find",
    "inspect",
    "obtain",
]
