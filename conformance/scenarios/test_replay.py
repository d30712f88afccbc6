"""Scenarios out of files, played again."""

import pytest

from pointsman.conformance.scenarios import Connect, Scenario, play
from pointsman.conformance.world import World
from pointsman.core.features import Feature
from pointsman.core.model import Protocol


@pytest.mark.extended
@pytest.mark.semantics("SYNC-04", "SYNC-05")
def test_replay(world: World, features: frozenset[Feature], scenario: Scenario) -> None:
    """Every step ends as it says."""
    protocols = {step.protocol for step in scenario.steps if isinstance(step, Connect)}
    if Protocol.SCTP.name in protocols and Feature.SCTP not in features:
        pytest.skip("not here: the scenario needs SCTP")
    play(scenario, world)
