"""Virtual servers as values: what IPVS holds, what it should hold, and the requests that lead there. Pure."""

from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from pointsman.core.addresses import format_endpoint
from pointsman.core.model import Protocol

MASQUERADING = 0
"""The forwarding method by which IPVS rewrites the destination (``IP_VS_CONN_F_MASQ``)."""


SIMPLE = "rr"
"""The scheduler that does least."""

COUNTING = frozenset({"lc", "wlc", "sed", "nq", "lblc", "lblcr", "ovf", "twos"})
"""Schedulers that go by how many connections a destination has."""


class Server(NamedTuple):
    """The identity of a virtual server within a network namespace."""

    protocol: Protocol
    address: bytes
    port: int

    def __str__(self) -> str:
        """``ip:port/tcp``."""
        return f"{format_endpoint(self.address, self.port)}/{self.protocol.name.lower()}"


class Target(NamedTuple):
    """The identity of a destination within its virtual server."""

    address: bytes
    port: int

    def __str__(self) -> str:
        """``ip:port``."""
        return format_endpoint(*self)


class Destination(NamedTuple):
    """What is said of a destination: its weight, and how packets reach it."""

    weight: int
    method: int = MASQUERADING


class Service(Struct, frozen=True):
    """A virtual server's content; ``flags`` are those that a user may set (``IP_VS_SVC_F_*``).

    ``timeout`` is that of persistence, in seconds. Without the flag the kernel keeps it and makes nothing of
    it (``ip_vs_add_service``), so ours, which are never persistent, have their `note` there.
    """

    scheduler: str
    flags: int
    destinations: Mapping[Target, Destination]
    timeout: int = 0


Servers = Mapping[Server, Service]


def note(scheduler: str) -> int:
    """By what a virtual server shows that its scheduler is the one it was made with, never 0.

    It takes neither model nor memory to tell: a later process can, and the audit. Who changes the scheduler
    by ``ipvsadm`` sets the note to 0; who leaves it has that of another scheduler.
    """
    return 1 + crc32(scheduler.encode()) % 0xFFFF


class Timeouts(NamedTuple):
    """After how many seconds IPVS forgets connections that are idle; 0 says nothing."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0

    def __str__(self) -> str:
        """Such as ``900/120/300 s``."""
        return f"{'/'.join(map(str, self))} s"

    def over(self, held: "Timeouts") -> "Timeouts":
        """What is there once these have been set where others were held."""
        return Timeouts(*(own or other for own, other in zip(self, held, strict=True)))


class Verb(NamedTuple):
    """What a request does: the word for it."""

    word: str
    whole: bool


ADD_SERVICE, SET_SERVICE, DELETE_SERVICE = Verb("add", True), Verb("set", True), Verb("delete", True)
ADD, SET, DELETE = Verb("add", False), Verb("set", False), Verb("delete", False)


class Request(NamedTuple):
    """One change of a virtual server, or of one of its destinations."""

    verb: Verb
    server: Server
    service: Service | None = None
    target: Target | None = None
    destination: Destination | None = None

    def __str__(self) -> str:
        """Such as ``add destination 10.0.0.1:80 of 240.0.0.1:80/tcp``."""
        if self.target is None:
            return f"{self.verb.word} virtual server {self.server}"
        return f"{self.verb.word} destination {self.target} of {self.server}"


Leaving = Mapping[Server, frozenset[Target]]
"""Destinations at weight 0, that no new connection is sent to and whose connections still count."""


class Steps(NamedTuple):
    """Requests in two groups: before anybody is led to what they make, and once nobody is led any more.

    ``leaving`` is who is at weight 0 then.
    """

    make: list[Request]
    clear: list[Request]
    leaving: Leaving = Map()


def steps(before: Servers, after: Servers) -> Steps:
    """The requests that lead from one state to another.

    A destination that comes is added before one that goes is deleted: there is always somewhere to go to. One
    that goes stays at weight 0 where it `lingers`, and has its weight again if it returns.
    """
    make: list[Request] = []
    clear: list[Request] = []
    leaving: dict[Server, frozenset[Target]] = {}
    for server, service in after.items():
        held = before.get(server)
        if held is None:
            make.append(Request(ADD_SERVICE, server, _sketch(service)))
            held = _sketch(service)
        known = held.destinations
        for target, destination in service.destinations.items():
            if target not in known:
                make.append(Request(ADD, server, None, target, destination))
            elif known[target] != destination:
                make.append(Request(SET, server, None, target, destination))
        if _options(held) != _options(service):
            make.append(Request(SET_SERVICE, server, service))
        gone = sorted(known.keys() - service.destinations.keys())
        if gone and lingers(server, service.scheduler):
            leaving[server] = frozenset(gone)
            still = (target for target in gone if known[target] != Destination(0))
            clear += (Request(SET, server, None, target, Destination(0)) for target in still)
        else:
            clear += (Request(DELETE, server, None, target) for target in gone)
    clear += (Request(DELETE_SERVICE, server) for server in sorted(before.keys() - after.keys()))
    return Steps(make, clear, leaving)


def lingers(server: Server, scheduler: str) -> bool:
    """Whether a destination that goes is kept at weight 0 as long as it has connections (IPVS-06).

    Once it is deleted IPVS forgets them, and if it returned it would seem to have none. That matters only to
    who counts. A UDP client is to be led elsewhere once conntrack forgets its flow, and IPVS would remember.
    """
    return scheduler in COUNTING and server.protocol is not Protocol.UDP


def with_leaving(servers: Servers, leaving: Leaving) -> Servers:
    """Virtual servers with those destinations, too, that linger at weight 0."""
    whole = dict(servers)
    for server in leaving.keys() & servers.keys():
        zeros = dict.fromkeys(leaving[server], Destination(0))
        whole[server] = replace(servers[server], destinations={**zeros, **servers[server].destinations})
    return whole


def _sketch(service: Service) -> Service:
    """What a virtual server is while its destinations come; nobody is led to it yet.

    ``mh`` draws up its table of some thousand entries anew for each of them: it had better come last.
    """
    return Service(SIMPLE, 0, {}) if service.scheduler == "mh" else replace(service, destinations={})


def _options(service: Service) -> tuple[str, int, int]:
    return service.scheduler, service.flags, service.timeout
