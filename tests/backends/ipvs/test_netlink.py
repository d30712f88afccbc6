"""Requests as bytes, read by somebody else's decoder."""

from ipaddress import ip_address

import pytest
from pyroute2.netlink.generic.ipvs import ipvsmsg

from pointsman.backends.ipvs.netlink import USER_FLAGS, pack_request
from pointsman.backends.ipvs.servers import (
    ADD,
    ADD_SERVICE,
    DELETE,
    DELETE_SERVICE,
    Destination,
    Request,
    Server,
    Service,
    Target,
)
from pointsman.core.model import Protocol

ADDRESSES = ("240.0.0.1", "100::1")


def decoded(request: Request) -> ipvsmsg:
    message = ipvsmsg(pack_request(request, kind=99, flags=5, sequence=7))
    message.decode()
    assert message["header"]["type"] == 99
    assert message["header"]["sequence_number"] == 7
    return message


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_virtual_server(address: str) -> None:
    server = Server(Protocol.SCTP, ip_address(address).packed, 443)
    message = decoded(Request(ADD_SERVICE, server, Service("mh", 0x18, {}, 300)))
    assert message["cmd"] == 1
    service = message.get_attr("IPVS_CMD_ATTR_SERVICE")
    assert service.get_attr("IPVS_SVC_ATTR_ADDR") == address
    assert service.get_attr("IPVS_SVC_ATTR_PORT") == 443
    assert service.get_attr("IPVS_SVC_ATTR_PROTOCOL") == 132
    assert service.get_attr("IPVS_SVC_ATTR_SCHED_NAME") == "mh"
    assert service.get_attr("IPVS_SVC_ATTR_FLAGS") == {"flags": 0x18, "mask": USER_FLAGS}
    assert service.get_attr("IPVS_SVC_ATTR_TIMEOUT") == 300
    # As a prefix length for IPv6, in the host's byte order.
    assert service.get_attr("IPVS_SVC_ATTR_NETMASK") == ("255.255.255.255" if "." in address else "128.0.0.0")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_destination(address: str) -> None:
    server = Server(Protocol.TCP, ip_address(address).packed, 80)
    target = Target(ip_address("10.0.0.9" if "." in address else "fd00::9").packed, 8080)
    message = decoded(Request(ADD, server, None, target, Destination(3)))
    assert message["cmd"] == 5
    destination = message.get_attr("IPVS_CMD_ATTR_DEST")
    assert destination.get_attr("IPVS_DEST_ATTR_ADDR") == str(ip_address(target.address))
    assert destination.get_attr("IPVS_DEST_ATTR_PORT") == 8080
    assert destination.get_attr("IPVS_DEST_ATTR_WEIGHT") == 3
    assert destination.get_attr("IPVS_DEST_ATTR_FWD_METHOD") == 0
    assert message.get_attr("IPVS_CMD_ATTR_SERVICE").get_attr("IPVS_SVC_ATTR_PORT") == 80


def test_deletions_say_only_what_goes() -> None:
    server = Server(Protocol.UDP, ip_address("240.0.0.1").packed, 53)
    message = decoded(Request(DELETE_SERVICE, server))
    assert message["cmd"] == 3
    assert message.get_attr("IPVS_CMD_ATTR_SERVICE").get_attr("IPVS_SVC_ATTR_SCHED_NAME") is None
    message = decoded(Request(DELETE, server, None, Target(ip_address("10.0.0.1").packed, 53)))
    assert message["cmd"] == 7
    assert message.get_attr("IPVS_CMD_ATTR_DEST").get_attr("IPVS_DEST_ATTR_WEIGHT") is None
