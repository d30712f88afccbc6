"""Whatever happens to a cluster, in whatever order: connections get the answers that the oracle expects."""

import pytest

from pointsman.conformance.scenarios import Campaign


@pytest.mark.extended
@pytest.mark.semantics("SYNC-04", "SYNC-05", "SYNC-08", "TRK-01")
def test_random_scenarios_end_well(campaign: Campaign) -> None:
    """And after each step the dataplane holds what it was told. One that fails is shrunk and written down."""
    campaign.run()
