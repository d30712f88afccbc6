"""The configuration of guests' kernels; ``options.yaml`` lists it."""

import hashlib
from functools import cache
from pathlib import Path

import yaml

RELEASE = "umlnet"
"""What kernels built with these options have at the end of their release."""


@cache
def options(group: str | None = None) -> tuple[str, ...]:
    """The options of a group, or all of them, without ``CONFIG_``."""
    groups = yaml.safe_load(Path(__file__).with_name("options.yaml").read_text())
    return tuple(" ".join(groups.values() if group is None else [groups[group]]).split())


def fragment() -> str:
    """The options as a file for ``KCONFIG_ALLCONFIG``."""
    chosen = ("UML", "64BIT", *options())
    return "".join([f'CONFIG_LOCALVERSION="-{RELEASE}"\n', *(f"CONFIG_{name}=y\n" for name in chosen)])


def fingerprint(version: str) -> str:
    """What tells kernels of one version apart that were built with other options."""
    return hashlib.sha256(f"{version}\n{fragment()}".encode()).hexdigest()[:12]
