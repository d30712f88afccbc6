"""What the probe says where something is missing: what, and what to do about it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from errno import EAFNOSUPPORT, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT

import pytest

from pointsman.backends.nftables import probe
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink.errors import Failure, NetlinkError
from pointsman.backends.nftables.netlink.messages import Operation
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.objects import TableInfo
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import CORE, Feature, Level

FAMILIES = tuple(IPFamily)


class Kernel:
    """A kernel that refuses what it doesn't have, and always the deletion of a table that isn't there."""

    def __init__(self, lacks: str = "", errno: int = ENOENT) -> None:
        self._lacks = lacks
        self._errno = errno

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def commit(self, operations: Sequence[Operation], genid: int | None = None) -> None:
        failures = [Failure(ENOENT, operations[-1].summary)]
        if self._lacks:
            at = [o for o in operations if self._lacks in o.summary or self._lacks.encode() in o.attributes]
            failures[:0] = [Failure(self._errno, operation.summary) for operation in at]
        raise NetlinkError(failures)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize(
    ("lacks", "errno", "what", "option"),
    [
        ("add table", EAFNOSUPPORT, "tables", "CONFIG_NF_TABLES_IPV4 and _IPV6"),
        ("probe nat", ENOENT, "NAT chains", "CONFIG_NFT_NAT"),
        ("ct\0", ENOENT, "connection tracking matches", "CONFIG_NFT_CT"),
        ("fib\0", ENOENT, "address type matches", "CONFIG_NFT_FIB_IPV4 and _IPV6"),
        ("meta\0", ENOENT, "packet marks", "CONFIG_NF_TABLES"),
        ("reject\0", ENOENT, "refusals", "CONFIG_NFT_REJECT"),
        ("numgen\0", ENOENT, "random picks from maps", "CONFIG_NFT_NUMGEN and CONFIG_NFT_NAT"),
        ("masq\0", ENOENT, "masquerading", "CONFIG_NFT_MASQ"),
        ("dynset\0", ENOENT, "maps that packets fill", "CONFIG_NF_TABLES"),
        ("ranges", EOPNOTSUPP, "interval sets", "CONFIG_NF_TABLES"),
    ],
)
def test_each_missing_feature_is_named_with_its_remedy(
    family: IPFamily, lacks: str, errno: int, what: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "NetfilterSocket", lambda: Kernel(lacks, errno))
    with pytest.raises(BackendUnavailable) as caught:
        probe.probe(layout(family, "pointsman"))
    assert f"the kernel lacks {'' if what != 'tables' else layout(family, '').family}" in caught.value.reason
    assert what in caught.value.reason
    assert caught.value.remedy == f"use a kernel with {option}"


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_where_all_is_there_all_is_supported_but_node_ports_on_loopback(
    family: IPFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "NetfilterSocket", Kernel)
    found = probe.probe(layout(family, "pointsman"))
    missing = {feature for feature in Feature if found.support(feature).level is not Level.SUPPORTED}
    assert missing == {Feature.LOCALHOST_NODE_PORTS, Feature.SCHEDULERS}
    assert not missing & CORE
    assert "SVC-NP-07" in found.support(Feature.LOCALHOST_NODE_PORTS).reason


def test_without_netlink_there_are_no_nf_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise OSError(EPROTONOSUPPORT, os.strerror(EPROTONOSUPPORT))

    monkeypatch.setattr(probe, "NetfilterSocket", absent)
    with pytest.raises(BackendUnavailable, match=r"the kernel has no nf_tables.*load nf_tables"):
        probe.probe(layout(IPFamily.IPV4, "pointsman"))


def test_who_may_open_the_socket_and_not_write_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "NetfilterSocket", lambda: Kernel("add table", EPERM))
    with pytest.raises(BackendUnavailable, match="not permitted; run as root, or with CAP_NET_ADMIN"):
        probe.probe(layout(IPFamily.IPV4, "pointsman"))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("probe") as opened:
        yield opened


@pytest.mark.netns
def test_without_the_capability_the_remedy_names_it(namespace: Namespace) -> None:
    command = [
        "setpriv",
        "--bounding-set",
        "-net_admin",
        "--inh-caps",
        "-net_admin",
        sys.executable,
        "-c",
        PROBE,
    ]
    process = namespace.popen(command, stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=60)
    assert said == "nftables: programming the kernel is not permitted; run as root, or with CAP_NET_ADMIN\n"


PROBE = """
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.probe import probe
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import BackendUnavailable
try:
    probe(layout(IPFamily.IPV4, "pointsman"))
except BackendUnavailable as error:
    print(error)
"""


@pytest.mark.netns
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_kernel_that_has_all_is_asked_once(
    namespace: Namespace, family: IPFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, asked = NetfilterSocket.commit, []

    def count(netlink: NetfilterSocket, operations: Sequence[Operation], genid: int | None = None) -> None:
        asked.append(operations)
        commit(netlink, operations, genid)

    monkeypatch.setattr(NetfilterSocket, "commit", count)
    namespace.run(probe.probe, layout(family, "pointsman"))
    assert len(asked) == 1


@pytest.mark.netns
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_trying_leaves_nothing_behind(namespace: Namespace, family: IPFamily) -> None:
    namespace.run(probe.probe, layout(family, "pointsman"))
    assert namespace.run(tables) == []


def tables() -> list[TableInfo]:
    with NetfilterSocket() as netlink:
        return netlink.dump_tables()
