"""Pointsman: a Kubernetes service proxy for Linux with interchangeable dataplanes."""

from importlib.metadata import version

__version__ = version("pointsman")
