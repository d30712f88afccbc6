"""A node to send packets to: objects go in, the whole engine decides, the oracle answers.

Answers are written as in the contract's tables: the endpoints that a packet may reach, by their letters, and
whether they see the node's address (``+M``) or the client's (``-M``), as in ``"LR +M"``; or ``REJECT``,
``DROP``, ``PASS``.
"""

from typing import Any, NamedTuple

from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.backends.memory.oracle import judge
from pointsman.core.addresses import IPFamily, format_address, parse_address, parse_network
from pointsman.core.apis import ApiObject, EndpointSlice, Kind, Service
from pointsman.core.backend import BackendSpec, DataplaneSettings, expected
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.model import Model, NamespacedName, Protocol, ServiceFrontends
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plugins import Dataplane, Plugins
from tests.core.fakes import Clock, Listener
from tests.core.objects import (
    NODE,
    OTHER_NODE,
    endpoint,
    endpoint_slice,
    node,
    port_name,
    service,
    service_port,
)

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP
V4, V6 = IPFamily.IPV4, IPFamily.IPV6
NODE_PORT = 30080


class Net(NamedTuple):
    """The addresses of one family.

    ``L`` and ``R`` are endpoints on this node and elsewhere, with a second of each; ``Lp`` and ``Rp`` are
    other pods there, ``H`` is this node, ``H2`` another address of it and ``O`` the other node. ``X`` is a
    client outside the cluster.
    """

    L: str
    L2: str
    R: str
    R2: str
    Lp: str
    Rp: str
    H: str
    H2: str
    O: str  # noqa: E741, as in the contract's letters
    X: str
    loopback: str
    vip: str
    vip2: str
    lb: str
    lb2: str
    ext: str
    unused: str
    pods: str
    local_pods: str
    services: str
    clients: str
    everyone: str


NETS = {
    V4: Net(
        L="10.244.1.10",
        L2="10.244.1.11",
        R="10.244.2.10",
        R2="10.244.2.11",
        Lp="10.244.1.99",
        Rp="10.244.2.99",
        H="192.0.2.1",
        H2="192.0.2.101",
        O="192.0.2.2",
        X="203.0.113.7",
        loopback="127.0.0.1",
        vip="10.96.0.10",
        vip2="10.96.0.11",
        lb="198.51.100.10",
        lb2="198.51.100.11",
        ext="198.51.100.20",
        unused="10.96.99.99",
        pods="10.244.0.0/16",
        local_pods="10.244.1.0/24",
        services="10.96.0.0/16",
        clients="203.0.113.0/24",
        everyone="0.0.0.0/0",
    ),
    V6: Net(
        L="fd00:244:1::10",
        L2="fd00:244:1::11",
        R="fd00:244:2::10",
        R2="fd00:244:2::11",
        Lp="fd00:244:1::99",
        Rp="fd00:244:2::99",
        H="2001:db8::1",
        H2="2001:db8::101",
        O="2001:db8::2",
        X="2001:db8:f::7",
        loopback="::1",
        vip="fd00:96::10",
        vip2="fd00:96::11",
        lb="2001:db8:b::10",
        lb2="2001:db8:b::11",
        ext="2001:db8:e::20",
        unused="fd00:96::9999",
        pods="fd00:244::/32",
        local_pods="fd00:244:1::/64",
        services="fd00:96::/112",
        clients="2001:db8:f::/64",
        everyone="::/0",
    ),
}
POD_INTERFACE = "veth7"  # where local pods' packets come in
UPLINK = "eth0"  # where all others' do
LETTERS = ("L", "L2", "R", "R2")


class World:
    """One node, served for both families and asked about one of them.

    A keyword is a setting of the proxy. Nothing has to be waited for: every `put` is synced.
    """

    def __init__(self, family: IPFamily = V4, *, here: ApiObject | None = None, **settings: Any) -> None:
        self.family = family
        self.net = NETS[family]
        self.clock = Clock()
        self.listener = Listener()
        everything = {
            "families": tuple(IPFamily),
            "cluster_cidrs": tuple(parse_network(net.pods) for net in NETS.values()),
            "min_sync_period": 0,
            **settings,
        }
        config = ProxyConfig(NODE, **everything)
        spec = BackendSpec("memory", "the oracle", MemoryDataplane)
        self._dataplanes = {f: Dataplane(spec, DataplaneSettings(f)) for f in config.families}
        plugins = Plugins([self.listener], discover=False)
        self.engine = Engine(config, self._dataplanes, plugins, clock=self.clock)
        self.interfaces = {a for net in NETS.values() for a in (net.loopback, net.H, net.H2)}
        self.engine.set_interface_addresses(map(parse_address, self.interfaces))
        for kind in KINDS:
            self.engine.replaced(kind, [])
        self.put(here or node(addresses=[("InternalIP", net.H) for net in NETS.values()]))

    # Objects

    def put(self, *objects: ApiObject) -> None:
        """Add or change objects, and sync."""
        for item in objects:
            self.engine.updated(item)
        self.engine.run_due()

    def delete(self, kind: Kind, name: str = "web") -> None:
        """Remove an object, and sync."""
        self.engine.deleted(
            kind, NamespacedName("" if kind not in (Service, EndpointSlice) else "shop", name)
        )
        self.engine.run_due()

    def service(self, name: str = "web", ip: str | None = None, **fields: Any) -> Service:
        """A Service of this family; see `objects.service`."""
        return service(name, self.net.vip if ip is None else ip, **fields)

    def web(self, **fields: Any) -> Service:
        """A Service that is reached by every kind of address."""
        everything = {
            "type": "LoadBalancer",
            "ports": [service_port(80, nodePort=NODE_PORT)],
            "ingress": [{"ip": self.net.lb}],
            "externalIPs": [self.net.ext],
            **fields,
        }
        return self.service(**everything)

    def endpoint(self, letter: str, node: str | None = "", **fields: Any) -> dict[str, Any]:
        """An endpoint by its letter, on the node that the letter tells."""
        usual = NODE if letter.startswith("L") else OTHER_NODE
        return endpoint(getattr(self.net, letter), usual if node == "" else node, **fields)

    def slice(self, *endpoints: str | dict[str, Any], **fields: Any) -> EndpointSlice:
        """An EndpointSlice of this family; a text names endpoints by their letters, as in ``"L R"``."""
        found: list[dict[str, Any]] = []
        for given in endpoints:
            found += [self.endpoint(e) for e in given.split()] if isinstance(given, str) else [given]
        return endpoint_slice(found, family=str(self.family), **fields)

    # Packets

    def packet(
        self, client: str, to: str, port: int = 80, protocol: Protocol | None = TCP, *, source: str = ""
    ) -> Packet:
        """A packet by the letters, or addresses, of client and destination.

        The client tells where it comes in; with ``source`` it uses another address than its own.
        """
        destination = getattr(self.net, to, to)
        own = getattr(self.net, client, client)
        if own in self.interfaces:
            interface = None
        else:
            pod = parse_address(own) in parse_network(self.net.local_pods)
            interface = POD_INTERFACE if pod else UPLINK
        return Packet(
            parse_address(source or own),
            parse_address(destination),
            port if protocol is not None else 0,
            protocol,
            interface,
            to_node=destination in self.interfaces,
        )

    def send(self, client: str, to: str, port: int = 80, protocol: Protocol | None = TCP, **more: str) -> str:
        """What becomes of a packet, in words; see the module."""
        return self.words(self.trace(client, to, port, protocol, **more).verdict)

    def trace(
        self, client: str, to: str, port: int = 80, protocol: Protocol | None = TCP, **more: str
    ) -> Trace:
        """What becomes of a packet according to the dataplane, which must hold what the model says."""
        packet = self.packet(client, to, port, protocol, **more)
        dataplane = self._dataplanes[self.family]
        trace = dataplane.trace(packet)
        assert trace.verdict == judge(self.model, packet)
        assert dataplane.observe() == expected(self.model)
        return trace

    def words(self, verdict: Verdict) -> str:
        """A verdict as in the contract's tables."""
        if verdict.action is not Action.FORWARD:
            return verdict.action.name
        reached = [self.words_of(endpoint.address) for endpoint in verdict.endpoints]
        seen = {endpoint in verdict.masqueraded for endpoint in verdict.endpoints}
        rewritten = {True: "+M", False: "-M"}[seen.pop()] if len(seen) == 1 else "mixed"
        return f"{''.join(dict.fromkeys(reached))} {rewritten}"

    def words_of(self, address: bytes) -> str:
        """The letter of an endpoint; its address where it has none."""
        letters = {parse_address(getattr(self.net, letter)): letter for letter in LETTERS}
        return letters.get(address, format_address(address))

    # What the dataplane was given

    @property
    def model(self) -> Model:
        """What the family's dataplane holds."""
        return self.engine.families[self.family].proxy.applied

    def state(self, name: str = "web", port: str = "", protocol: Protocol = TCP) -> ServiceFrontends:
        """What the model says of one service port."""
        return self.model.services[port_name(name, port, protocol)]

    def rejected(self) -> list[tuple[str, str]]:
        """The object and field of everything that is wrong now."""
        return [(rejection.name, rejection.field) for rejection in self.engine.rejections]

    def plans(self) -> int:
        """How many plans this family's dataplane was given or observers were told of."""
        return sum(plan.family is self.family for plan in self.listener.before)
