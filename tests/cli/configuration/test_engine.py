"""What the engine is given, by proxy mode."""

from collections.abc import Sequence

import pytest
from msgspec import Struct

from pointsman.backends.memory import plugin as memory
from pointsman.cli.configuration.agreement import mismatches, wrong_family
from pointsman.cli.configuration.engine import proxy_config, source_of
from pointsman.cli.configuration.options import options_for
from pointsman.cli.configuration.settings import with_value
from pointsman.cli.configuration.v1alpha1 import KubeProxyConfiguration, Pointsman
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.backend import BackendSpec
from pointsman.core.config import LocalMode, ProxyConfig

from .told import told

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
NFT = ["--proxy-mode=nftables"]


def given(*arguments: str, backend: str = "nftables", families: Sequence[IPFamily] = (V4, V6)) -> ProxyConfig:
    return proxy_config(told("--hostname-override=n", *arguments).config, backend, families)


def test_CFG_10_the_defaults_are_the_engines_own() -> None:
    assert given() == ProxyConfig("n")


def test_what_is_settled_is_known_to_the_engine() -> None:
    config = given("--proxy-mode=auto", "--instance=blue", families=(V6,))
    assert (config.proxy_mode, config.families, config.instance) == ("nftables", (V6,), "blue")


@pytest.mark.parametrize(
    ("mode", "backend", "section"),
    [
        ("", "nftables", "iptables"),
        ("iptables", "iptables", "iptables"),
        ("ipvs", "ipvs", "iptables"),
        ("nftables", "nftables", "nftables"),
        ("auto", "nftables", "nftables"),
        ("auto", "iptables", "iptables"),
        ("memory", "memory", "iptables"),
    ],
)
def test_CFG_11_and_CFG_12_the_section_of_the_mode_that_is_asked_for_counts(
    mode: str, backend: str, section: str
) -> None:
    config = told(f"--proxy-mode={mode}", "--hostname-override=n").config
    other = {"iptables": "nftables", "nftables": "iptables"}[section]
    assert proxy_config(_masquerading(config, section), backend, (V4,)).masquerade_bit == 3
    assert proxy_config(_masquerading(config, section), backend, (V4,)).masquerade_all is True
    assert proxy_config(_masquerading(config, other), backend, (V4,)).masquerade_bit == 14
    assert proxy_config(_masquerading(config, other), backend, (V4,)).masquerade_all is False


def _masquerading(config: KubeProxyConfiguration, section: str) -> KubeProxyConfiguration:
    return with_value(with_value(config, f"{section}.masqueradeBit", 3), f"{section}.masqueradeAll", True)


@pytest.mark.parametrize(
    ("arguments", "backend", "expected"),
    [
        (["--proxy-mode=iptables"], "iptables", True),
        (["--proxy-mode=iptables", "--iptables-localhost-nodeports=false"], "iptables", False),
        ([], "nftables", False),
        (["--proxy-mode=nftables"], "nftables", False),
        (["--proxy-mode=ipvs"], "ipvs", False),
        (["--proxy-mode=auto"], "iptables", True),
    ],
)
def test_CFG_13_node_ports_on_loopback_are_for_iptables(
    arguments: list[str], backend: str, expected: bool
) -> None:
    assert given(*arguments, backend=backend).localhost_node_ports is expected


@pytest.mark.parametrize("mode", ["", "iptables", "nftables", "ipvs"])
def test_CFG_14_and_CFG_15_each_mode_has_its_periods(mode: str) -> None:
    own = "ipvs" if mode == "ipvs" else "iptables"
    other = "iptables" if mode == "ipvs" else "ipvs"
    flags = [f"--{own}-sync-period=7s", f"--{own}-min-sync-period=500ms"]
    flags += [f"--{other}-sync-period=9s", f"--{other}-min-sync-period=2s"]
    config = given(f"--proxy-mode={mode}", *flags, backend=mode or "nftables")
    assert (config.sync_period, config.min_sync_period) == (7.0, 0.5)


def test_CFG_15_the_least_period_may_be_none_by_flag() -> None:
    assert given("--iptables-min-sync-period=0").min_sync_period == 0
    assert given("--proxy-mode=ipvs", backend="ipvs").min_sync_period == 0


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--hostname-override=  Node-A.Example "], "node_name", "node-a.example"),
        (
            ["--cluster-cidr=fd00::/16,10.0.0.0/8"],
            "cluster_cidrs",
            (parse_network("fd00::/16"), parse_network("10.0.0.0/8")),
        ),
        (["--detect-local-mode=NodeCIDR"], "local_mode", LocalMode.NODE_CIDR),
        (["--pod-bridge-interface=cni0"], "bridge_interface", "cni0"),
        (["--pod-interface-name-prefix=veth"], "interface_name_prefix", "veth"),
        (["--bind-address=192.0.2.7"], "bind_address", parse_address("192.0.2.7")),
        (["--bind-address=::"], "bind_address", None),
        (["--feature-gates=AllowServiceExternalIPs=false"], "external_ips_allowed", False),
        (["--conntrack-tcp-be-liberal"], "drop_invalid", False),
    ],
)
def test_CFG_18_CFG_20_and_CFG_22_values_reach_the_engine(
    arguments: list[str], field: str, value: object
) -> None:
    changed = given(*arguments)
    assert getattr(changed, field) == value
    for other in set(ProxyConfig.__struct_fields__) - {field}:
        assert other == "node_name" or getattr(changed, other) == getattr(ProxyConfig("n"), other)


@pytest.mark.parametrize(
    ("arguments", "backend", "expected"),
    [
        ([], "nftables", ()),
        (["--proxy-mode=nftables"], "nftables", None),
        (["--proxy-mode=auto"], "nftables", None),
        (["--proxy-mode=iptables"], "iptables", ()),
        ([*NFT, "--nodeport-addresses="], "nftables", None),
        ([*NFT, "--nodeport-addresses=10.0.0.0/8"], "nftables", (parse_network("10.0.0.0/8"),)),
        ([*NFT, "--nodeport-addresses=0.0.0.0/0"], "nftables", (parse_network("0.0.0.0/0"),)),
        (["--proxy-mode=iptables", "--nodeport-addresses=primary"], "iptables", None),
    ],
)  # fmt: skip
def test_CFG_21_node_ports_answer_where_the_mode_says_unless_told(
    arguments: list[str], backend: str, expected: object
) -> None:
    assert given(*arguments, backend=backend).node_port_addresses == expected


def test_CFG_06_objects_come_from_an_api_server_unless_another_source_is_named() -> None:
    assert source_of(told().config) == ("kubernetes", "")
    assert source_of(told("--source=files:/a:b").config) == ("files", "/a:b")


def test_CFG_05_a_cluster_of_the_other_family_alone_is_fatal() -> None:
    chosen = told("--cluster-cidr=10.0.0.0/8")
    assert list(wrong_family(chosen.config, (V4, V6), chosen.labels)) == []
    [problem] = wrong_family(chosen.config, (V6,), chosen.labels)
    assert problem == "--cluster-cidr: none of its networks is IPv6, which is what is served"
    other = told("--cluster-cidr=10.0.0.0/8", "--detect-local-mode=NodeCIDR")
    assert list(wrong_family(other.config, (V6,), other.labels)) == []


def test_CFG_05_other_mismatches_are_only_said() -> None:
    flags = [
        "--nodeport-addresses=10.0.0.0/8",
        "--bind-address=fd00::1",
        "--metrics-bind-address=127.0.0.1:1",
    ]
    chosen = told(*flags)
    assert list(mismatches(chosen.config, (V4, V6), chosen.labels)) == [
        "--nodeport-addresses: none is IPv6, so all IPv6 addresses take node ports",
        "--metrics-bind-address: 127.0.0.1:1 is not IPv6, as the node's own address is",
    ]
    assert list(mismatches(told().config, (V4, V6), {})) == []


class Own(Struct, frozen=True, rename="camel"):
    """What a backend of somebody else's can be told."""

    scheduler: str = "best"
    tcp_timeout: float = 1.5
    colour: str = "red"


def test_a_backend_has_settings_of_its_own() -> None:
    spec = BackendSpec("paper", "", lambda settings: None, options=Own)
    config = told().config
    assert options_for(spec, config) == Own()
    own = Pointsman(backends={"paper": {"colour": "blue"}})
    config = KubeProxyConfiguration(pointsman=own)
    assert options_for(spec, config) == Own(colour="blue")
    config = KubeProxyConfiguration(pointsman=Pointsman(backends={"paper": {"color": "blue"}}))
    with pytest.raises(ValueError, match=r"paper has no setting 'color' \(did you mean colour\?\)"):
        options_for(spec, config)
    with pytest.raises(ValueError, match="has no settings of its own"):
        options_for(BackendSpec("paper", "", lambda settings: None), config)


def test_CFG_16_and_CFG_17_a_mode_of_kube_proxys_has_its_section() -> None:
    spec = BackendSpec("ipvs", "", lambda settings: None, options=Own)
    config = told("--ipvs-scheduler=lc", "--ipvs-tcp-timeout=90s").config
    assert options_for(spec, config) == Own("lc", 90.0)
    assert options_for(memory.SPEC, config) is None
