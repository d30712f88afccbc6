"""Fixtures for the oracle's tests."""

import pytest

from tests.backends.memory.cluster import IPV4, IPV6, Cluster


@pytest.fixture(params=[IPV4, IPV6], ids=lambda cluster: str(cluster.family))
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The cluster in either family."""
    found: Cluster = request.param
    return found
