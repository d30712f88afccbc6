"""The dataplane against a real kernel, with both variants of iptables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Variant
from pointsman.backends.iptables.names import endpoint_chain
from pointsman.backends.iptables.sets import Sets
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.errors import BackendUnavailable
from pointsman.core.model import Model
from tests import strategies
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import NAME, PODS, SVC, seed

pytestmark = [
    pytest.mark.netns,
    pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"),
]


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Namespace("iptables") as namespace:
        opened = Kernel(namespace, request.param)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace("iptables") as opened:
        yield opened


@pytest.mark.timeout(600)
@pytest.mark.parametrize("variant", Variant)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(family=st.sampled_from(IPFamily), data=st.data())
def test_the_kernel_holds_what_was_meant_through_any_history(
    namespace: Namespace, variant: Variant, family: IPFamily, data: st.DataObject
) -> None:
    kernel = Kernel(namespace, variant, family)
    try:
        for number, (model, _) in enumerate(data.draw(strategies.histories(family))):
            kernel.sync(model, full=number == 0)
            assert kernel.observe() == expected(model)
            assert kernel.sync(model, full=True) == 0
        kernel.restart()
        assert kernel.sync(kernel.model, full=True) == 0
        assert namespace.run(kernel.dataplane.dataplane_cleanup)
        assert not namespace.run(kernel.dataplane.dataplane_cleanup)
        assert "KUBE-" not in kernel.save().replace("KUBE-FIREWALL", "")
        assert not namespace.run(_sets, family)
    finally:
        kernel.close()


def _sets(family: IPFamily) -> dict[str, int]:
    sets = Sets(family)
    try:
        return sets.held()
    finally:
        sets.close()


def _with_affinity(seconds: int) -> Model:
    model = seed()
    service = replace(model.services[NAME], affinity=seconds)
    return replace(model, services=model.services.set(NAME, service))


def test_a_deleted_rule_is_observed_and_mended_alone(kernel: Kernel) -> None:
    model = seed()
    kernel.sync(model, full=True)
    before = kernel.save()

    kernel.command("-t", "nat", "-D", SVC, "3")

    assert kernel.observe() != expected(model)
    assert kernel.sync(model, full=True) == 1 + 5  # that chain and its rules
    assert kernel.observe() == expected(model)
    assert _rules(kernel.save()) == _rules(before)


def test_a_rule_in_a_chain_of_ours_is_strange_and_goes(kernel: Kernel) -> None:
    model = seed()
    kernel.sync(model, full=True)

    kernel.command("-t", "nat", "-A", SVC, "-s", "192.0.2.1", "-j", "RETURN")

    assert any(SVC in strange for strange in kernel.observe().strange)
    kernel.sync(model, full=True)
    assert "192.0.2.1" not in kernel.save()


def test_a_flush_by_somebody_else_is_repaired(kernel: Kernel) -> None:
    model = seed()
    kernel.sync(model, full=True)
    before = _rules(kernel.save())

    kernel.command("-t", "nat", "-F")
    kernel.command("-t", "filter", "-F")

    assert kernel.observe() != expected(model)
    kernel.sync(model, full=True)
    assert _rules(kernel.save()) == before


def test_rules_of_others_are_left_alone(kernel: Kernel) -> None:
    kernel.command("-t", "nat", "-N", "CNI-OTHERS")
    kernel.command("-t", "nat", "-A", "CNI-OTHERS", "-s", "192.0.2.0/24", "-j", "ACCEPT")
    kernel.command("-t", "nat", "-A", "POSTROUTING", "-j", "CNI-OTHERS")
    kernel.command("-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    others = _rules(kernel.save())

    kernel.sync(seed(), full=True)
    assert others <= _rules(kernel.save())
    kernel.sync(Model(seed().node))
    kernel.namespace.run(kernel.dataplane.dataplane_cleanup)

    assert _rules(kernel.save()) == others


def test_SEC_01_SVC_NP_08_DIV_18_the_guard_is_added_beside_the_kubelets_rules(kernel: Kernel) -> None:
    kernel.command("-N", "KUBE-FIREWALL")
    kernel.command("-A", "KUBE-FIREWALL", "-m", "mark", "--mark", "0x8000/0x8000", "-j", "DROP")
    model = seed()
    node = replace(model.node, node_ports=replace(model.node.node_ports, loopback=True))

    kernel.sync(replace(model, node=node), full=True)

    text = kernel.save()
    assert "-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP" in text
    assert "--ctstate RELATED,ESTABLISHED,DNAT -j DROP" in text
    localnet = Path("/proc/sys/net/ipv4/conf/all/route_localnet")
    assert kernel.namespace.run(localnet.read_text) == "1\n"
    assert kernel.sync(replace(model, node=node), full=True) == 0


def test_a_change_of_one_service_leaves_the_others_as_they_are(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    model = kernel.model
    service = model.services[NAME]
    other = replace(service, name=NAME._replace(name="other"), frontends=())
    grown = replace(model, services=model.services.set(other.name, other))
    kernel.sync(grown)

    fewer = replace(grown, services=grown.services.set(other.name, replace(other, cluster=PODS[:1])))
    kernel.command("-t", "nat", "-I", SVC, "-m", "comment", "--comment", "untouched")
    kernel.sync(fewer)

    assert "--comment untouched" in kernel.save()


def test_another_instance_is_refused_where_the_names_are_taken(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    second = IptablesDataplane(DataplaneSettings(IPFamily.IPV4, "second"), kernel.variant)

    with pytest.raises(BackendUnavailable, match="belong to instance pointsman; stop it"):
        kernel.namespace.run(second.dataplane_probe)
    assert kernel.namespace.run(second.dataplane_cleanup) is False
    kernel.namespace.run(second.dataplane_close)


def test_a_flush_does_not_lock_an_instance_out(kernel: Kernel) -> None:
    named = DataplaneSettings(IPFamily.IPV4, "named")
    kernel.dataplane = IptablesDataplane(named, kernel.variant)
    kernel.sync(seed(), full=True)

    kernel.command("-t", "nat", "-F")
    kernel.sync(seed(), full=True)

    assert kernel.observe() == expected(seed())


def test_chains_of_kube_proxy_are_taken_over_by_the_default_instance_alone(kernel: Kernel) -> None:
    kernel.command("-t", "nat", "-N", "KUBE-SERVICES")
    kernel.command("-t", "nat", "-N", "KUBE-SVC-AAAAAAAAAAAAAAAA")
    kernel.command("-t", "nat", "-A", "PREROUTING", "-j", "KUBE-SERVICES")
    second = IptablesDataplane(DataplaneSettings(IPFamily.IPV4, "second"), kernel.variant)
    with pytest.raises(BackendUnavailable, match="belong to kube-proxy"):
        kernel.namespace.run(second.dataplane_probe)
    kernel.namespace.run(second.dataplane_close)
    assert not kernel.namespace.run(kernel.dataplane.dataplane_cleanup)
    assert "KUBE-SVC-AAAAAAAAAAAAAAAA" in kernel.save()

    kernel.sync(seed(), full=True)

    assert "KUBE-SVC-AAAAAAAAAAAAAAAA" not in kernel.save()
    assert kernel.observe() == expected(seed())


def test_a_probe_leaves_no_trace(kernel: Kernel) -> None:
    before = kernel.save()

    kernel.namespace.run(kernel.dataplane.dataplane_probe)

    assert kernel.save() == before


def test_ten_thousand_clients_are_remembered(kernel: Kernel) -> None:
    kernel.sync(_with_affinity(600), full=True)
    name = endpoint_chain(NAME, PODS[0])

    def fill() -> int:
        sets = Sets(IPFamily.IPV4)
        try:
            for number in range(10_001):
                address = (0x0AF50000 + number).to_bytes(4)
                sets._socket.add(name, ".".join(map(str, address)))
            return sum(1 for _ in sets._clients(name))
        finally:
            sets.close()

    assert kernel.namespace.run(fill) == 10_001


def test_another_timeout_holds_for_those_who_are_remembered_too(kernel: Kernel) -> None:
    kernel.sync(_with_affinity(600), full=True)
    name = endpoint_chain(NAME, PODS[0])

    def remember() -> None:
        sets = Sets(IPFamily.IPV4)
        try:
            sets._socket.add(name, "192.0.2.1", timeout=580)  # came 20 seconds ago
            sets._socket.add(name, "192.0.2.2", timeout=100)  # came 500 seconds ago
        finally:
            sets.close()

    def remembered() -> dict[str, int]:
        sets = Sets(IPFamily.IPV4)
        try:
            return dict(sets._clients(name))
        finally:
            sets.close()

    kernel.namespace.run(remember)
    kernel.sync(_with_affinity(60))

    [(client, left)] = kernel.namespace.run(remembered).items()
    assert client == "192.0.2.1"
    assert 30 <= left <= 40
    assert kernel.observe() == expected(kernel.model)


def _rules(text: str) -> set[str]:
    """The chains and rules in a dump, without its counters and times."""
    return {
        line.split(" [", 1)[0] for line in text.splitlines() if line.startswith((":", "-A", "*")) and line
    }
