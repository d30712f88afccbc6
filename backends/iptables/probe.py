"""What this machine's iptables can do, found out by trying it in a network namespace made for the purpose.

A sample of everything the backend writes is restored there and read back; the namespace is gone afterwards,
and nothing outside it was touched.
"""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

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
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance

from .changes import steps
from .image import Image
from .kernel import Refused, Tools
from .memory import Memory, memory
from .planner import difference
from .sets import Sets
from .state import State, read_tables

DEFAULT_INSTANCE = "pointsman"
_CLONE_NEWNET = 0x40000000
_CAP_NET_ADMIN = 12

_ADDRESSES = {
    IPFamily.IPV4: ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.0/24"),
    IPFamily.IPV6: ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::/32"),
}


def probe(name: str, family: IPFamily, tools: Tools) -> Capabilities:
    """Try everything the backend needs.

    Raises:
        BackendUnavailable: something is missing; names it and the remedy.
    """
    check_permitted(name)
    features = dict.fromkeys(Feature, SUPPORTED)
    without_sets = attempt(family, tools, memory(family, sets=True))
    if without_sets is not None:
        reason = attempt(family, tools, memory(family, sets=False))
        if reason is not None:
            remedy = "use a kernel with the xtables matches and targets that kube-proxy needs"
            raise BackendUnavailable(name, f"{tools.restore} can't do what is needed ({reason})", remedy)
        features[Feature.SESSION_AFFINITY] = Support(
            Level.SUPPORTED,
            "without ip_set (CONFIG_IP_SET_HASH_IP, CONFIG_NETFILTER_XT_SET) the kernel remembers no more"
            f" clients per endpoint than xt_recent was loaded with, 100 by default ({without_sets})",
        )
    if family is IPFamily.IPV6:
        reason = "only IPv4 can route loopback addresses (SVC-NP-07)"
        features[Feature.LOCALHOST_NODE_PORTS] = Support(Level.UNSUPPORTED, reason)
    return Capabilities(features)


def check_permitted(name: str) -> None:
    """Make sure that tables may be read and written: some tools say that there are none where they may not.

    Raises:
        BackendUnavailable: they may not.
    """
    status = Path("/proc/thread-self/status").read_text(encoding="ascii")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    if not int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1:
        remedy = "run as root, or with CAP_NET_ADMIN"
        raise BackendUnavailable(name, "programming the kernel is not permitted", remedy)


@cache
def attempt(family: IPFamily, tools: Tools, way: Memory) -> str | None:
    """Write a sample with one way of remembering clients; what went wrong, None if nothing did.

    That is asked of a kernel once: its abilities are the same in every namespace.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_attempt, family, tools, way).result()


def _attempt(family: IPFamily, tools: Tools, way: Memory) -> str | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):  # of this thread alone, which ends with the attempt
        # With CAP_NET_ADMIN alone nothing can be tried without a trace: all but sets is taken on trust.
        return None if not way.needs_sets else _asked_for_sets(family)
    sample = _sample(family)
    image = Image(sample.node, way, "probe")
    image.fill(sample)
    sets = Sets(family)
    try:
        if way.needs_sets:
            sets.create(image.tables.sets)
        for step in steps(difference(State(), image.tables)):
            tools.write(step)
        held = read_tables(tools.read_ours())
        left = difference(held, image.tables)
    except (Refused, OSError) as error:
        return str(error)
    finally:
        sets.close()
    if left:
        return f"{next(iter(left.chains), 'a rule')} isn't read back as it was written"
    return None


def _asked_for_sets(family: IPFamily) -> str | None:
    sets = Sets(family)
    try:
        sets.held()
    except OSError as error:
        return str(error)
    finally:
        sets.close()
    return None


def _sample(family: IPFamily) -> Model:
    """A model that makes use of every kind of rule."""
    virtual, one, other, network = _ADDRESSES[family]
    context = NodeContext(
        family,
        local=LocalNetwork(parse_network(network)),
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
                affinity=60,
            )
        )
    return advance(Model(context), [(s.name, s) for s in services], context)[0]
