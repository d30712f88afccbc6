"""What a service proxy does beside its rules, and what a network can do beside carrying connections.

A case that needs one of these says so by ``requires``, as it does of a backend's features. None is part of
the core: a backend that programs rules, and nothing else, is a whole backend.
"""

from enum import StrEnum


class Part(StrEnum):
    """Something that is not a backend's to have."""

    UDP_RECONCILED = "udp-reconciled"
    """UDP flows that are with the wrong endpoint are taken out of connection tracking (CT-01…CT-06)."""

    HEALTH_CHECKS = "health-checks"
    """Load balancers are answered on health check node ports (HC-01…HC-04)."""

    RAW_PACKETS = "raw-packets"
    """Packets can be made by hand, and be looked at on their way."""


COMPANIONS = {Part.UDP_RECONCILED: "conntrack", Part.HEALTH_CHECKS: "health-checks"}
"""The companions that bring these, where nobody runs a whole proxy; see `pointsman.core.companions`."""
