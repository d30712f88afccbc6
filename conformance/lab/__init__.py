"""Real machines in network namespaces, with servers and clients, for the demo and the conformance suite."""

from .clients import DEFAULT_WAIT, Connection, NotConnected, burst, connect, open_connection, ping
from .errors import LabClosed, LabUnavailable, ProtocolUnavailable
from .http import Page, request
from .lab import Capabilities, Capability, Lab
from .netns import Namespace
from .outcomes import Denied, EchoReply, Outcome, Refused, Reply, Silent
from .servers import Server
from .spec import (
    EXTERNAL_CIDRS,
    NODE,
    POD_CIDRS,
    REMOTE_POD_CIDRS,
    ROUTER,
    SECOND_NODE,
    SEGMENT_CIDRS,
    SERVICE_CIDRS,
    Client,
    LabSpec,
)
from .topology import Machine, Role

__all__ = [
    "DEFAULT_WAIT",
    "EXTERNAL_CIDRS",
    "NODE",
    "POD_CIDRS",
    "REMOTE_POD_CIDRS",
    "ROUTER",
    "SECOND_NODE",
    "SEGMENT_CIDRS",
    "SERVICE_CIDRS",
    "Capabilities",
    "Capability",
    "Client",
    "Connection",
    "Denied",
    "EchoReply",
    "Lab",
    "LabClosed",
    "LabSpec",
    "LabUnavailable",
    "Machine",
    "Namespace",
    "NotConnected",
    "Outcome",
    "Page",
    "ProtocolUnavailable",
    "Refused",
    "Reply",
    "Role",
    "Server",
    "Silent",
    "burst",
    "connect",
    "open_connection",
    "ping",
    "request",
]
