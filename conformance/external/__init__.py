"""Service proxies of other people's as programs: run in the lab, fed by the suite's own API server."""

from .cluster import OutOfSight, TargetCluster
from .command import BadCommand, TargetCommand
from .target import NotReady, Target
from .world import TargetWorld

__all__ = [
    "BadCommand",
    "NotReady",
    "OutOfSight",
    "Target",
    "TargetCluster",
    "TargetCommand",
    "TargetWorld",
]
