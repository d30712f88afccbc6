"""Flags: what they set, what they refuse, and that every problem is named at once."""

import argparse
import socket
from typing import Any

import pytest

from pointsman.backends.memory import plugin as memory
from pointsman.cli.flags import Problems, add
from pointsman.cli.options import FLAGS, Options, options, settled
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.backend import BackendRegistry, BackendSpec
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plugins import Plugins
from pointsman.core.source import SourceRegistry, SourceSpec

V4, V6 = IPFamily.IPV4, IPFamily.IPV6


class Installed:
    """A source called files and a backend called nftables, neither of which does anything."""

    @hookimpl
    def pointsman_register_sources(self, registry: SourceRegistry) -> None:
        registry.add(SourceSpec("files", "", lambda argument, config: pytest.fail("not to be made")))

    @hookimpl
    def pointsman_register_backends(self, registry: BackendRegistry) -> None:
        registry.add(BackendSpec("nftables", "", lambda settings: pytest.fail("not to be made")))


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins([memory, Installed()], discover=False)


def read(plugins: Plugins, *arguments: str) -> Options:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add(parser, FLAGS)
    return options(parser.parse_args(arguments), plugins)


def config(plugins: Plugins, *arguments: str) -> ProxyConfig:
    return read(plugins, "--source=files:x", "--hostname-override=n", *arguments).config


def problems(plugins: Plugins, *arguments: str) -> tuple[str, ...]:
    with pytest.raises(Problems) as caught:
        read(plugins, "--source=files:x", "--hostname-override=n", *arguments)
    return caught.value.problems


def test_defaults_are_the_engines_own(plugins: Plugins) -> None:
    assert config(plugins) == ProxyConfig("n")


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--proxy-mode=memory"], "proxy_mode", "memory"),
        (["--proxy-mode", "auto"], "proxy_mode", "auto"),
        (["--hostname-override=  Node-A.Example "], "node_name", "node-a.example"),
        (["--ip-family=ipv4"], "families", (V4,)),
        (["--ip-family=ipv6"], "families", (V6,)),
        (["--ip-family=dual"], "families", (V4, V6)),
        (["--instance=demo-2"], "instance", "demo-2"),
        (["--cluster-cidr=10.0.0.0/8"], "cluster_cidrs", (parse_network("10.0.0.0/8"),)),
        (
            ["--cluster-cidr=fd00::/16,10.0.0.0/8"],
            "cluster_cidrs",
            (parse_network("fd00::/16"), parse_network("10.0.0.0/8")),
        ),
        (["--detect-local-mode=NodeCIDR"], "local_mode", LocalMode.NODE_CIDR),
        (
            ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"],
            "bridge_interface",
            "cni0",
        ),
        (
            ["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth"],
            "interface_name_prefix",
            "veth",
        ),
        (["--masquerade-all"], "masquerade_all", True),
        (["--masquerade-all=true"], "masquerade_all", True),
        (["--masquerade-all=false"], "masquerade_all", False),
        (["--iptables-masquerade-bit=0"], "masquerade_bit", 0),
        (["--masquerade-bit=31"], "masquerade_bit", 31),
        (["--bind-address=192.0.2.7"], "bind_address", parse_address("192.0.2.7")),
        (["--bind-address=::"], "bind_address", None),
        (["--nodeport-addresses=primary"], "node_port_addresses", None),
        (
            ["--nodeport-addresses=192.0.2.0/24", "--nodeport-addresses=fd00::/64,10.0.0.0/8"],
            "node_port_addresses",
            tuple(map(parse_network, ("192.0.2.0/24", "fd00::/64", "10.0.0.0/8"))),
        ),
        (["--iptables-localhost-nodeports"], "localhost_node_ports", True),
        (["--iptables-sync-period=1m30s"], "sync_period", 90.0),
        (["--iptables-min-sync-period=0"], "min_sync_period", 0.0),
        (["--iptables-min-sync-period=500ms"], "min_sync_period", 0.5),
    ],
)
def test_a_flag_sets_its_field_alone(
    plugins: Plugins, arguments: list[str], field: str, value: object
) -> None:
    changed = config(plugins, *arguments)
    assert getattr(changed, field) == value
    implied = {"local_mode"} if "--pod-" in arguments[-1] else set()
    for other in set(ProxyConfig.__struct_fields__) - {field} - implied:
        assert getattr(changed, other) == getattr(ProxyConfig("n"), other)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--log-format=json"], ("json", 0)),
        (["--logging-format=json"], ("json", 0)),
        (["-v"], ("text", 4)),
        (["-v2"], ("text", 2)),
        (["--v=6"], ("text", 6)),
    ],
)
def test_logging_flags(plugins: Plugins, arguments: list[str], expected: tuple[str, int]) -> None:
    read_back = read(plugins, "--source=files:x", *arguments)
    assert (read_back.log_format, read_back.verbosity) == expected


def test_a_source_is_a_kind_and_an_argument_that_may_hold_colons(plugins: Plugins) -> None:
    assert read(plugins, "--source=files:/a:b").source == ("files", "/a:b")


def test_the_node_is_named_after_the_host(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Worker-1.Example.COM")
    assert read(plugins, "--source=files:x").config.node_name == "worker-1.example.com"


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--source=", "--source: it is required: NAME:ARGUMENT, such as files:/etc/pointsman/objects"),
        ("--source=files", "--source: 'files' is not NAME:ARGUMENT, such as files:/etc/pointsman/objects"),
        ("--source=etcd:x", "--source: no kind of source 'etcd' is installed; there are files"),
        (
            "--proxy-mode=magic",
            "--proxy-mode: no backend 'magic' is installed; there are memory, nftables, and auto chooses",
        ),
        ("--proxy-mode=", "--proxy-mode: give a backend's name, or auto"),
        (
            "--hostname-override=a\nb",
            "--hostname-override: 'a\\nb' is no Node's name; give that of this node's Node object",
        ),
        ("--ip-family=4", "--ip-family: '4' is not one of dual, ipv4, ipv6"),
        (
            "--instance=A",
            "--instance: 'A' is not a name of at most 63 lower-case letters, digits and dashes",
        ),
        ("--cluster-cidr=10.0.0.0", "--cluster-cidr: '10.0.0.0' is not a network in CIDR notation"),
        ("--cluster-cidr=10.0.0.300/8", "--cluster-cidr: '10.0.0.300' is not an IP address"),
        (
            "--cluster-cidr=10.0.0.0/8,11.0.0.0/8",
            "--cluster-cidr: '10.0.0.0/8,11.0.0.0/8' has several networks of a family;"
            " give one, or one IPv4 and one IPv6",
        ),
        (
            "--detect-local-mode=Magic",
            "--detect-local-mode: 'Magic' is not one of"
            " ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
        ),
        (
            "--pod-bridge-interface=a/b",
            "--pod-bridge-interface: 'a/b' is no interface's name: 15 characters at most,"
            " no space, slash, colon",
        ),
        ("--masquerade-all=yes", "--masquerade-all: 'yes' is not true or false"),
        (
            "--masquerade-bit=32",
            "--iptables-masquerade-bit: '32' is not a whole number from 0 to 31",
        ),
        ("--masquerade-bit=٣", "--iptables-masquerade-bit: '٣' is not a whole number from 0 to 31"),
        ("--bind-address=me", "--bind-address: 'me' is not an IP address"),
        (
            "--nodeport-addresses=primary,10.0.0.0/8",
            "--nodeport-addresses: 'primary,10.0.0.0/8' mixes primary with networks;"
            " give primary alone, or networks",
        ),
        ("--iptables-sync-period=0", "--iptables-sync-period: '0' is not more than 0"),
        ("--iptables-min-sync-period=-1s", "--iptables-min-sync-period: '-1s' is less than 0"),
        (
            "--iptables-min-sync-period=soon",
            "--iptables-min-sync-period: 'soon' is not a duration such as 30s, 500ms or 1h2m3s",
        ),
        ("--log-format=xml", "--log-format: 'xml' is not one of text, json"),
        ("-v99", "-v: '99' is not a whole number from 0 to 10"),
    ],
)
def test_a_problem_names_the_flag_and_what_would_be_right(
    plugins: Plugins, argument: str, problem: str
) -> None:
    assert problems(plugins, argument) == (problem,)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--iptables-sync-period=1s", "--iptables-min-sync-period=2s"], "--iptables-sync-period"),
        (["--detect-local-mode=BridgeInterface"], "--pod-bridge-interface"),
        (["--detect-local-mode=InterfaceNamePrefix"], "--pod-interface-name-prefix"),
        (["--cluster-cidr=10.0.0.0/8", "--ip-family=ipv6"], "--cluster-cidr"),
    ],
)
def test_values_that_contradict_each_other(plugins: Plugins, arguments: list[str], flag: str) -> None:
    [problem] = problems(plugins, *arguments)
    assert problem.startswith(f"{flag}: ")


def test_a_network_of_a_family_that_is_not_served_does_no_harm_beside_one_that_is(plugins: Plugins) -> None:
    assert len(config(plugins, "--cluster-cidr=10.0.0.0/8,fd00::/16", "--ip-family=ipv6").cluster_cidrs) == 2


def test_all_problems_are_named_at_once(plugins: Plugins) -> None:
    found = problems(
        plugins, "--masquerade-bit=x", "--cluster-cidr=y", "--iptables-sync-period=z", "--proxy-mode=none"
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "--cluster-cidr",
        "--iptables-masquerade-bit",
        "--iptables-sync-period",
        "--proxy-mode",
    ]


@pytest.mark.parametrize(
    ("arguments", "backend", "expected"),
    [
        ([], "nftables", None),
        ([], "memory", ()),
        ([""], "nftables", None),
        (["10.0.0.0/8"], "nftables", (parse_network("10.0.0.0/8"),)),
        (["0.0.0.0/0"], "nftables", (parse_network("0.0.0.0/0"),)),
        (["primary"], "memory", None),
    ],
)
def test_node_ports_answer_where_the_mode_says_unless_told(
    plugins: Plugins, arguments: list[str], backend: str, expected: Any
) -> None:
    flags = [f"--nodeport-addresses={argument}" for argument in arguments]
    chosen = read(plugins, "--source=files:x", "--proxy-mode=auto", *flags)
    assert settled(chosen, backend, (V4,)).node_port_addresses == expected


def test_what_is_settled_is_known_to_all(plugins: Plugins) -> None:
    chosen = read(plugins, "--source=files:x", "--proxy-mode=auto")
    config = settled(chosen, "nftables", (V6,))
    assert (config.proxy_mode, config.families) == ("nftables", (V6,))


def test_flags_have_distinct_names_and_keys() -> None:
    names = [name for flag in FLAGS for name in flag.names]
    assert len(set(names)) == len(names)
    assert len({flag.key for flag in FLAGS}) == len(FLAGS)


def test_every_key_is_a_setting_or_an_option() -> None:
    known = {*ProxyConfig.__struct_fields__, *Options.__struct_fields__}
    assert {flag.key for flag in FLAGS} <= known
