"""How long the first sync waits for the node to say who it is (IN-NODE-04)."""

import logging

from .addresses import family_of
from .config import LocalMode, ProxyConfig
from .errors import PointsmanError
from .node import NodeFacts
from .runner import Clock

ADDRESS_SECONDS = 30.0
POD_NETWORK_SECONDS = 300.0

log = logging.getLogger(__name__)


class NodeUnfit(PointsmanError):
    """The Node object doesn't allow this process to serve, or to go on; another start may."""


class NodePatience:
    """Waits, from now on, for what the configuration needs of the Node object.

    Addresses are worth half a minute: without them the node is served as if it had none but loopback. In
    NodeCIDR mode pod networks are worth five minutes, and without them there is no serving. The rules of the
    process before go on in the meantime.
    """

    def __init__(self, config: ProxyConfig, clock: Clock) -> None:
        """``clock`` tells monotonic seconds."""
        self._config = config
        self._clock = clock
        self._began = clock()
        self._over = False

    def left(self, facts: NodeFacts) -> float:
        """The seconds that a first sync may still wait for more than these facts, 0 once it need not.

        Raises:
            NodeUnfit: it has waited for pod networks long enough.
        """
        passed = self._clock() - self._began
        if not self._over and self._lacks_pod_networks(facts):
            if passed < POD_NETWORK_SECONDS:
                return POD_NETWORK_SECONDS - passed
            raise NodeUnfit(
                f"Node {self._config.node_name} has no spec.podCIDRs after {POD_NETWORK_SECONDS:.0f} s, which"
                f" --detect-local-mode={LocalMode.NODE_CIDR} needs; have them allocated, or choose another"
            )
        if not self._over and not facts.ips and self._config.bind_address is None:
            if passed < ADDRESS_SECONDS:
                return ADDRESS_SECONDS - passed
            log.warning(
                "node_ips_unknown",
                extra={
                    "node": self._config.node_name,
                    "seconds": ADDRESS_SECONDS,
                    "effect": "this node is served as if it had no address of its own",
                    "remedy": "see that its Node object has an InternalIP, or give --bind-address",
                },
            )
        self._over = True
        return 0.0

    def _lacks_pod_networks(self, facts: NodeFacts) -> bool:
        if self._config.local_mode is not LocalMode.NODE_CIDR:
            return False
        return not any(family_of(network.address) in self._config.families for network in facts.pod_cidrs)


def check_pod_networks(config: ProxyConfig, before: NodeFacts, after: NodeFacts) -> None:
    """Rules that were made for some pod networks are not turned into rules for others (IN-NODE-05).

    Raises:
        NodeUnfit: they have changed.
    """
    if config.local_mode is not LocalMode.NODE_CIDR or not before.pod_cidrs:
        return
    if before.pod_cidrs != after.pod_cidrs:
        was, now = (", ".join(map(str, facts.pod_cidrs)) or "none" for facts in (before, after))
        raise NodeUnfit(
            f"spec.podCIDRs of Node {config.node_name} changed from {was} to {now}; this process ends, and"
            " the next one serves with the new ones. The rules stay until then"
        )
