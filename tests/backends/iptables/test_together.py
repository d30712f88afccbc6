"""A change that is cut into transactions leaves each packet the whole old or the whole new answer."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.iptables import dispatch
from pointsman.backends.iptables.changes import steps
from pointsman.backends.iptables.state import State
from pointsman.backends.iptables.trace import trace
from pointsman.core.model import Answer, Endpoint, FrontendKind, Masquerade, Match, Model, Pool
from pointsman.core.packet import Action, Packet
from pointsman.core.plan import advance, diff
from tests import strategies
from tests.backends.iptables.fates import fate, fates, ours
from tests.backends.iptables.images import image, state
from tests.backends.iptables.test_seed import CLUSTER_IP, CONTEXT, NAME, PODS, seed
from tests.backends.iptables.test_steps import carry_out

OTHER_IP = CLUSTER_IP[:3] + b"\x63"
MOVED = Endpoint(PODS[0].address, 9090)


@pytest.fixture(autouse=True)
def small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few addresses make a tree."""
    monkeypatch.setattr(dispatch, "LINEAR", 2)
    monkeypatch.setattr(dispatch, "LEAF", 1)


def between(old: Model, new: Model, chunk: int | None) -> list[State]:
    """What the kernel holds after each transaction of so many lines, none but in one piece if need be."""
    made = image(old)
    foreign, chains = state(made).foreign, dict(made.tables.chains)
    met: list[State] = []
    for step in steps(made.image.apply(diff(old, new)).changes, chunk):
        carry_out(step, chains)
        met.append(State(dict(chains), foreign))
    assert chains == image(new).tables.chains
    return met


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_packet_meets_half_a_change(data: st.DataObject) -> None:
    """Also where every chain that may be written alone is."""
    family = data.draw(strategies.families)
    (old, _), (new, _), *_ = data.draw(strategies.histories(family, min_size=2, max_size=2))
    assume(old.node == new.node)
    packets = data.draw(st.lists(st.one_of(*map(strategies.packets, (old, new))), min_size=6, max_size=10))
    met = between(old, new, data.draw(st.sampled_from((None, 1, 6))))
    for packet in packets:
        if ours(new, packet):
            assert {trace(held, packet).verdict for held in met} <= {*fates(old, new, packet)}, packet


@pytest.mark.parametrize("chunk", [None, 1])
def test_who_is_masqueraded_for_one_pool_does_not_meet_another(chunk: int | None) -> None:
    """One cluster IP gets another pool, while the one that it leaves changes for the other."""
    asked = Answer(Pool.CLUSTER, Masquerade.ALWAYS)
    [frontend] = seed().services[NAME].frontends
    first = replace(frontend, near=asked)
    second = replace(frontend, match=Match(OTHER_IP, NAME.protocol, 80))
    before = replace(seed().services[NAME], frontends=(first, second), cluster=PODS[:2], local=(), affinity=0)
    after = replace(
        before,
        frontends=(replace(first, near=Answer(Pool.LOCAL, Masquerade.NEVER)), second),
        cluster=(MOVED,),
        local=PODS[2:],
    )
    old, new = (advance(Model(CONTEXT), [(NAME, service)], CONTEXT)[0] for service in (before, after))
    for address in (CLUSTER_IP, OTHER_IP):
        packet = Packet(PODS[3].address, address, 80, NAME.protocol, "cni0")
        verdicts = [trace(held, packet).verdict for held in between(old, new, chunk)]
        assert {*verdicts} <= {fate(old, packet), fate(new, packet)}
        assert {verdict.action for verdict in verdicts} == {Action.FORWARD}


def test_who_goes_is_not_led_on_to_what_others_get() -> None:
    """By a chain for external addresses that stays as it is, to a pool that doesn't."""
    [frontend] = seed().services[NAME].frontends
    asked = Answer(Pool.CLUSTER, Masquerade.ALWAYS)
    external = replace(frontend, kind=FrontendKind.EXTERNAL_IP, near=asked)
    going, kept = (replace(external, match=Match(OTHER_IP, NAME.protocol, port)) for port in (80, 443))
    before = replace(seed().services[NAME], frontends=(going, kept), cluster=PODS[:2])
    after = replace(before, frontends=(kept,), cluster=(MOVED,))
    old, new = (advance(Model(CONTEXT), [(NAME, service)], CONTEXT)[0] for service in (before, after))
    packet = Packet(PODS[3].address, OTHER_IP, 80, NAME.protocol, "cni0")

    verdicts = {trace(held, packet).verdict for held in between(old, new, 1)}

    assert verdicts <= {*fates(old, new, packet)}


def test_a_node_port_does_not_come_before_what_an_address_of_the_node_has_there() -> None:
    name = NAME._replace(name="other")
    [frontend] = seed().services[NAME].frontends
    ported = replace(frontend, match=Match(None, NAME.protocol, 80), kind=FrontendKind.NODE_PORT)
    own = replace(frontend, match=Match(OTHER_IP, NAME.protocol, 80), kind=FrontendKind.EXTERNAL_IP)
    first = replace(seed().services[NAME], frontends=(*seed().services[NAME].frontends, ported))
    other = replace(first, name=name, frontends=(own,), cluster=())
    old = seed()
    new = advance(old, [(NAME, first), (name, other)], CONTEXT)[0]
    packet = Packet(PODS[3].address, OTHER_IP, 80, NAME.protocol, "cni0", to_node=True)

    for before, after in ((old, new), (new, old)):
        verdicts = {trace(held, packet).verdict.action for held in between(before, after, 1)}
        assert Action.FORWARD not in verdicts


def test_services_that_have_nothing_to_do_with_each_other_are_written_apart() -> None:
    name = NAME._replace(name="other")
    [frontend] = seed().services[NAME].frontends
    other = replace(
        seed().services[NAME],
        name=name,
        frontends=(replace(frontend, match=Match(OTHER_IP, NAME.protocol, 80)),),
    )
    old = advance(seed(), [(name, other)], CONTEXT)[0]
    changes = [(key, replace(service, cluster=PODS[:2])) for key, service in old.services.items()]
    new = advance(old, changes, CONTEXT)[0]

    assert len(between(old, new, None)) == 1
    assert len(between(old, new, 1)) == 2 + 2  # one each, and what goes: emptied, removed
