"""What is set for which kernel."""

import pytest

from pointsman.backends.ipvs.environment import settings
from pointsman.core.addresses import IPFamily


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ("4.0.9", False),
        ("4.1.0", True),
        ("5.4.0-200-generic", True),
        ("5.8.18", True),
        ("5.9", False),
        ("5.10.0-30-amd64", False),
        ("6.1.176", False),
        ("next", False),
    ],
)
def test_IPVS_02_old_kernels_must_not_look_for_clients_ports_that_come_again(
    release: str, told: bool
) -> None:
    for family in IPFamily:
        assert (settings(family, release).get("vs/conn_reuse_mode") == "0") is told


def test_IPVS_02_forwarding_is_set_for_the_family_that_the_setting_is_about() -> None:
    assert settings(IPFamily.IPV4, "6.1")["ip_forward"] == "1"
    assert "ip_forward" not in settings(IPFamily.IPV6, "6.1")
