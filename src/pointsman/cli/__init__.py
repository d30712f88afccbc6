"""The command line: the composition root, where engine, dataplanes, sources and plugins meet.

It is the only layer that knows them all. One module per command; see `pointsman.cli.command`.
"""

from .app import kube_proxy, main

__all__ = ["kube_proxy", "main"]
