"""Behind somebody else's firewall: what all dataplanes have in common there (DIV-19).

The iptables program's own FORWARD chain, into which only iptables writes, is in its tests (SEC-03).
"""

from collections.abc import Iterator

import pytest

from pointsman.conformance.lab import Lab, LabSpec, Reply, Silent, connect
from pointsman.core.addresses import IPFamily, format_address, parse_network
from pointsman.core.model import Protocol, ServicePortName
from tests.backends.serving import PORT, TARGET_PORT, Served, cluster_ip

pytestmark = [pytest.mark.netns, pytest.mark.program("nft")]

WEB = ServicePortName("default", "web", "", Protocol.TCP)
VIP = parse_network("10.96.0.0/16").address[:-1] + b"\x0a"
FIREWALL = """
table inet firewall {
  chain forward { type filter hook forward priority filter + 10; policy drop; %s }
}
"""
TRANSLATED = "ct status dnat accept;"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSpec(pods=("pod-a",), remote_pods=())) as opened:
        opened.serve("pod-a", Protocol.TCP, IPFamily.IPV4, TARGET_PORT)
        yield opened


@pytest.fixture(params=["nftables", "iptables-legacy", "iptables-nft"])
def serving(request: pytest.FixtureRequest, lab: Lab) -> Iterator[None]:
    """A service of one endpoint, in the kernel by a dataplane."""
    served = Served(lab, request.param, IPFamily.IPV4)
    served.sync(cluster_ip(lab, IPFamily.IPV4, WEB, VIP, {"pod-a": 1}))
    yield
    served.close()


@pytest.fixture(params=["", TRANSLATED], ids=["shut", "open to what is translated"])
def firewall(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """What a firewall accepts, in a table of its own, while it stands."""
    nft(lab, FIREWALL % request.param)
    yield request.param
    nft(lab, "delete table inet firewall")


def nft(lab: Lab, text: str) -> None:
    process = lab.node.popen(["nft", text])
    assert process.wait(20) == 0


@pytest.mark.usefixtures("serving")
def test_what_it_drops_stays_dropped_and_what_it_accepts_arrives(lab: Lab, firewall: str) -> None:
    """No dataplane opens somebody else's table, and one rule there is all that any of them needs."""
    pod = lab.address("pod-a", IPFamily.IPV4)
    assert isinstance(connect(lab["client"], format_address(VIP), PORT), Reply if firewall else Silent)
    assert isinstance(connect(lab["client"], pod, TARGET_PORT), Silent), "nobody translates that"
