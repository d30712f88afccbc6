"""What the compiled rules do to packets is what the model says: every way against the oracle, no kernel."""

from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.netlink.elements import Element
from pointsman.backends.nftables.netlink.objects import ChainInfo, RuleInfo
from pointsman.backends.nftables.walk import follow
from pointsman.core.model import Endpoint
from pointsman.core.packet import Packet
from pointsman.core.plan import advance, diff
from tests import strategies
from tests.backends.nftables.fates import ends, meant, right
from tests.backends.nftables.simulated import Simulated
from tests.backends.nftables.synced import Synced, without_loopback


def some_packets(packets: st.SearchStrategy[Packet]) -> st.SearchStrategy[list[Packet]]:
    return st.lists(packets, min_size=1, max_size=4)


@settings(max_examples=4 * settings().max_examples)
@given(st.data())
def test_every_packet_fares_as_the_oracle_says(data: st.DataObject) -> None:
    model = without_loopback(data.draw(strategies.families.flatmap(strategies.models)))
    table, oracle = Synced(model).table, Oracle.of(model)
    for packet in data.draw(some_packets(strategies.packets(model))):
        assert ends(follow(table, packet)) == meant(oracle.judge(packet))


@given(st.data())
def test_in_the_middle_of_a_sync_packets_fare_as_before_or_as_after(data: st.DataObject) -> None:
    """Whatever transaction came last, a packet gets the whole old answer or the whole new one."""
    family = data.draw(strategies.families)
    old, *later = (
        without_loopback(model) for model, _ in data.draw(strategies.histories(family, min_size=2))
    )
    synced = Synced(old)
    for new in later:
        packets = data.draw(some_packets(strategies.packets(old) | strategies.packets(new)))
        for _ in synced.advance(new, diff(old, new)):
            for packet in packets:
                assert ends(follow(synced.table, packet)) in right(packet, old, new)
        for packet in packets:
            assert ends(follow(synced.table, packet)) == meant(Oracle.of(new).judge(packet))
        old = new


class Stalled:
    """What a packet meets whose processor stood still, for any time, where an endpoint was to be picked."""

    def __init__(self, before: Simulated, after: Simulated) -> None:
        self._before, self._after = before, after

    def bases(self) -> Iterable[ChainInfo]:
        return self._after.bases()

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        """Of a chain that went, the packet still goes through the rules: the kernel frees none too early."""
        return self._holder(chain).rules(chain)

    def key_length(self, name: str) -> int:
        return self._holder(name).key_length(name)

    def find(self, name: str, key: bytes) -> Element | None:
        return self._holder(name).find(name, key)

    def _holder(self, name: str) -> Simulated:
        early = name in ("services", "nodeport-services", "classes", "firewall") or name.startswith("allow-")
        gone = name not in self._after.chains and name not in self._after.sets
        return self._before if early or gone else self._after


def fewer(endpoints: tuple[Endpoint, ...]) -> st.SearchStrategy[tuple[Endpoint, ...]]:
    """Some of them, or all: those of a pool are sorted."""
    return (
        st.sets(st.sampled_from(endpoints), min_size=1).map(sorted).map(tuple) if endpoints else st.just(())
    )


@given(st.data())
def test_a_packet_that_stood_still_while_endpoints_left_is_not_refused(data: st.DataObject) -> None:
    old = without_loopback(data.draw(strategies.families.flatmap(strategies.models)))
    smaller = [
        (name, replace(state, cluster=data.draw(fewer(state.cluster)), local=data.draw(fewer(state.local))))
        for name, state in old.services.items()
    ]
    new, delta = advance(old, smaller, old.node)
    before, synced = Synced(old).table, Synced(old)
    for _ in synced.advance(new, delta):
        pass
    for packet in data.draw(some_packets(strategies.packets(old))):
        reached = ends(follow(Stalled(before, synced.table), packet))
        was, will_be = right(packet, old, new)
        assert {end[:3] for end in reached} <= {end[:3] for end in (*was, *will_be)}
