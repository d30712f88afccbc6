"""What kube-proxy left goes, in each of its modes; what is others' stays."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPSet

from pointsman.cli.kube_chains import removal
from pointsman.cli.leftovers import leftovers
from pointsman.cli.succession import predecessors
from pointsman.conformance.lab.netns import Namespace
from pointsman.core.config import ProxyConfig
from pointsman.core.plugins import Plugins

from .manifests import folder
from .paper import Paper
from .processes import inside, pointsman, running

NAT = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:OTHER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals -j X" -j KUBE-SERVICES
-A PREROUTING -j OTHER
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.244.0.1:80
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-NODEPORTS - [0:0]
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -s 127.0.0.0/8 -j DROP
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
"""

# As it is afterwards.
LEFT = """\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-MARK-DROP - [0:0]
:OTHER - [0:0]
-A PREROUTING -j OTHER
-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
COMMIT
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("node") as made:
        yield made


def test_CLN_04_the_chains_that_go_and_those_that_stay() -> None:
    nat, filters = (list(step.lines()) for step in removal(NAT))
    assert (nat[0], filters[0]) == ("*nat", "*filter")
    gone = [line.removeprefix("-X ") for line in nat if line.startswith("-X")]
    # What a CNI plugin needs stays, and what is the kubelet's.
    assert gone == ["KUBE-POSTROUTING", "KUBE-PROXY-CANARY", "KUBE-SEP-A", "KUBE-SERVICES", "KUBE-SVC-A"]
    assert [line for line in nat if line.startswith("-D")] == [
        '-D POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
        '-D PREROUTING -m comment --comment "kubernetes service portals -j X" -j KUBE-SERVICES',
    ]
    assert [line for line in filters if line.startswith("-X")] == ["-X KUBE-NODEPORTS"]
    assert removal(LEFT) == []


def test_the_chains_of_an_instance_of_ours_stay() -> None:
    marked = NAT.replace(
        "COMMIT", '-A KUBE-PROXY-CANARY -m comment --comment "pointsman instance blue, layout 1"\nCOMMIT', 1
    )
    assert removal(marked) == []


@pytest.mark.netns
@pytest.mark.program("nft", "iptables-nft-restore", "iptables-nft-save", "ip")
def test_CLN_01_cleanup_removes_what_kube_proxy_left_in_each_mode(namespace: Namespace) -> None:
    for family in ("ip", "ip6"):
        inside(namespace, "nft", "add", "table", family, "kube-proxy")
    inside(namespace, "nft", "add", "table", "inet", "kube-proxy")  # by its family, somebody else's
    inside(namespace, "iptables-nft-restore", text=NAT)
    # kube-proxy's is a dummy, which not every kernel has; its name is what counts.
    inside(namespace, "ip", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "other")
    inside(namespace, "ip", "address", "add", "10.96.0.10/32", "dev", "kube-ipvs0")
    done = namespace.run(pointsman, "run", "--cleanup")
    assert (done.returncode, done.stderr) == (0, "")
    removed = [line for line in done.stdout.splitlines() if line.endswith(": removed")]
    assert removed == [
        "kube-proxy's nftables tables: removed",
        "kube-proxy's iptables-nft chains for IPv4: removed",
        "kube-proxy's virtual servers: removed",
    ]
    tables = inside(namespace, "nft", "list", "tables").split("\n")
    assert "table inet kube-proxy" in tables
    assert not {"table ip kube-proxy", "table ip6 kube-proxy"} & set(tables)
    left = inside(namespace, "iptables-nft-save")
    assert "KUBE-SERVICES" not in left
    for kept in ("KUBE-MARK-MASQ", "KUBE-FIREWALL", "-A PREROUTING -j OTHER", "KUBE-KUBELET-CANARY"):
        assert kept in left
    assert "kube-ipvs0" not in inside(namespace, "ip", "link")
    again = namespace.run(pointsman, "run", "--cleanup")
    assert again.returncode == 0
    assert "removed" not in again.stdout


@pytest.mark.netns
def test_CLN_01_ip_sets_of_its_names_go(namespace: Namespace) -> None:
    mine = "KUBE-SEP-ABC"  # as our iptables backend names its own

    def create() -> None:
        with IPSet() as sets:
            for name in ("KUBE-CLUSTER-IP", mine):
                sets.create(name, "hash:ip")
            sets.create("KUBE-6-LOAD-BALANCER-SOURCE-CID", "hash:ip", family=socket.AF_INET6)

    def there() -> list[str]:
        with IPSet() as sets:
            return [message.get_attr("IPSET_ATTR_SETNAME") for message in sets.list()]

    [leftover] = [leftover for leftover in leftovers() if leftover.name == "IP sets"]
    namespace.run(create)
    assert namespace.run(leftover.remove) is True
    assert namespace.run(there) == [mine]
    assert namespace.run(leftover.remove) is False


def test_CLN_03_nothing_is_asked_of_others_virtual_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    from pointsman.backends.ipvs.servers import Server
    from pointsman.cli import leftovers as module
    from pointsman.core.addresses import parse_address
    from pointsman.core.model import Protocol

    theirs, ours = (Server(Protocol.TCP, parse_address(a), 80) for a in ("10.96.0.10", "192.0.2.1"))
    asked: list[object] = []

    class Sockets:
        def services(self) -> list[tuple[Server, None]]:
            return [(theirs, None), (ours, None)]

        def commit(self, requests: list[object]) -> None:
            asked.extend(requests)

        def close(self) -> None:
            pass

    monkeypatch.setattr(module, "IpvsSocket", Sockets)
    module._remove_servers_at({theirs.address})
    [request] = asked
    assert theirs in tuple(request)  # type: ignore[arg-type]


@pytest.mark.netns
@pytest.mark.program("nft")
def test_CLN_02_the_rules_of_another_mode_go_once_ours_are_there(
    namespace: Namespace, tmp_path: Path
) -> None:
    source = f"--source=files:{folder(tmp_path / 'objects')}"
    with running("run", source, "--proxy-mode=nftables", popen=namespace.popen) as process:
        process.wait_for("ready")
        process.end()
    inside(namespace, "nft", "add", "table", "ip", "kube-proxy")
    before = inside(namespace, "nft", "list", "tables")
    paper = Paper(tmp_path)
    with running("run", source, "--proxy-mode=paper", popen=namespace.popen, path=paper.path) as process:
        process.wait_for("predecessor_removed", "nftables IPv6", after=process.wait_for("ready"))
        process.end()
    assert "pointsman" in before
    # kube-proxy's is not ours to remove where objects don't come from its API server.
    assert inside(namespace, "nft", "list", "tables") == "table ip kube-proxy\n"


def test_CLN_02_only_who_has_the_usual_name_takes_kube_proxys_place() -> None:
    plugins = Plugins()
    names = {
        (backend, instance): [
            name
            for name, _ in predecessors(
                plugins,
                plugins.backends[backend],
                ProxyConfig("n", instance=instance),
                in_kube_proxys_place=True,
            )
        ]
        for backend in ("nftables", "iptables", "memory")
        for instance in ("pointsman", "blue")
    }
    assert "kube-proxy's iptables-nft chains for IPv4" in names["nftables", "pointsman"]
    assert not any("kube-proxy" in name for name in names["nftables", "blue"])
    assert {"iptables IPv4", "ipvs IPv6"} <= set(names["nftables", "blue"])
    # The chains of iptables are taken over, and no other variant's backend may take them away.
    assert not any(
        name.startswith(("iptables", "kube-proxy's iptables")) for name in names["iptables", "pointsman"]
    )
    assert {"nftables IPv4", "kube-proxy's nftables tables"} <= set(names["iptables", "pointsman"])
    assert names["memory", "pointsman"] == []
