"""Beside others: tables like those of firewalls, container engines and CNI plugins, and a second instance."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed, expected
from pointsman.core.model import Model, NodeContext
from pointsman.core.plan import SyncPlan, diff
from tests import strategies
from tests.backends.nftables.models import seed
from tests.backends.nftables.netlink.namespaces import Namespace
from tests.backends.nftables.synced import without_loopback

pytestmark = [pytest.mark.netns, pytest.mark.program("nft")]

FAMILIES = tuple(IPFamily)

# A firewall with zones, as firewalld lays them out.
FIREWALL = """
table inet firewall {
  set trusted { type ipv4_addr; flags interval; elements = { 10.244.0.0/16 }; }
  chain zone-of { iifname vmap { "lo" : accept, "cni0" : jump zone-pods }; jump zone-public; }
  chain zone-pods { ip saddr @trusted accept; }
  chain zone-public { tcp dport { 22, 9090 } accept; }
  chain input { type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept; ct state invalid drop; jump zone-of; }
  chain forward { type filter hook forward priority filter + 10; policy accept; jump zone-of; }
  chain prerouting { type nat hook prerouting priority dstnat + 10; tcp dport 2222 redirect to :22; }
}
"""
# A container engine: a bridge, published ports, masquerading.
ENGINE = """
table ip containers {
  chain published { tcp dport 8443 counter dnat to 172.17.0.2:443; }
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump published; }
  chain output { type nat hook output priority -100;
    ip daddr != 127.0.0.0/8 fib daddr type local jump published; }
  chain postrouting { type nat hook postrouting priority srcnat;
    ip saddr 172.17.0.0/16 oifname != "br0" masquerade; }
  chain forward { type filter hook forward priority filter; policy accept;
    oifname "br0" ct state { established, related } accept; oifname "br0" counter drop; }
}
"""
# Host ports of pods, for both families, with marks of their own.
HOST_PORTS = """
table inet host-ports {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service;
    elements = { tcp . 8080 : 10.244.1.7 . 80, udp . 5353 : 10.244.1.8 . 53 }; }
  chain set-mark { meta mark set meta mark | 0x2000; }
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump set-mark; }
  chain postrouting { type nat hook postrouting priority srcnat; meta mark & 0x2000 == 0x2000 masquerade; }
}
"""
FOREIGN = (FIREWALL, ENGINE, HOST_PORTS)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    opened = Namespace()
    yield opened
    opened.close()


class Instance:
    """A dataplane by its name."""

    def __init__(self, namespace: Namespace, family: IPFamily, name: str) -> None:
        self._namespace = namespace
        self.family = family
        self._dataplane = NftablesDataplane(DataplaneSettings(family, name))
        self.model = Model(NodeContext(family))

    def sync(self, desired: Model, *, full: bool = False) -> int:
        return self._namespace.call(self.sync_here, desired, full=full)

    def sync_here(self, desired: Model, *, full: bool = False) -> int:
        """In the calling thread."""
        plan = SyncPlan(self.family, desired, diff(self.model, desired), full=full)
        report = self._dataplane.dataplane_sync(plan)
        self.model = desired
        return report.writes

    def observe(self) -> Observed:
        return self._namespace.call(self._dataplane.dataplane_observe, None)

    def cleanup(self) -> None:
        self._namespace.call(self._dataplane.dataplane_cleanup)

    def close(self) -> None:
        self._namespace.call(self._dataplane.dataplane_close)


def listed(namespace: Namespace, *but: str) -> str:
    """The whole ruleset with handles, without some tables; counters have no part in it."""
    done = namespace.nft("-a", "list", "ruleset")
    assert done.returncode == 0, done.stderr
    tables = re.split(r"(?m)^(?=table )", done.stdout)
    return "".join(table for table in tables if not any(table.startswith(f"table {name} ") for name in but))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_of_anybody_elses_is_read_or_touched(family: IPFamily, data: st.DataObject) -> None:
    namespace = Namespace()
    ours = f"{'ip' if family is IPFamily.IPV4 else 'ip6'} pointsman"
    instance = Instance(namespace, family, "pointsman")
    try:
        for text in FOREIGN:
            namespace.load(text)
        before = listed(namespace)
        for model, _ in data.draw(strategies.histories(family)):
            instance.sync(without_loopback(model), full=instance.model == Model(NodeContext(family)))
            assert listed(namespace, ours) == before
            assert instance.observe() == expected(instance.model)
        instance.cleanup()
        assert listed(namespace) == before
    finally:
        instance.close()
        namespace.close()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_others_may_come_go_and_change_without_our_writing_anything(
    namespace: Namespace, family: IPFamily
) -> None:
    instance = Instance(namespace, family, "pointsman")
    instance.sync(seed(family), full=True)
    for text in FOREIGN:
        namespace.load(text)
        assert instance.sync(instance.model) == 0
    for what in (
        "add element inet firewall trusted { 192.0.2.0/24 }",
        "flush chain ip containers published",
        "delete table inet host-ports",
        f"add table {'ip' if family is IPFamily.IPV4 else 'ip6'} pointsmen",
    ):
        namespace.load(what)
        assert instance.sync(instance.model) == 0
    assert instance.sync(seed(family, 5)) > 0
    assert instance.observe() == expected(instance.model)
    instance.close()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_second_instance_has_a_table_of_its_own(namespace: Namespace, family: IPFamily) -> None:
    one, two = (Instance(namespace, family, name) for name in ("pointsman", "pointsman-two"))
    one.sync(seed(family, 4), full=True)
    two.sync(seed(family, 2, affinity=60), full=True)
    for instance, other in ((one, two), (two, one)):
        assert instance.sync(instance.model, full=True) == 0
        assert instance.sync(seed(family, 6)) > 0
        assert other.sync(other.model) == 0
        assert other.observe() == expected(other.model)
    one.cleanup()
    assert one.observe() == Observed({})
    assert two.observe() == expected(two.model)
    assert two.sync(two.model) == 0
    one.close()
    two.close()


def test_both_families_have_a_table_each(namespace: Namespace) -> None:
    four, six = (Instance(namespace, family, "pointsman") for family in FAMILIES)
    four.sync(seed(four.family), full=True)
    six.sync(seed(six.family), full=True)
    four.cleanup()
    assert six.observe() == expected(six.model)
    four.close()
    six.close()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_two_instances_may_sync_at_once(namespace: Namespace, family: IPFamily) -> None:
    """Each commit of the one makes the other's generation stale; neither gives up for that."""
    instances = [Instance(namespace, family, name) for name in ("pointsman", "pointsman-two")]
    for instance in instances:
        instance.sync(seed(family), full=True)

    def change(instance: Instance) -> None:
        # The sockets are the namespace's, whatever thread uses them.
        for number in range(100):
            instance.sync_here(seed(family, 1 + number % 5))

    with ThreadPoolExecutor(max_workers=len(instances)) as threads:
        list(threads.map(change, instances))
    for instance in instances:
        assert instance.sync(instance.model) == 0
        assert instance.observe() == expected(instance.model)
        instance.close()
