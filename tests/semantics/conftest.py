"""What the tests of the contract share."""

import pytest

from pointsman.core.addresses import IPFamily

from .world import World


@pytest.fixture(params=list(IPFamily), ids=str)
def family(request: pytest.FixtureRequest) -> IPFamily:
    """Each family in turn: the contract is the same."""
    family: IPFamily = request.param
    return family


@pytest.fixture
def world(family: IPFamily) -> World:
    """A node with the usual settings."""
    return World(family)
