"""Each flag that docs/kube-proxy.md calls the same does something, as the running program shows.

Flags that get along are tried together, and the same program without them is looked at in the same way: what
it shows as well would prove nothing.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from pyroute2 import IPRoute

from pointsman.backends.ipvs.netlink import IpvsSocket
from pointsman.cli.document import document
from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab.netns import Namespace
from tests.backends.ipvs.driven import timeouts
from tests.plugins.http.clients import TIMEOUT, ask
from tests.plugins.system import test_sysctls

from . import test_kube_proxy, test_observing
from .configuration import test_engine
from .manifests import endpoint_slice, service
from .processes import Running, inside, running
from .test_kube_proxy import nft

HEALTH, STATUS = 10256, 10249
OTHER_HEALTH, OTHER_STATUS = 20256, 20249
ADDRESSES = ("192.0.2.7", "192.0.2.9", "198.51.100.1")
NODES = [
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"podCIDRs": [pods]},
        "status": {"addresses": [{"type": "InternalIP", "address": ADDRESSES[0]}]},
    }
    for name, pods in (("node-a", "10.244.3.0/24"), ("node-b", "10.244.4.0/24"))
]


class Scene(NamedTuple):
    """A node, the program that serves it, and the API server that it follows."""

    node: Namespace
    api_server: ApiServer
    process: Running

    def rules(self) -> str:
        """What nf_tables holds."""
        return nft(self.node, "list", "ruleset")

    def tracking(self, name: str) -> str:
        """A setting of connection tracking."""
        path = Path(f"/proc/sys/net/netfilter/nf_conntrack_{name}")
        return self.node.run(path.read_text, "ascii").strip()

    def page(self, path: str, port: int = STATUS) -> bytes:
        """A page, wherever it is; nothing if it isn't served."""
        for moved in (0, OTHER_STATUS - STATUS):
            try:
                status, _, body = self.node.run(ask, port + moved, path)
            except OSError:
                continue
            return body if status == 200 else b""
        return b""

    def node_port_addresses(self) -> set[str]:
        """The addresses that node ports are answered at, by the set that lists them."""
        held = self.rules().partition("set nodeport-ips")[2].partition("}\n\n")[0]
        return {address for address in ADDRESSES if address in held}

    def saved(self) -> str:
        """What iptables holds."""
        return inside(self.node, "iptables-nft-save")

    def asked(self, **query: str) -> bool:
        """Whether the API server was asked for this."""
        return any(query.items() <= request.query.items() for request in self.api_server.requests)

    def mends(self) -> bool:
        """Whether chains that somebody flushes come back soon."""
        before = self.saved()
        inside(self.node, "iptables-nft", "-t", "nat", "-F")
        return self.becomes(lambda: rules(self.saved()) == rules(before), seconds=8.0)

    def waits(self) -> bool:
        """Whether a change that comes soon after another has to wait."""
        for address in ("10.244.0.8", "10.244.0.9"):
            self.api_server.put(endpoint_slice(address))
        name = "kubeproxy_sync_proxy_rules_endpoint_changes"
        assert self.becomes(lambda: self.metric(f"{name}_total") == 4)
        return not self.becomes(lambda: self.metric(f"{name}_pending") == 0, seconds=3.0)

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        lines = self.page("/metrics").decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def becomes(self, condition: Callable[[], bool], seconds: float = TIMEOUT) -> bool:
        """Whether something is so before long."""
        pause = threading.Event()
        return any(condition() or pause.wait(0.05) for _ in range(int(seconds / 0.05)))

    def said(self, *words: str) -> bool:
        """Whether there is a line of the log with these words."""
        return any(all(word in line for word in words) for line in self.process.lines)


def rules(saved: str) -> list[str]:
    """The rules of a dump, without what they have counted."""
    return [line for line in saved.splitlines() if line.startswith(("*", "-A"))]


def routes_localnet() -> bool:
    """Whether loopback addresses are routed."""
    return Path("/proc/sys/net/ipv4/conf/all/route_localnet").read_text("ascii") == "1\n"


def schedulers() -> set[str]:
    """Those of all virtual servers."""
    ipvs = IpvsSocket()
    try:
        return {held.scheduler for _, held in ipvs.services()}
    finally:
        ipvs.close()


Effects = Mapping[str, tuple[str, Callable[[Scene], bool]]]


def tracking(name: str, value: str) -> Callable[[Scene], bool]:
    """The effect of setting up connection tracking so."""
    return lambda scene: scene.tracking(name) == value


NFTABLES: Effects = {
    "--bind-address": (ADDRESSES[1], lambda s: s.node_port_addresses() == {ADDRESSES[1]}),
    "--conntrack-max-per-core": ("0", lambda s: not s.said("nf_conntrack_max")),
    "--conntrack-tcp-be-liberal": ("true", tracking("tcp_be_liberal", "1")),
    "--conntrack-tcp-timeout-close-wait": ("59m", tracking("tcp_timeout_close_wait", "3540")),
    "--conntrack-tcp-timeout-established": ("23h", tracking("tcp_timeout_established", "82800")),
    "--conntrack-udp-timeout": ("33s", tracking("udp_timeout", "33")),
    "--conntrack-udp-timeout-stream": ("44s", tracking("udp_timeout_stream", "44")),
    "--detect-local-mode": ("InterfaceNamePrefix", lambda s: "iifname" in s.rules()),
    "--feature-gates": ("ComponentFlagz=false", lambda s: not s.page("/flagz")),
    "--healthz-bind-address": (
        f"127.0.0.1:{OTHER_HEALTH}",
        lambda s: s.said("listening", f"127.0.0.1:{OTHER_HEALTH}") and bool(s.page("/livez", HEALTH)),
    ),
    "--iptables-masquerade-bit": ("20", lambda s: "0x00100000" in s.rules()),
    "--logging-format": ("json", lambda s: all(line.startswith("{") for line in s.process.lines)),
    "--metrics-bind-address": (
        f"127.0.0.1:{OTHER_STATUS}",
        lambda s: s.said("listening", f"127.0.0.1:{OTHER_STATUS}") and bool(s.page("/metrics")),
    ),
    "--oom-score-adj": ("501", lambda s: Path(f"/proc/{s.process.pid}/oom_score_adj").read_text() == "501\n"),
    "--pod-interface-name-prefix": ("rail", lambda s: '"rail*"' in s.rules()),
    "--profiling": ("true", lambda s: bool(s.page("/debug/pprof/goroutine"))),
    "-v": ("4", lambda s: s.said("debug")),
}
MORE: Effects = {
    "--cluster-cidr": ("10.77.0.0/16", lambda s: "10.77.0.0/16" in s.rules()),
    "--healthz-port": (f"{OTHER_HEALTH}", lambda s: s.said("listening", f"0.0.0.0:{OTHER_HEALTH}")),
    "--hostname-override": ("Node-B", lambda s: s.asked(fieldSelector="metadata.name=node-b")),
    "--iptables-min-sync-period": ("30s", Scene.waits),
    "--metrics-port": (f"{OTHER_STATUS}", lambda s: s.said("listening", f"127.0.0.1:{OTHER_STATUS}")),
    "--nodeport-addresses": ("198.51.100.0/24", lambda s: s.node_port_addresses() == {ADDRESSES[2]}),
}
IPTABLES: Effects = {
    "--iptables-localhost-nodeports": ("false", lambda s: not s.node.run(routes_localnet)),
    "--iptables-masquerade-bit": ("21", lambda s: "0x200000" in s.saved()),
    "--iptables-sync-period": ("1s", Scene.mends),
    "--masquerade-all": (
        "true",
        lambda s: re.search(r'cluster IP" .*-j KUBE-MARK-MASQ', s.saved()) is not None,
    ),
}
NODE_CIDR: Effects = {"--detect-local-mode": ("NodeCIDR", lambda s: "10.244.3.0/24" in s.rules())}
BRIDGE: Effects = {
    "--detect-local-mode": ("BridgeInterface", lambda s: "iifname" in s.rules()),
    "--pod-bridge-interface": ("br-rail", lambda s: '"br-rail"' in s.rules()),
}
IPVS: Effects = {
    "--ipvs-min-sync-period": ("30s", Scene.waits),
    "--ipvs-scheduler": ("lc", lambda s: s.node.run(schedulers) == {"lc"}),
    "--ipvs-tcp-timeout": ("901s", lambda s: s.node.run(timeouts).tcp == 901),
    "--ipvs-tcpfin-timeout": ("31s", lambda s: s.node.run(timeouts).tcp_fin == 31),
    "--ipvs-udp-timeout": ("77s", lambda s: s.node.run(timeouts).udp == 77),
}
GROUPS = [
    ("nftables", NFTABLES),
    ("nftables", MORE),
    ("iptables-nft", IPTABLES),
    ("nftables", NODE_CIDR),
    ("nftables", BRIDGE),
    ("ipvs", IPVS),
]
# Without these nothing would be served in any of the tests here.
BASE = {"--kubeconfig", "--proxy-mode"}
# What ends the program, or needs another machine.
ELSEWHERE = {
    "--bind-address-hard-fail": test_observing.test_HTTP_03_an_address_in_use,
    "--cleanup": test_kube_proxy.test_CLN_01_cleanup_needs_no_api_server,
    "--config": test_kube_proxy.test_CFG_01_kubeadms_command_line_works_as_it_is,
    "--conntrack-min": test_sysctls.test_CT_08_the_size_of_the_table,
    "--init-only": test_kube_proxy.test_CLN_05_init_only_serves_nothing,
    "--ipvs-sync-period": test_engine.test_CFG_14_and_CFG_15_each_mode_has_its_periods,
    "--version": test_kube_proxy.test_the_version_is_printed,
    "--write-config-to": test_kube_proxy.test_CFG_04_the_configuration_is_written_before_anything_is_touched,
}


@contextmanager
def scene(folder: Path, mode: str, *flags: str) -> Iterator[Scene]:
    """A node that is served, with two Services, one of them with a node port."""
    with ExitStack() as stack:
        node = stack.enter_context(Namespace("node"))
        node.configure(with_addresses)
        api_server = stack.enter_context(ApiServer(run=node.run))
        balanced = service("np", "10.96.0.20", type="NodePort", port_fields={"nodePort": 30080})
        objects = (
            service(),
            endpoint_slice("10.244.0.5"),
            balanced,
            endpoint_slice("10.244.0.6", service="np"),
        )
        api_server.replace_all([*NODES, *objects])
        kubeconfig = api_server.kubeconfig(folder / "kubeconfig")
        base = (f"--kubeconfig={kubeconfig}", f"--proxy-mode={mode}", "--hostname-override=node-a")
        process = stack.enter_context(running("run", *base, *flags, popen=node.popen))
        process.wait_for("ready")
        yield Scene(node, api_server, process)


def with_addresses(netlink: IPRoute) -> None:
    """Have the node have its addresses."""
    loopback = netlink.link_lookup(ifname="lo")[0]
    for address in ADDRESSES:
        netlink.addr("add", index=loopback, address=address, prefixlen=32)


@pytest.mark.netns
@pytest.mark.program("nft", "iptables-nft", "iptables-nft-save")
@pytest.mark.parametrize(("mode", "effects"), GROUPS)
def test_a_flag_has_its_effect_and_nothing_else_has_it(tmp_path: Path, mode: str, effects: Effects) -> None:
    if mode == "ipvs" and not Path("/proc/sys/net/ipv4/vs").exists():
        pytest.skip("this kernel has no IPVS")
    flags = [f"{flag}={value}" for flag, (value, _) in effects.items()]
    with scene(tmp_path, mode, *flags) as with_them:
        assert [flag for flag, (_, effect) in effects.items() if not effect(with_them)] == []
        assert with_them.process.end() == 0
    with scene(tmp_path, mode) as without:
        assert [flag for flag, (_, effect) in effects.items() if effect(without)] == []
        assert without.process.end() == 0


@pytest.mark.netns
def test_CFG_28_the_master_is_asked_wherever_the_kubeconfig_leads(tmp_path: Path) -> None:
    with Namespace("node") as node, ApiServer(run=node.run) as api_server:
        api_server.replace_all([*NODES, service(), endpoint_slice("10.244.0.5")])
        kubeconfig = api_server.kubeconfig(tmp_path / "kubeconfig")
        kubeconfig.write_text(kubeconfig.read_text().replace(api_server.url, "https://127.0.0.1:1"))
        flags = (f"--kubeconfig={kubeconfig}", "--proxy-mode=memory", "--hostname-override=node-a")
        with running("run", *flags, f"--master={api_server.url}", popen=node.popen) as process:
            process.wait_for("ready")
            assert process.end() == 0


def test_every_flag_that_is_the_same_is_tried() -> None:
    rows = [line.split(" | ") for line in document().splitlines() if line.startswith("| `--")]
    same = {row[0].strip("| ").split("` `")[0].strip("`") for row in rows if row[-1].startswith("same")}
    tried = BASE | ELSEWHERE.keys() | {"--master"} | {flag for _, effects in GROUPS for flag in effects}
    assert same - tried == set()
