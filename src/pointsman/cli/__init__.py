"""The command line: the composition root, where engine, dataplanes, sources and plugins meet.

It is the only layer that knows them all. One module per command; see `pointsman.cli.command`.
"""

from .app import main

__all__ = ["main"]
