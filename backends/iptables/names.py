"""What chains are called (IPT-01): tools and habits know them by these names."""

import re
from hashlib import sha256

from pointsman.core.model import Endpoint, Pool, ServicePortName

SERVICES = "KUBE-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQ = "KUBE-MARK-MASQ"
CANARY = "KUBE-PROXY-CANARY"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
FORWARD = "KUBE-FORWARD"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
FIREWALL = "KUBE-FIREWALL"
CLUSTER_IPS = "KUBE-CLUSTER-IPS"
REFUSED_NODE_PORTS = "KUBE-REFUSED-NODEPORTS"

BRANCH = "KUBE-SVCS-"
UNCLAIMED = "KUBE-CIPS-"
BRANCHES = (BRANCH, UNCLAIMED)
SERVICE = "KUBE-SVC-"
LOCAL = "KUBE-SVL-"
EXTERNAL = "KUBE-EXT-"
SOURCES = "KUBE-FW-"
ENDPOINT = "KUBE-SEP-"
POOLS = {Pool.CLUSTER: SERVICE, Pool.LOCAL: LOCAL}
PER_SERVICE = (*BRANCHES, SERVICE, LOCAL, EXTERNAL, SOURCES, ENDPOINT)
_HASHED = re.compile(f"({'|'.join(PER_SERVICE)})[A-Z2-7]{{16}}")


# Base 32, ten bits at a time: the standard library's takes several times as long for such short ones.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = tuple(one + other for one in _LETTERS for other in _LETTERS)


def hashed(text: str) -> str:
    """Sixteen letters and digits that stand for a text."""
    bits = int.from_bytes(sha256(text.encode()).digest()[:10])
    return "".join([_PAIRS[bits >> at & 1023] for at in range(70, -1, -10)])


def is_hashed(chain: str) -> bool:
    """Whether a chain is named as those of single services, and branches; people give other names."""
    return _HASHED.fullmatch(chain) is not None


def display(name: ServicePortName) -> str:
    """A service port as comments name it: ``namespace/name:port``, without ``:port`` if it has no name."""
    return f"{name.namespace}/{name.name}" + (f":{name.port}" if name.port else "")


def key(name: ServicePortName) -> str:
    """What the names of a service port's chains are hashed from."""
    return display(name) + name.protocol.name.lower()


def pool_chain(name: ServicePortName, pool: Pool) -> str:
    """The chain that picks from a pool: ``KUBE-SVC-…`` or ``KUBE-SVL-…``."""
    return POOLS[pool] + hashed(key(name))


def endpoint_chain(name: ServicePortName, endpoint: Endpoint) -> str:
    """The chain that leads to one endpoint; also the name of the set of clients that stick to it."""
    return ENDPOINT + hashed(key(name) + str(endpoint))


def variant_chain(prefix: str, name: ServicePortName, variant: str) -> str:
    """A ``KUBE-EXT-…`` or ``KUBE-FW-…`` chain; the variant is empty for the one that everybody knows."""
    return prefix + hashed(key(name) + variant)
