"""Random models as rules: read back, moved along, and walked by packets, as the oracle says."""

from hypothesis import assume, given
from hypothesis import strategies as st

from pointsman.backends.iptables.means import Means
from pointsman.backends.iptables.memory import memory
from pointsman.backends.iptables.observe import observed
from pointsman.backends.iptables.trace import trace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import expected
from pointsman.core.model import Model
from pointsman.core.plan import Delta
from tests.backends.iptables.fates import fate, ours
from tests.backends.iptables.images import image, state
from tests.strategies import families, histories, models, packets


@given(st.data(), families, st.booleans(), st.booleans(), st.booleans())
def test_what_is_read_back_is_what_was_meant(
    data: st.DataObject, family: IPFamily, sets: bool, counted: bool, lean: bool
) -> None:
    model = data.draw(models(family))
    means = Means(memory(family, sets=sets), counted)

    found = observed(family, means, state(image(model, sets=sets, counted=counted, lean=lean)))

    assert found == expected(model)


@given(families.flatmap(histories), st.booleans())
def test_deltas_lead_to_the_tables_that_would_be_made_anew(
    history: list[tuple[Model, Delta]], lean: bool
) -> None:
    made = image(history[0][0], lean=lean)
    chains, sets = made.tables.chains, made.tables.sets
    for model, delta in history[1:]:
        anew = image(model, lean=lean)
        if delta.node:
            made, chains, sets = anew, anew.tables.chains, anew.tables.sets
            continue
        changes, before, after = made.image.apply(delta)
        assert before.items() <= sets.items()
        sets = {name: seconds for name, seconds in sets.items() if name not in before} | after
        for name, change in changes.chains.items():
            assert chains.get(name) == change.old != change.new
            chains.pop(name, None)
            if change.new is not None:
                chains[name] = change.new
        assert (chains, sets) == (anew.tables.chains, anew.tables.sets)


@given(st.data(), families, st.booleans())
def test_packets_meet_what_the_oracle_says(data: st.DataObject, family: IPFamily, lean: bool) -> None:
    model = data.draw(models(family))
    packet = data.draw(packets(model))
    assume(ours(model, packet))

    told = trace(state(image(model, lean=lean)), packet)

    assert told.verdict == fate(model, packet)
