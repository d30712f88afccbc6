"""A node goes from kube-proxy to Pointsman and back, as docs/cli.md says, while clients talk to a Service.

What stands for kube-proxy is the rules that its nftables mode makes for one Service.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab import NODE, Lab, Reply, connect, open_connection
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol
from tests.backends.serving import PODS, serving_lab

from .faulty import CLIENT, CONFIG, NODE_OBJECT, STEADY, all_answered
from .manifests import endpoint_slice, service
from .processes import inside, pointsman, running
from .test_kube_proxy import nft

KUBE_PROXY = """\
table ip kube-proxy {{
	comment "rules for kube-proxy";
	map service-ips {{
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = {{ {vip} . tcp . 80 : goto service-shop/steady/tcp/http }}
	}}
	chain services {{
		ip daddr . meta l4proto . th dport vmap @service-ips
	}}
	chain service-shop/steady/tcp/http {{
		ip daddr {vip} tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
		meta l4proto tcp dnat to {pod}:8080
	}}
	chain mark-for-masquerade {{
		meta mark set meta mark | 0x4000
	}}
	chain nat-prerouting {{
		type nat hook prerouting priority dstnat;
		jump services
	}}
	chain nat-postrouting {{
		type nat hook postrouting priority srcnat;
		meta mark & 0x4000 == 0x4000 masquerade fully-random
	}}
}}
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with serving_lab(Protocol.TCP) as opened:
        yield opened


@pytest.mark.netns
@pytest.mark.program("nft")
def test_clients_are_served_on_the_way_there_and_open_connections_back(tmp_path: Path, lab: Lab) -> None:
    pod = lab.address(PODS[0], IPFamily.IPV4)
    rules = KUBE_PROXY.format(vip=STEADY, pod=pod)

    def kube_proxy_starts() -> None:
        inside(lab.node, "nft", "-f", "-", text=rules)

    kube_proxy_starts()
    with ApiServer(run=lab.node.run) as server, open_connection(lab[CLIENT], STEADY, 80) as old:
        server.replace_all([NODE_OBJECT, service("steady", STEADY), endpoint_slice(pod, service="steady")])
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG.format(node=NODE, kubeconfig=server.kubeconfig(tmp_path / "kubeconfig")))
        with all_answered(lab), running("run", f"--config={config}", popen=lab.node.popen) as process:
            process.wait_for("predecessor_removed", "kube-proxy", after=process.wait_for("ready"))
            assert "kube-proxy" not in nft(lab.node, "list", "tables")
            new = open_connection(lab[CLIENT], STEADY, 80)
            assert process.end() == 0
        server.go_away()  # which cleaning up doesn't need

        done = lab.node.run(pointsman, "run", f"--config={config}", "--cleanup")

        assert (done.returncode, done.stderr) == (0, "")
        assert nft(lab.node, "list", "ruleset") == ""
        assert not isinstance(connect(lab[CLIENT], STEADY, 80, wait=0.3), Reply)
        kube_proxy_starts()
        assert isinstance(connect(lab[CLIENT], STEADY, 80), Reply)
        with new:
            for connection in (old, new):
                assert isinstance(connection.exchange(), Reply)
