"""Whether values that are right each by itself fit together, and fit what is installed (CFG-05)."""

from collections.abc import Iterator, Mapping, Sequence

from pointsman.core.addresses import IPFamily, Network, family_of
from pointsman.core.config import LocalMode
from pointsman.core.plugins import Plugins

from . import rules
from .engine import AUTO, periods, source_of
from .options import options_for
from .settings import value_at
from .v1alpha1 import KubeProxyConfiguration

Labels = Mapping[str, str]


def not_installed(config: KubeProxyConfiguration, labels: Labels, plugins: Plugins) -> Iterator[str]:
    """What is asked for and not there: backends, kinds of source."""
    mode = config.mode
    if mode not in ("", AUTO) and mode not in plugins.backends:
        names = ", ".join(spec.name for spec in plugins.backends)
        yield f"{labels['mode']}: no backend {mode!r} is installed; there are {names}, and {AUTO} chooses"
    name, _ = source_of(config)
    if name not in plugins.sources:
        label = labels.get("pointsman.source", "--source")
        names = ", ".join(spec.name for spec in plugins.sources)
        yield f"{label}: no kind of source {name!r} is installed; there are {names}"
    for name in config.pointsman.backends:
        if name not in plugins.backends:
            yield f"pointsman.backends: no backend {name!r} is installed"
    for spec in plugins.backends:
        try:
            options_for(spec, config)
        except ValueError as error:
            yield f"pointsman.backends.{spec.name}: {error}"


def contradictions(config: KubeProxyConfiguration, labels: Labels) -> Iterator[str]:
    """What is wrong with values that are right each by itself."""
    section = periods(config, config.mode)
    if section.sync_period < section.min_sync_period:
        name = {"ipvs": "ipvs", "nftables": "nftables"}.get(config.mode, "iptables")
        longer, shorter = (_label(labels, f"{name}.{which}") for which in ("syncPeriod", "minSyncPeriod"))
        yield f"{longer}: it is shorter than {shorter}; give at least as much"
    mode = config.detect_local_mode
    if mode == LocalMode.BRIDGE_INTERFACE and not config.detect_local.bridge_interface:
        label = labels.get("detectLocal.bridgeInterface", "--pod-bridge-interface")
        yield f"{label}: {_label(labels, 'detectLocalMode')}={mode} needs the bridge's name"
    if mode == LocalMode.INTERFACE_NAME_PREFIX and not config.detect_local.interface_name_prefix:
        label = labels.get("detectLocal.interfaceNamePrefix", "--pod-interface-name-prefix")
        yield f"{label}: {_label(labels, 'detectLocalMode')}={mode} needs a prefix"
    yield from wrong_family(config, rules.families(config.pointsman.ip_family), labels)


def wrong_family(
    config: KubeProxyConfiguration, families: Sequence[IPFamily], labels: Labels
) -> Iterator[str]:
    """Pods' networks of which none is of a family that is served."""
    networks = rules.cluster_cidrs(config.cluster_cidr)
    if config.detect_local_mode == LocalMode.CLUSTER_CIDR and networks and not _any_of(networks, families):
        served = " or ".join(str(family) for family in families)
        yield f"{_label(labels, 'clusterCIDR')}: none of its networks is {served}, which is what is served"


def mismatches(config: KubeProxyConfiguration, families: Sequence[IPFamily], labels: Labels) -> Iterator[str]:
    """What can be served and is likely to be a mistake."""
    node_ports = rules.node_port_addresses(config.node_port_addresses)
    for family in families:
        if node_ports and not _any_of(node_ports, (family,)):
            label = _label(labels, "nodePortAddresses")
            yield f"{label}: none is {family}, so all {family} addresses take node ports"
    if (own := rules.bind_address(config.bind_address)) is None:
        return
    for field in ("healthzBindAddress", "metricsBindAddress"):
        listener = rules.listener(value_at(config, field))
        if listener is not None and len(listener.address) != len(own):
            yield f"{_label(labels, field)}: {listener} is not {family_of(own)}, as the node's own address is"


def _any_of(networks: Sequence[Network], families: Sequence[IPFamily]) -> bool:
    return any(family_of(network.address) in families for network in networks)


def _label(labels: Labels, path: str) -> str:
    return labels.get(path, path)
