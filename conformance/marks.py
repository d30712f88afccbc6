"""Marks for cases that come in variants."""

import pytest

from pointsman.core.features import Feature
from pointsman.core.model import Protocol

each_protocol = pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(Protocol.TCP, id="tcp"),
        pytest.param(Protocol.UDP, id="udp"),
        pytest.param(Protocol.SCTP, id="sctp", marks=pytest.mark.requires(Feature.SCTP)),
    ],
)
"""Play a case for TCP, UDP and SCTP, its argument ``protocol`` (PRO-01)."""
