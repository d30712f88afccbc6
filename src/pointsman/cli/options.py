"""The options of ``pointsman run``: an entry each, with kube-proxy's names and defaults (CFG-10…CFG-37)."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, family_of
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.plugins import Plugins

from . import values
from .flags import Flag, Problems, given, read

AUTO = "auto"

LOG_FORMATS = ("text", "json")

INSTANCE = Flag(
    ("--instance",), "instance", values.instance, "NAME",
    "the name of this proxy's kernel objects, which tells it from others on the same node", "pointsman",
)  # fmt: skip

FLAGS = (
    Flag(("--source",), "source", values.source, "NAME:ARGUMENT",
         "where objects come from, such as files:PATH; required"),
    Flag(("--proxy-mode",), "proxy_mode", values.mode, "NAME",
         "the backend that programs the kernel, or auto for the best that works here; see pointsman backends",
         "nftables"),
    Flag(("--hostname-override",), "node_name", values.node_name, "NAME",
         "the name of this node's Node object, if it is not the host name"),
    Flag(("--ip-family",), "families", values.families, "FAMILY",
         "ipv4, ipv6 or dual; with dual, one that can't be served here is left out with a warning", "dual"),
    INSTANCE,
    Flag(("--cluster-cidr",), "cluster_cidrs", values.cluster_cidrs, "CIDR[,CIDR]",
         "the pods' network, by which local pods are told from others; one of each family"),
    Flag(("--detect-local-mode",), "local_mode", values.local_mode, "MODE",
         f"how local pods are told from others: {', '.join(LocalMode)}", LocalMode.CLUSTER_CIDR.value),
    Flag(("--pod-bridge-interface",), "bridge_interface", values.interface, "NAME",
         "the bridge that local pods' packets come in by, for BridgeInterface"),
    Flag(("--pod-interface-name-prefix",), "interface_name_prefix", values.interface, "PREFIX",
         "what the names of local pods' interfaces begin with, for InterfaceNamePrefix"),
    Flag(("--masquerade-all",), "masquerade_all", values.boolean, "BOOL",
         "masquerade all traffic to ClusterIPs", "false", alone="true"),
    Flag(("--iptables-masquerade-bit", "--masquerade-bit"), "masquerade_bit", values.whole(0, 31), "BIT",
         "the bit of the packet mark that is used between DNAT and masquerading, 0 to 31", "14"),
    Flag(("--bind-address",), "bind_address", values.bind_address, "ADDRESS",
         "this node's own address, if it is not what its Node object says", "0.0.0.0"),
    Flag(("--nodeport-addresses",), "node_port_addresses", values.node_port_addresses, "CIDR[,CIDR…]",
         "networks of the local addresses that node ports answer on, or primary for the node's own"
         " (default: primary for nftables, else every local address)", many=True),
    Flag(("--iptables-localhost-nodeports",), "localhost_node_ports", values.boolean, "BOOL",
         "have node ports answer on IPv4 loopback too", "false", alone="true"),
    Flag(("--iptables-sync-period",), "sync_period", values.period, "DURATION",
         "how long after a failed sync it is tried again, unless something happens before", "30s"),
    Flag(("--iptables-min-sync-period",), "min_sync_period", values.min_period, "DURATION",
         "the least time between two syncs", "1s"),
    Flag(("--log-format", "--logging-format"), "log_format", values.one_of(*LOG_FORMATS), "FORMAT",
         "text, or json for one object a line", "text"),
    Flag(("-v", "--v"), "verbosity", values.whole(0, 10), "LEVEL",
         "how much is logged: 4 and more, or -v alone, adds what helps to find faults", "0", alone="4"),
)  # fmt: skip

# What an absent flag means where that depends on the dataplane; elsewhere it is the flag's own default.
_MODE_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "nftables": {"node_port_addresses": None},  # primary (CFG-21)
}


class Options(Struct, frozen=True):
    """What ``pointsman run`` was told.

    ``source`` is the name of a kind of source and its argument. ``given`` holds the keys of the flags that
    were set.
    """

    config: ProxyConfig
    source: tuple[str, str]
    log_format: str
    verbosity: int
    given: frozenset[str]


def options(args: argparse.Namespace, plugins: Plugins) -> Options:
    """What parsed arguments say.

    Raises:
        Problems: some are wrong; all of them are named.
    """
    problems: list[str] = []
    found = read(args, FLAGS, problems)
    problems += _not_installed(found, plugins)
    if not problems:
        config = ProxyConfig(**{key: found[key] for key in found.keys() & set(ProxyConfig.__struct_fields__)})
        problems += _contradictions(config)
        if not problems:
            return Options(
                config, found["source"], found["log_format"], found["verbosity"], given(args, FLAGS)
            )
    raise Problems(problems)


def settled(chosen: Options, backend: str, families: tuple[IPFamily, ...]) -> ProxyConfig:
    """The configuration once it is known which dataplane serves which families."""
    defaults = _MODE_DEFAULTS.get(backend, {})
    unset = {field: value for field, value in defaults.items() if field not in chosen.given}
    return replace(chosen.config, proxy_mode=backend, families=families, **unset)


def _not_installed(found: Mapping[str, Any], plugins: Plugins) -> Iterator[str]:
    mode = found.get("proxy_mode", AUTO)
    if mode != AUTO and mode not in plugins.backends:
        names = ", ".join(spec.name for spec in plugins.backends)
        yield f"--proxy-mode: no backend {mode!r} is installed; there are {names}, and {AUTO} chooses"
    source, _ = found.get("source", ("", ""))
    if source and source not in plugins.sources:
        names = ", ".join(spec.name for spec in plugins.sources)
        yield f"--source: no kind of source {source!r} is installed; there are {names}"


def _contradictions(config: ProxyConfig) -> Iterator[str]:
    """What is wrong with values that are right each by itself."""
    if config.sync_period < config.min_sync_period:
        yield "--iptables-sync-period: it is shorter than --iptables-min-sync-period; give at least as much"
    if config.local_mode is LocalMode.BRIDGE_INTERFACE and not config.bridge_interface:
        yield f"--pod-bridge-interface: --detect-local-mode={config.local_mode} needs the bridge's name"
    if config.local_mode is LocalMode.INTERFACE_NAME_PREFIX and not config.interface_name_prefix:
        yield f"--pod-interface-name-prefix: --detect-local-mode={config.local_mode} needs a prefix"
    if config.local_mode is LocalMode.CLUSTER_CIDR and config.cluster_cidrs:
        families = {family_of(network.address) for network in config.cluster_cidrs}
        if families.isdisjoint(config.families):
            served = " or ".join(str(family) for family in config.families)
            yield f"--cluster-cidr: none of its networks is {served}, which is what --ip-family says"
