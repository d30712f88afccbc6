"""What the compiled rules do to packets is what the model says: every way against the oracle, no kernel."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from msgspec.structs import replace

from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.machine import State
from pointsman.backends.nftables.walk import follow
from pointsman.core.model import Model
from pointsman.core.packet import Action, Packet, Verdict
from pointsman.core.plan import diff
from tests import strategies
from tests.backends.nftables.synced import Synced, without_loopback

End = tuple[Action, bytes, int, bool]
"""What may become of a packet; where it is forwarded to, and whether it is masqueraded, if it is."""


def ends(ways: Sequence[State]) -> dict[End, Fraction]:
    """What the rules make of a packet, with what probability."""
    found: dict[End, Fraction] = {}
    for way in ways:
        end = (way.action, way.destination, way.port, way.masqueraded)
        end = end if way.action is Action.FORWARD else (way.action, b"", 0, False)
        found[end] = found.get(end, Fraction()) + way.probability
    return found


def meant(verdict: Verdict) -> dict[End, Fraction]:
    """What the oracle makes of it."""
    if verdict.action is not Action.FORWARD:
        return {(verdict.action, b"", 0, False): Fraction(1)}
    total = sum(endpoint.weight for endpoint in verdict.endpoints)
    return {
        (Action.FORWARD, e.address, e.port, e in verdict.masqueraded): Fraction(e.weight, total)
        for e in verdict.endpoints
    }


def allowed_in_between(packet: Packet, verdicts: Sequence[Verdict]) -> set[End]:
    """What a packet may meet halfway: a verdict, or an endpoint of one with the masquerade of another.

    A pod that reaches itself has to be masqueraded at any time, or the answers would go astray (MSQ-03).
    """
    either = {end for verdict in verdicts for end in meant(verdict)}
    masquerades = {masquerade for *_, masquerade in either}
    return either | {
        (action, address, port, masquerade)
        for action, address, port, _ in either
        for masquerade in masquerades
        if action is Action.FORWARD and (masquerade or address != packet.source)
    }


def without_sources(model: Model) -> Model:
    """The model with everybody admitted everywhere: endpoints come before the sources they are kept from."""
    services = {
        name: replace(service, frontends=tuple(replace(f, sources=None) for f in service.frontends))
        for name, service in model.services.items()
    }
    return replace(model, services=Map(services))


def some_packets(packets: st.SearchStrategy[Packet]) -> st.SearchStrategy[list[Packet]]:
    return st.lists(packets, min_size=1, max_size=4)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_every_packet_fares_as_the_oracle_says(data: st.DataObject) -> None:
    model = without_loopback(data.draw(strategies.families.flatmap(strategies.models)))
    table, oracle = Synced(model).table, Oracle.of(model)
    for packet in data.draw(some_packets(strategies.packets(model))):
        assert ends(follow(table, packet)) == meant(oracle.judge(packet))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_in_the_middle_of_a_sync_packets_fare_as_before_or_as_after(data: st.DataObject) -> None:
    """Each transaction of the three leaves a table in which everybody finds where to go."""
    family = data.draw(strategies.families)
    old, *later = (
        without_loopback(model) for model, _ in data.draw(strategies.histories(family, min_size=2))
    )
    synced = Synced(old)
    for new in later:
        packets = data.draw(some_packets(strategies.packets(old) | strategies.packets(new)))
        before, after, admitting = Oracle.of(old), Oracle.of(new), Oracle.of(without_sources(new))
        for _ in synced.advance(new, diff(old, new)):
            for packet in packets:
                verdicts = [before.judge(packet), after.judge(packet)]
                if verdicts[0].action is Action.FORWARD:
                    verdicts.append(admitting.judge(packet))
                assert ends(follow(synced.table, packet)).keys() <= allowed_in_between(packet, verdicts)
        for packet in packets:
            assert ends(follow(synced.table, packet)) == meant(after.judge(packet))
        old = new
