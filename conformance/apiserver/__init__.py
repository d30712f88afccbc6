"""A small Kubernetes API server, which feeds programs that watch the API in tests and benchmarks."""

from .faults import FOREVER, Faults
from .requests import Request
from .server import ApiServer
from .store import Stored

__all__ = ["FOREVER", "ApiServer", "Faults", "Request", "Stored"]
