"""Random histories of a cluster and its connections: found, shrunk, written down, played again."""

from .campaign import Campaign
from .files import ScenarioUnreadable, dump, load
from .model import Apply, Connect, Delete, Restart, Scenario, Step, Wipe
from .player import Player, play
from .search import Finding, search

__all__ = [
    "Apply",
    "Campaign",
    "Connect",
    "Delete",
    "Finding",
    "Player",
    "Restart",
    "Scenario",
    "ScenarioUnreadable",
    "Step",
    "Wipe",
    "dump",
    "load",
    "play",
    "search",
]
