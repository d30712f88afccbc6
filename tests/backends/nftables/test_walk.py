"""What the compiled rules do to packets is what the model says: every way against the oracle, no kernel."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.walk import follow
from pointsman.core.packet import Packet
from pointsman.core.plan import diff
from tests import strategies
from tests.backends.nftables.fates import ends, meant, right
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
