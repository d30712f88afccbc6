"""Between two transactions of a sync no packet meets a service that is half there."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.iptables import dataplane as subject
from pointsman.backends.iptables.changes import Step, steps
from pointsman.backends.iptables.kernel import Tools, Variant
from pointsman.backends.iptables.planner import difference
from pointsman.backends.iptables.state import State, read_tables
from pointsman.backends.iptables.tables import ChainName, Rules, Tables
from pointsman.backends.iptables.trace import trace
from pointsman.conformance.lab import Namespace
from pointsman.core.backend import expected
from pointsman.core.model import Match, Model, ServicePortName
from pointsman.core.packet import Action, Packet
from pointsman.core.plan import advance
from tests import strategies
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.fates import fate, fates, ours
from tests.backends.iptables.images import image
from tests.backends.iptables.test_seed import CLUSTER_IP, NAME, PODS, seed

pytestmark = [
    pytest.mark.netns,
    pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"),
]

SMALL = 12  # lines of a transaction


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Namespace("steps") as opened:
        made = Kernel(opened, request.param)
        opened.run(made.dataplane.dataplane_probe)  # whose transactions are not the test's
        yield made
        made.close()


def watching(met: list[State], patched: pytest.MonkeyPatch) -> None:
    """Have the tables read after every transaction."""
    write = Tools.write

    def watched(self: Tools, step: Step) -> None:
        write(self, step)
        met.append(read_tables(self.read_ours()))

    patched.setattr(Tools, "write", watched)


@pytest.mark.parametrize("variant", Variant)
@settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_packets_meet_the_old_or_the_new(variant: Variant, data: st.DataObject) -> None:
    family = data.draw(strategies.families)
    (old, _), (new, _), *_ = data.draw(strategies.histories(family, min_size=2))
    assume(old.node == new.node)
    packets = data.draw(st.lists(st.one_of(*map(strategies.packets, (old, new))), min_size=6, max_size=10))
    with Namespace("steps") as namespace, pytest.MonkeyPatch.context() as patched:
        kernel = Kernel(namespace, variant, family)
        try:
            kernel.sync(old, full=True)
            met: list[State] = []
            watching(met, patched)
            kernel.sync(new)
            for packet in packets:
                if ours(new, packet):
                    found = {trace(state, packet).verdict for state in met}
                    assert found <= {*fates(old, new, packet)}, packet
        finally:
            kernel.close()


def test_a_first_sync_in_small_chunks_leads_nobody_to_part_of_a_service(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the nft variant transactions are cut; jumps come last: nothing is met before it is whole."""
    met: list[State] = []
    watching(met, monkeypatch)
    monkeypatch.setattr(subject, "CHUNK", SMALL)
    model = many(range(20))

    kernel.sync(model, full=True)

    assert len(met) > 10 if kernel.variant is Variant.NFT else len(met) <= 3
    for packet in asked(model):
        verdicts = [trace(state, packet).verdict for state in met]
        served = [verdict.action is Action.FORWARD for verdict in verdicts]
        assert set(verdicts) <= {fate(Model(model.node), packet), fate(model, packet)}
        assert served == sorted(served)
        assert served[-1]


def test_in_the_nft_variant_no_transaction_is_longer_than_it_may_be_but_for_one_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = image(many(range(20)))
    longest = max(len(rules) for rules in made.tables.chains.values())

    cut = list(steps(difference(State(), made.tables), SMALL))

    assert all(len(list(step.lines())) <= max(SMALL, len(made.tables.chains), longest) + 2 for step in cut)


def test_a_tree_that_is_cut_while_it_takes_another_shape_loses_nobody() -> None:
    """A branch is whole before its parent leads to it, whatever the hashes in their names."""
    numbers = Random(5).sample(range(4096), 500)
    stay = numbers[:100]
    before, after = tree_of(set(stay)), tree_of(set(numbers))
    packets = [Packet(PODS[0].address, address(n), 80, NAME.protocol, "cni0") for n in stay[::4]]

    held = dict(before.chains)
    cut = list(steps(difference(State(before.chains, {}), after), 10 * SMALL))
    for step in cut:
        carry_out(step, held)
        state = State(held, {**after.shared, **after.jumps})
        assert {trace(state, packet).verdict.action for packet in packets} == {Action.FORWARD}

    assert len(cut) > 10
    assert held == after.chains


@pytest.mark.parametrize("variant", Variant)
@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_early_part_of_a_cold_start_leaves_alone_what_its_turn_is_later(
    variant: Variant, data: st.DataObject
) -> None:
    family = data.draw(strategies.families)
    (model, _), *_ = data.draw(strategies.histories(family, min_size=1))
    packets = data.draw(st.lists(strategies.packets(model), min_size=4, max_size=8))
    names = sorted(model.services)
    part = model
    for name in names[len(names) // 2 :]:
        part = without(part, name)
    with Namespace("cold") as namespace:
        kernel = Kernel(namespace, variant, family)
        try:
            kernel.sync(model, full=True)
            kernel.restart()
            kernel.sync(part, full=True, complete=False)
            for packet in packets:
                if ours(model, packet):
                    told = namespace.run(kernel.dataplane.dataplane_trace, packet).verdict
                    assert told == fate(model, packet), packet
            kernel.sync(part, full=True)
            assert kernel.observe() == expected(part)
        finally:
            kernel.close()


def test_a_cold_start_in_parts_comes_to_the_same(kernel: Kernel) -> None:
    model = many(range(6))
    part = Model(model.node)
    for name in sorted(model.services):
        part = with_services(part, model, [name])
        kernel.sync(part, full=True, complete=False)
    kernel.sync(model, full=True)

    assert kernel.observe() == expected(model)
    kernel.restart()
    assert kernel.sync(model, full=True) == 0


def address(number: int) -> bytes:
    return (int.from_bytes(CLUSTER_IP) + number).to_bytes(4)


def tree_of(numbers: set[int]) -> Tables:
    """The tables for such services."""
    return image(many(numbers)).tables


def carry_out(step: Step, held: dict[ChainName, Rules]) -> None:
    """Do what `iptables-restore --noflush` does with a transaction."""
    table = step.table
    for line in chain.from_iterable(step.parts):
        if line.startswith(":"):
            held[ChainName(table, line[1:].split()[0])] = ()
        elif line.startswith("-A "):
            name, _, text = line[3:].partition(" ")
            held[ChainName(table, name)] += (text,)
        elif line.startswith("-X "):
            del held[ChainName(table, line[3:])]


def many(numbers: Iterable[int]) -> Model:
    """Services like the seed's, at addresses with these distances from its own."""
    first = seed().services[NAME]
    services = []
    for number in numbers:
        [frontend] = first.frontends
        moved = replace(frontend, match=Match(address(number), NAME.protocol, 80))
        name = NAME._replace(name=f"service-{number}")
        services.append((name, replace(first, name=name, frontends=(moved,), cluster=PODS)))
    return advance(Model(seed().node), services, seed().node)[0]


def asked(model: Model) -> Iterator[Packet]:
    for service in model.services.values():
        match = service.frontends[0].match
        assert match.address is not None
        yield Packet(PODS[0].address, match.address, match.port, match.protocol, "cni0")


def without(model: Model, name: ServicePortName) -> Model:
    return advance(model, [(name, None)], model.node)[0]


def with_services(model: Model, whole: Model, names: Sequence[ServicePortName]) -> Model:
    changes = [(name, whole.services[name]) for name in names]
    return advance(model, changes, model.node)[0]
