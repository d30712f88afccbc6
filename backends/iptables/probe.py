"""What this machine's iptables can do, found out by trying it in a network namespace made for the purpose.

A sample of everything the backend writes is restored there and read back; the namespace is gone afterwards,
and nothing outside it was touched.
"""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    NodePortAddresses,
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance

from . import accounting, libiptc
from .changes import steps
from .image import Image
from .kernel import Refused, Tools, Variant
from .means import Means
from .memory import memory
from .planner import difference
from .sets import Sets
from .state import State, read_tables

DEFAULT_INSTANCE = "pointsman"
_CLONE_NEWNET = 0x40000000
# The legacy variant's programs reach the tables by a raw socket.
_NEEDED = {
    Variant.NFT: {"CAP_NET_ADMIN": 12},
    Variant.LEGACY: {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13},
}
_LEGACY_ALONE = "python-iptables knows the legacy variant alone"

_ADDRESSES = {
    IPFamily.IPV4: ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.0/24"),
    IPFamily.IPV6: ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::/32"),
}


class Found(Struct, frozen=True):
    """What a machine turns out to have. Where it lacks something, a reason is given, else that is empty."""

    means: Means
    without_sets: str = ""
    uncounted: str = ""
    uncompared: str = ""
    outside: str = ""
    """Why jumps aren't mended in process."""

    def remarks(self, tools: Tools) -> tuple[str, ...]:
        """How the backend works here, for people."""
        if self.outside:
            mending = f"jumps are mended by running iptables-{tools.variant}: {self.outside}"
        else:
            mending = "jumps are mended in process, by python-iptables"
        counting = f"there are no nfacct counters: {self.uncounted}" if self.uncounted else ""
        full = (
            f"endpoints have chains of their own in large clusters, too: {self.uncompared}"
            if self.uncompared
            else ""
        )
        return (mending, *(remark for remark in (counting, full) if remark))


def probe(name: str, family: IPFamily, tools: Tools) -> Capabilities:
    """Try everything the backend needs.

    Raises:
        BackendUnavailable: something is missing; names it and the remedy.
    """
    check_permitted(name, tools.variant)
    found = examine(name, family, tools)
    features = dict.fromkeys(Feature, SUPPORTED)
    features[Feature.SCHEDULERS] = Support(Level.UNSUPPORTED, "endpoints are picked at random, by weight")
    if found.without_sets:
        features[Feature.SESSION_AFFINITY] = Support(
            Level.SUPPORTED,
            "without ip_set (CONFIG_IP_SET_HASH_IP, CONFIG_NETFILTER_XT_SET) the kernel remembers no more"
            f" clients per endpoint than xt_recent was loaded with, 100 by default ({found.without_sets})",
        )
    if family is IPFamily.IPV6:
        reason = "only IPv4 can route loopback addresses (SVC-NP-07)"
        features[Feature.LOCALHOST_NODE_PORTS] = Support(Level.UNSUPPORTED, reason)
    return Capabilities(features, remarks=found.remarks(tools))


@cache
def examine(name: str, family: IPFamily, tools: Tools) -> Found:
    """Find out what rules can be made of, and how they can be reached. A kernel is asked once.

    Raises:
        BackendUnavailable: not even the least is there.
    """
    outside = libiptc.why_not() if tools.variant is Variant.LEGACY else _LEGACY_ALONE
    found = _whole(family, tools) or _parts(name, family, tools)
    if not outside:
        outside = _tried(family, tools, Means(found.means.memory), inside=True)
    return replace(found, outside=outside)


def _whole(family: IPFamily, tools: Tools) -> Found | None:
    """Everything at once, which is what there usually is."""
    means = Means(memory(family, sets=True), counted=True, compared=True)
    return None if _tried(family, tools, means) else Found(means)


def _parts(name: str, family: IPFamily, tools: Tools) -> Found:
    """One after another, to tell what is missing."""
    without_sets = _tried(family, tools, Means(memory(family, sets=True)))
    remembering = memory(family, sets=not without_sets)
    if without_sets:
        reason = _tried(family, tools, Means(remembering))
        if reason:
            remedy = "use a kernel with the xtables matches and targets that kube-proxy needs"
            raise BackendUnavailable(name, f"{tools.restore} can't do what is needed ({reason})", remedy)
    uncounted = _tried(family, tools, Means(remembering, counted=True))
    uncompared = _tried(family, tools, Means(remembering, compared=True))
    means = Means(remembering, counted=not uncounted, compared=not uncompared)
    return Found(means, without_sets, uncounted, uncompared)


def check_permitted(name: str, variant: Variant) -> None:
    """Make sure that tables may be read and written: some tools say that there are none where they may not.

    Raises:
        BackendUnavailable: they may not.
    """
    status = Path("/proc/thread-self/status").read_text(encoding="ascii")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    held = int(effective.split()[1], 16)
    if not all(held >> number & 1 for number in _NEEDED[variant].values()):
        remedy = f"run as root, or with {' and '.join(_NEEDED[variant])}"
        raise BackendUnavailable(name, "programming the kernel is not permitted", remedy)


def _tried(family: IPFamily, tools: Tools, means: Means, *, inside: bool = False) -> str:
    """Try something in a namespace of its own; what went wrong, empty if nothing did."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_attempt, family, tools, means, inside).result()


def _attempt(family: IPFamily, tools: Tools, means: Means, inside: bool) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):  # of this thread alone, which ends with the attempt
        return _untried(family, means, inside)
    sample = _sample(family)
    tables = Image(sample.node, means, "probe", lean=means.compared).fill(sample)
    sets = Sets(family)
    try:
        if means.memory.needs_sets:
            sets.create(tables.sets)
        if means.counted:
            accounting.ensure()
        for step in steps(difference(State(), tables)):
            tools.write(step)
        if inside:
            return libiptc.written_alike(family, tables.jumps)
        left = difference(read_tables(tools.read_ours()), tables)
    except (Refused, OSError) as error:
        return str(error)
    finally:
        sets.close()
    if left:
        return f"{next(iter(left.chains), 'a rule')} isn't read back as it was written"
    return ""


def _untried(family: IPFamily, means: Means, inside: bool) -> str:
    """What to believe where nothing can be tried without a trace, as with CAP_NET_ADMIN alone."""
    if inside or means.counted or means.compared:
        return "it can't be tried without being allowed to make a network namespace"
    return _asked_for_sets(family) if means.memory.needs_sets else ""


def _asked_for_sets(family: IPFamily) -> str:
    sets = Sets(family)
    try:
        sets.held()
    except OSError as error:
        return str(error)
    finally:
        sets.close()
    return ""


def _sample(family: IPFamily) -> Model:
    """A model that makes use of every kind of rule."""
    virtual, one, other, network = _ADDRESSES[family]
    context = NodeContext(
        family,
        local=LocalNetwork(parse_network(network)),
        node_ports=NodePortAddresses(loopback=family is IPFamily.IPV4),
        service_cidrs=(parse_network(network),),
    )
    near, far = Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL), Answer(Pool.LOCAL, Masquerade.NEVER)
    services = []
    for number, protocol in enumerate(Protocol):
        name = ServicePortName("probe", "sample", "", protocol)
        match = Match(parse_address(virtual), protocol, 80)
        services.append(
            ServiceFrontends(
                name,
                (
                    Frontend(match, FrontendKind.CLUSTER_IP, near),
                    Frontend(
                        Match(parse_address(one), protocol, 80),
                        FrontendKind.LOAD_BALANCER,
                        near,
                        far,
                        (parse_network(network),),
                    ),
                    Frontend(Match(None, protocol, 30080), FrontendKind.NODE_PORT, near, far),
                ),
                cluster=(Endpoint(parse_address(one), 80), Endpoint(parse_address(other), 80, 2)),
                when_empty=list(Refusal)[number % 2],
                affinity=60 if protocol is Protocol.TCP else 0,
                health_check_node_port=32000,
            )
        )
    return advance(Model(context), [(s.name, s) for s in services], context)[0]
