"""Addresses that a machine loses, and has again."""

import pytest

from pointsman.conformance.lab import NODE, Lab, Reply, Silent, connect
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

pytestmark = pytest.mark.netns


@pytest.mark.parametrize(
    ("family", "address"), [(IPFamily.IPV4, "10.200.0.1"), (IPFamily.IPV6, "fd00:200::1")], ids=["4", "6"]
)
def test_an_address_is_gone_and_comes_back(lab: Lab, family: IPFamily, address: str) -> None:
    """It answers as soon as it is there again, time after time."""
    with lab.serve(NODE, Protocol.TCP, family, 8080):
        assert isinstance(connect(lab["pod-a"], address, 8080), Reply)
        with lab.without_address(NODE, address):
            assert isinstance(connect(lab["pod-a"], address, 8080, wait=0.3), Silent)
        for _ in range(10):
            with lab.without_address(NODE, address):
                pass
            assert isinstance(connect(lab["pod-a"], address, 8080), Reply)


def test_a_machine_loses_only_what_it_has(lab: Lab) -> None:
    with pytest.raises(KeyError, match="node has no address"), lab.without_address(NODE, "192.0.2.1"):
        pass
