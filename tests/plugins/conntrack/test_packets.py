"""Real datagrams through the nftables dataplane: where flows go as endpoints come and go."""

import queue
import socket
from collections.abc import Iterator

import pytest

from pointsman.backends.nftables.plugin import make_dataplane
from pointsman.conformance.lab.netns import LOOPBACK, Namespace
from pointsman.core.addresses import IPFamily, format_address, parse_address
from pointsman.core.apis import EndpointSlice, Service
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.model import NamespacedName, Protocol
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.plugins.conntrack.reconciler import Reconciler
from tests.core.objects import NODE, draining, endpoint, endpoint_slice, service, service_port

from .entries import Entry, create, listed

PATIENCE = 30  # seconds: a safety net, not a measure
NODE_PORT = 30053
"""Node, another address of it, ClusterIP, endpoints."""
ADDRESSES = {
    IPFamily.IPV4: ("192.0.2.1", "192.0.2.101", "10.96.0.10", ("10.244.1.1", "10.244.1.2")),
    IPFamily.IPV6: ("2001:db8::1", "2001:db8::101", "fd00:96::10", ("fd00:244::1", "fd00:244::2")),
}
